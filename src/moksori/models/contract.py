"""What a family is, and all that the training loop and the pipeline know of one."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn

from moksori.audio.mel import MelConfig
from moksori.config import Config
from moksori.models.contract_latents import CanCompress
from moksori.types import (
    Coded,
    ConvertControls,
    FittedVector,
    Heard,
    Judged,
    LongRecording,
    PitchRange,
    ReadLatents,
    SayControls,
    SoundBatch,
    SpeechBatch,
    SpeechNeeds,
    Spoken,
    SpokenBlocks,
    SpokenMels,
    TextBatch,
    Voice,
    Waveform,
)


@dataclass(frozen=True)
class Update:
    """One optimizer step: unweighted scalar terms by name, and the weights that make the total.

    Terms without a weight are logged and not trained on.
    counts: what a term is a mean over (frames, tokens) in this batch, where that is not its items. Processes that share
    a batch weigh their means by it, so that together they have the mean over the whole batch.
    """

    optimizer: str
    terms: Mapping[str, Tensor]
    weights: Mapping[str, float]
    counts: Mapping[str, Tensor] = field(default_factory=dict)

    def total(self) -> Tensor:
        """The weighted sum that is minimised."""
        weighted = [self.terms[name] * weight for name, weight in self.weights.items() if weight != 0.0]
        return sum(weighted[1:], start=weighted[0])


class Objective(nn.Module, ABC):
    """All that the training loop knows of a family; a module, so that a resumed run restores it whole.

    It owns what only training needs (discriminators, loss weights); inference checkpoints hold `model` alone.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def parameter_groups(self) -> Mapping[str, Iterable[nn.Parameter]]:
        """Optimizer name -> the parameters it steps."""
        return {"model": self.model.parameters()}

    @property
    def newest_is_best(self) -> bool:
        """True where `validate` cannot tell which weights are best, as in an adversarial game: export the last."""
        return False

    def calibrate(self, model: nn.Module, batches: Iterable[SpeechBatch]) -> None:
        """Sets on weights that are about to be exported what gradients do not teach; changes `model` in place.

        model: of the class of `self.model`, in evaluation mode. batches: training data.
        """

    def initialise(self, batches: Iterable[SpeechBatch]) -> None:
        """Data-dependent initialisation before the first step, such as feature statistics; not called on resume."""

    def take_codec(self, codec: CanCompress) -> None:
        """Takes in what it needs of the codec whose codes batches hold (`SpeechNeeds.codes_of`), when it is built."""

    @abstractmethod
    def updates(self, batch: SpeechBatch, step: int, generator: Generator | None = None) -> Iterator[Update]:
        """The updates of one training step, in order; the loop takes an optimizer step between two of them.

        Each of several processes is given its own items of the batch, and draws theirs out of what is drawn for all:
        noise has the batch as its first axis, and comes from torch.rand, randn, randint, their `_like` or dropout.
        """

    def observe(self, terms: Mapping[str, Tensor]) -> None:
        """Takes in the terms of an update, over the whole batch, after its step: for statistics kept in buffers."""

    def validate(self, batch: SpeechBatch, generator: Generator | None = None) -> Mapping[str, Tensor]:
        """Scalar measures of a held-out batch; lower is better for `total`, which picks the best checkpoint."""
        update = list(self.updates(batch, step=0, generator=generator))[-1]
        return {**update.terms, "total": update.total()}

    def pictures(self, batch: SpeechBatch, generator: Generator | None = None) -> Mapping[str, Tensor]:
        """Matrices `[height, width]` worth looking at during training: spectrograms, alignments."""
        return {}


@runtime_checkable
class CanSay(Protocol):
    """A model that turns tokens into sound."""

    def say(self, text: TextBatch, controls: SayControls, generator: Generator | None = None) -> Spoken: ...


@runtime_checkable
class CanAlign(Protocol):
    """A model that finds the tokens of texts in their recordings; see models.aligner.base."""

    @property
    def sample_rate(self) -> int: ...

    @property
    def hop_length(self) -> int: ...

    def align(self, batch: SpeechBatch) -> Int[Tensor, "batch tokens"]: ...

    def misfit(self, batch: SpeechBatch) -> Float[Tensor, " batch"]: ...


@runtime_checkable
class CanSayTogether(Protocol):
    """A model that turns texts of several people into sound as one batch, each with noise of its own generator."""

    def say_together(self, text: TextBatch, controls: SayControls, generators: Sequence[Generator]) -> Spoken: ...


@runtime_checkable
class CanSayMels(Protocol):
    """A model that turns tokens into mels, which a vocoder turns into sound.

    Where the text gives `durations`, it keeps to them. `changes_speed`, an attribute that it may have: False where it
    cannot follow `controls.speed`. `keeps_best`, likewise: True where it follows `controls.best_of`; `takes_pitch`:
    True where it follows `controls.shift_semitones`.
    """

    @property
    def mel_config(self) -> MelConfig: ...

    def say_mels(self, text: TextBatch, controls: SayControls, generator: Generator | None = None) -> SpokenMels: ...


@runtime_checkable
class CanTakeStyle(Protocol):
    """A model that makes mels of latents which are as long as they, and which a person may choose.

    frames: what it hears of a recording, `latent_bands` bands, for which it needs the pitch where `hears_pitch`.
    read_latents: what latents recordings of known texts have, each as long as its frames; without noise. say_latents:
    the mels that latents of known lengths give with a text, whose durations are kept to where there are some; with the
    text that the latents were read with they are the mels that these were read off. style_mean: of the latents of
    clips: "time_and_batch" gives one frame, "batch" a course in time. mixes_speakers: whether it follows
    `controls.speakers`.
    mixture_components: of its prior; 0 where that is no mixture; component_shares: those that recordings choose.
    """

    @property
    def mel_config(self) -> MelConfig: ...

    @property
    def num_speakers(self) -> int: ...

    @property
    def mixes_speakers(self) -> bool: ...

    @property
    def mixture_components(self) -> int: ...

    @property
    def hears_pitch(self) -> bool: ...

    @property
    def latent_bands(self) -> int: ...

    def frames(
        self, waveform: Float[Tensor, "batch samples"], f0: Float[Tensor, "batch frames"] | None = None
    ) -> Float[Tensor, "batch bands frames"]: ...

    def read_latents(
        self, frames: Float[Tensor, "batch bands frames"], frame_lengths: Int[Tensor, " batch"], text: TextBatch
    ) -> ReadLatents: ...

    def say_latents(
        self,
        latent: Float[Tensor, "batch bands frames"],
        frame_lengths: Int[Tensor, " batch"],
        text: TextBatch,
        controls: SayControls,
    ) -> SpokenMels: ...

    def component_shares(
        self, frames: Float[Tensor, "batch bands frames"], frame_lengths: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch components"]: ...

    def style_mean(
        self, latents: Sequence[Float[Tensor, "bands frames"]], mode: str
    ) -> Float[Tensor, "bands frames"]: ...


@runtime_checkable
class CanJudge(Protocol):
    """A model that tells how likely recordings are with their texts: what is wrong with a corpus stands out.

    batch: with tokens, at `sample_rate` and in whole frames of `hop_length`, with F0 where it `hears_pitch`.
    """

    @property
    def sample_rate(self) -> int: ...

    @property
    def hop_length(self) -> int: ...

    @property
    def hears_pitch(self) -> bool: ...

    def judge(self, batch: SpeechBatch) -> Judged: ...


CHUNK_FRAMES = (12, 64, 160)
"""Frames in the first, the second and all later chunks of a stream: 0.14, 0.74 and 1.9 s at 22.05 kHz and hop 256."""


@runtime_checkable
class CanStream(Protocol):
    """A model whose first sound can be heard before the last is made; the blocks together are what `say` returns.

    chunk_frames: frames in the first, second, ... block; the last one holds for all that follow.
    """

    def stream(
        self,
        text: TextBatch,
        controls: SayControls,
        chunk_frames: Sequence[int] = CHUNK_FRAMES,
        generator: Generator | None = None,
    ) -> SpokenBlocks: ...


@runtime_checkable
class CanLowerPrecision(Protocol):
    """A model that can run in bfloat16 what tolerates it: some 45 dB of the float32 sound stay, at half the time."""

    def lower_precision(self) -> None: ...


@runtime_checkable
class CanReconstruct(Protocol):
    """A model that turns sound into its own representation and back: copy-synthesis, the best its decoder can do."""

    def reconstruct(
        self,
        waveform: Float[Tensor, "batch samples"],
        speaker: Int[Tensor, " batch"],
        generator: Generator | None = None,
    ) -> Float[Tensor, "batch samples"]: ...


@runtime_checkable
class CanConvert(Protocol):
    """A model that changes who speaks: what is said stays, the voice becomes that of `target`.

    source: who speaks in the recordings, where the model has to know; None otherwise. What comes back is as long as
    what went in.
    """

    def convert(
        self,
        sounds: SoundBatch,
        target: Voice,
        source: Voice | None,
        controls: ConvertControls,
        generator: Generator | None = None,
    ) -> SoundBatch: ...


BLOCK_FRAMES = 512
"""Frames of a block of a long conversion: 6 s at 22.05 kHz and hop 256."""


@runtime_checkable
class CanConvertInBlocks(Protocol):
    """A model that converts recordings of any length in memory that does not grow with them.

    The blocks together are what `convert` gives for the same generator, whatever their size.
    """

    def convert_in_blocks(
        self,
        recording: LongRecording,
        target: Voice,
        source: Voice | None,
        controls: ConvertControls,
        block_frames: int = BLOCK_FRAMES,
        generator: Generator | None = None,
    ) -> Iterator[Float[Tensor, "1 samples"]]: ...


@runtime_checkable
class CanRemark(Protocol):
    """A model that converts, and knows what a person should be told of a recording first; loudest: seconds of it."""

    def remarks(self, loudest: Waveform, target: Voice) -> Sequence[str]: ...


@runtime_checkable
class CanTellSpeakers(Protocol):
    """A model that converts from one of its own speakers, and finds who fits a recording best: the least distance."""

    def speaker_distances(self, sounds: SoundBatch) -> Float[Tensor, "batch speakers"]: ...


@runtime_checkable
class CanEnroll(Protocol):
    """A model that hears a voice in recordings of whoever it may be; voices are vectors, and their mean is a voice.

    front_end_key: of the features that it listens to. least_speech_seconds: with less it hears no voice at all.
    """

    @property
    def front_end_key(self) -> str: ...

    @property
    def least_speech_seconds(self) -> float: ...

    def hear(self, recording: LongRecording) -> Heard: ...

    def draw_voice(
        self, mean: float, deviation: float, generator: Generator | None = None
    ) -> Float[Tensor, " channels"]: ...


@runtime_checkable
class CanChangeKey(Protocol):
    """A model that converts songs, and moves them to where the target sings: by whole semitones, for a song at once."""

    def auto_key(self, recording: LongRecording, target: Voice) -> int | None: ...


class ConversionInProgress(Protocol):
    """Sound that is converted as it comes: push blocks, then finish, once. What leaves is late by delay_seconds."""

    @property
    def delay_seconds(self) -> float: ...

    def push(self, block: Float[np.ndarray, " block"]) -> Float[Tensor, "1 samples"]: ...

    def finish(self) -> Float[Tensor, "1 samples"]: ...


@runtime_checkable
class CanConvertLive(Protocol):
    """A model that converts sound while it comes, and gives the samples that it would give of the whole."""

    def stream(
        self, target: Voice, controls: ConvertControls, generator: Generator | None = None
    ) -> ConversionInProgress: ...


@runtime_checkable
class CanFit(Protocol):
    """A model whose singers are vectors of a table: they may be mixed, and found for somebody whom it does not hold.

    fits_voices: whether these weights have such a table. singer_vector: of a row, as a voice's file keeps it; pitch:
    where that singer sings. fit_voice: by gradient descent on recordings at the model's rate; progress is told steps.
    tuned_layers: of tunable_layers, that are tuned to the recordings too; 0: the vector alone is found.
    """

    @property
    def front_end_key(self) -> str: ...

    @property
    def fits_voices(self) -> bool: ...

    @property
    def tunable_layers(self) -> int: ...

    def singer_vector(self, singer: int, pitch: PitchRange | None = None) -> Float[Tensor, " channels"]: ...

    def fit_voice(
        self,
        recordings: Sequence[Waveform],
        steps: int = 300,
        generator: Generator | None = None,
        progress: Callable[[int, int], None] = ...,
        tuned_layers: int = 0,
    ) -> FittedVector: ...


@runtime_checkable
class CanConvertMels(Protocol):
    """A model that changes who speaks, whose output is mels for a vocoder; target and source are voices with vectors.

    sound: blocks of samples at the model's rate, as they come; mels leave as soon as they are known, one frame for each
    hop that was begun. live: work in short pieces, so that mels leave at most `live_delay_frames` after their sound has
    come; otherwise in long ones, which is better and costs less. source: needed where the strength is below 1; a model
    whose attribute `wants_source` is true is given it wherever it can be.
    """

    @property
    def mel_config(self) -> MelConfig: ...

    @property
    def live_delay_frames(self) -> int: ...

    def convert_to_mels(
        self,
        sound: Iterable[Float[np.ndarray, " block"]],
        target: Voice,
        source: Voice | None,
        controls: ConvertControls,
        live: bool = False,
        generator: Generator | None = None,
    ) -> Iterator[Float[Tensor, "1 mels frames"]]: ...


@runtime_checkable
class CanVocode(Protocol):
    """A model that turns log-mels into sound, block by block, in memory that does not grow with their number.

    frames: in all blocks together, where that is known: then the blocks of sound are what the whole at once gives; else
    silence is taken to follow. look_ahead_frames: sound leaves so many frames after its mels have come.
    """

    @property
    def mel_config(self) -> MelConfig: ...

    @property
    def look_ahead_frames(self) -> int: ...

    def vocode_blocks(
        self,
        blocks: Iterable[Float[Tensor, "1 mels frames"]],
        frames: int | None = None,
        generator: Generator | None = None,
    ) -> Iterator[Float[Tensor, "1 samples"]]: ...


@runtime_checkable
class CanDraw(Protocol):
    """A model that makes sound of nothing but chance, block by block, in memory that does not grow with its length.

    sample_rate: of it, in Hz. temperature: below 1 the likelier comes more often still; None takes the model's own.
    """

    @property
    def sample_rate(self) -> int: ...

    def draw_blocks(
        self, samples: int, temperature: float | None = None, generator: Generator | None = None
    ) -> Iterator[Float[Tensor, "1 samples"]]: ...


@runtime_checkable
class CanReconstructMels(Protocol):
    """A model of mels that makes those of a recording anew, in the voice it has: what a vocoder is given by it.

    The frames lie where the recording's own lie, one for each hop that was begun.
    """

    @property
    def mel_config(self) -> MelConfig: ...

    def reconstruct_mels(
        self, recording: LongRecording, generator: Generator | None = None
    ) -> Iterator[Float[Tensor, "1 mels frames"]]: ...


@runtime_checkable
class CanShowCodes(Protocol):
    """A model whose inner codes can be looked at: one vector a sound for each, by name.

    "speaker": what tells who speaks. "content": what is said, its mean over time; it should not tell who speaks.
    """

    def codes(self, sounds: SoundBatch) -> Mapping[str, Float[Tensor, "batch channels"]]: ...


@runtime_checkable
class CanEncode(Protocol):
    """A model whose codes of a sound can be looked at as they are, a vector for each window of `window_samples`.

    waveform: whole windows.
    """

    @property
    def window_samples(self) -> int: ...

    def encode(
        self, waveform: Float[Tensor, "batch samples"], generator: Generator | None = None
    ) -> Float[Tensor, "batch code frames"]: ...


@runtime_checkable
class CanCode(Protocol):
    """A model that turns what is said into codes from 0 to `code_count` - 1, one for `window_samples`, and back.

    say_codes: in the voice of a row of its table, around the voice's pitch; mels for a vocoder where `makes_mels`,
    samples otherwise. What is said of codes is what conversion gives of the recording that they were read off.
    """

    @property
    def code_count(self) -> int: ...

    @property
    def window_samples(self) -> int: ...

    @property
    def makes_mels(self) -> bool: ...

    def read(self, recording: LongRecording, shift_semitones: float = 0.0) -> Coded: ...

    def say_codes(
        self, said: Coded, target: Voice, variation: float | None = None, generator: Generator | None = None
    ) -> Iterator[Float[Tensor, "1 *shape"]]: ...


def no_change(model: nn.Module) -> None:
    """Leaves a model as it is."""


@dataclass(frozen=True)
class Adaptation:
    """How a family goes on with a trained model of given settings, to make it speak as somebody else.

    preset: whose objective and training settings serve; the shape stays the trained model's. full: the preset with
    which such a model is trained from nothing. steps: worth taking with one minute of speech; they grow with the square
    root of the minutes. frozen: parts that learn nothing where there is little speech in a language that the model
    knows, and freeze: the overrides that make it so. fresh_discriminators: overrides for a source without them.
    """

    preset: str
    full: str
    steps: int
    frozen: tuple[str, ...] = ()
    freeze: tuple[str, ...] = ()
    fresh_discriminators: tuple[str, ...] = ()


@dataclass(frozen=True)
class Family:
    """One kind of trained network, handed about as a value.

    config: the model's settings (what `config.json` stores). objective_config: what only training needs.
    model: built as `model(config)`; objective: built as `objective(model, objective_config)`.
    needs: what training batches hold, given both configurations.
    adaptation: how a model of these settings is adapted; None where the family has no way. speaker_tables: names of
    the tensors with a row for each speaker. without_speakers: makes a model that had no such table before speak, with a
    table of zeros, as it did without. speaker_readers: ends of the names of matrices whose last columns read the
    speaker vector, which is all that those of a model without one lack.
    """

    name: str
    config: type[Config]
    objective_config: type[Config]
    model: Callable[[Any], nn.Module]
    objective: Callable[[Any, Any], Objective]
    needs: Callable[[Any, Any], SpeechNeeds]
    summary: str
    adaptation: Callable[[Any], Adaptation] | None = None
    speaker_tables: tuple[str, ...] = ()
    without_speakers: Callable[[nn.Module], None] = no_change
    speaker_readers: tuple[str, ...] = ()
