"""Small frozen dataclasses that cross layers.

Units everywhere: waveforms float32 in [-1, 1], times in seconds where the name says so, otherwise in frames; F0 in Hz
with 0 for unvoiced; lengths int64 `[batch]`.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Waveform:
    """One channel of sound: float32 samples in [-1, 1] and their rate in Hz."""

    samples: Float[np.ndarray, " samples"]
    sample_rate: int

    @property
    def duration_seconds(self) -> float:
        return len(self.samples) / self.sample_rate


@dataclass(frozen=True)
class Utterance:
    """One recording of a corpus with its text.

    audio: the file; the utterance is `duration_seconds` from `start_seconds` on.
    """

    name: str
    text: str
    speaker: str
    language: str
    audio: Path
    start_seconds: float
    duration_seconds: float
    sample_rate: int


@dataclass(frozen=True)
class EnvelopeNeeds:
    """Spectral envelopes by WORLD that a family learns from, frame by frame (`audio.world_features`).

    n_fft: of the analysis; an envelope has n_fft / 2 + 1 bins. every: frames from one that is learnt from to the next.
    context: frames that belong to each, itself in their middle. gate_db: frames that lie further below the loudest one
    of their recording are left out; None: none are.
    """

    n_fft: int = 1024
    every: int = 1
    context: int = 1
    gate_db: float | None = None


@dataclass(frozen=True)
class SpeechNeeds:
    """What a family's training batches must hold, so that the corpus reader prepares that and nothing else.

    hop_length: samples per frame; waveforms are cut to whole frames and `durations` and `f0` count these frames.
    durations: frames of each token, from the aligner. f0: fundamental frequency per frame, by `audio.f0`'s f0_method,
    looked for between f0_limits_hz; None: where people speak. Those who sing go higher.
    noisy: whether the family learns from recordings with noise over them (`corpus.augment`), where the run's settings
    ask for that.
    stretch_frames: a family that learns from short pieces needs no more than so many frames of a recording at a time,
    at a place that is drawn anew for each batch; 0: whole recordings.
    units: an id for each frame, of so many different ones; 0: none. unit_folder: where files with them lie; "": the ids
    are those of the tokens, by their durations. mels_of: the model whose mels of the recordings are learnt from; "":
    none. codes_of: the codec whose codes of the recordings are learnt from, a model's name or folder; "": none.
    envelopes: the shapes of spectral envelopes, which take F0; then stretch_frames is how many frames of a recording,
    drawn from all over it, are learnt from at a time.
    """

    sample_rate: int
    hop_length: int
    tokens: bool = True
    durations: bool = False
    f0: bool = False
    f0_method: Literal["auto", "fast"] = "auto"
    f0_limits_hz: tuple[float, float] | None = None
    noisy: bool = False
    stretch_frames: int = 0
    units: int = 0
    unit_folder: str = ""
    mels_of: str = ""
    codes_of: str = ""
    envelopes: EnvelopeNeeds | None = None

    @property
    def in_batches(self) -> "SpeechNeeds":
        """What of it batches hold: units stand for the tokens and durations that they were made of."""
        return replace(self, tokens=False, durations=False) if self.units else self


@dataclass(frozen=True)
class Example:
    """One utterance, prepared: what a batch is made of.

    waveform: float32, a whole number of frames. tokens, stress: ids of the symbol table and stress 0, 1, 2 per token.
    durations: frames per token, summing to the frames of the waveform. f0: Hz per frame, 0 where unvoiced. noisy: the
    waveform with noise over it, where a batch was given some. units: an id for each frame. mel: the log-mel that
    another model makes of it. codes: what a codec makes of it, an entry of each stage for each frame. envelopes: shapes
    of spectral envelopes (`audio.world_features`), and envelope_frames the numbers of their frames.
    """

    utterance: Utterance
    waveform: Float[np.ndarray, " samples"]
    speaker: int = 0
    tokens: Int[np.ndarray, " tokens"] | None = None
    stress: Int[np.ndarray, " tokens"] | None = None
    durations: Int[np.ndarray, " tokens"] | None = None
    f0: Float[np.ndarray, " frames"] | None = None
    noisy: Float[np.ndarray, " samples"] | None = None
    units: Int[np.ndarray, " frames"] | None = None
    mel: Float[np.ndarray, "mels frames"] | None = None
    codes: Int[np.ndarray, "stages frames"] | None = None
    envelopes: Float[np.ndarray, "groups context bins"] | None = None
    envelope_frames: Int[np.ndarray, " groups"] | None = None


@dataclass(frozen=True)
class TextBatch:
    """Padded token ids for synthesis; `speaker` is the table index per item.

    durations: frames of each token, which the model then keeps to; None leaves them to it.
    """

    tokens: Int[Tensor, "batch tokens"]
    stress: Int[Tensor, "batch tokens"]
    token_lengths: Int[Tensor, " batch"]
    speaker: Int[Tensor, " batch"]
    durations: Int[Tensor, "batch tokens"] | None = None


@dataclass(frozen=True)
class SpeechBatch:
    """Padded utterances with their texts; the optional fields are there when SpeechNeeds asked for them.

    waveform is zero beyond `waveform_lengths`; both are multiples of the hop. noisy: the same recordings with noise.
    units: an id for each frame, 0 at padding. mel: log-mels that another model makes of them, 0 at padding. codes: what
    a codec makes of them, 0 at padding. envelopes: shapes of spectral envelopes of so many chosen frames
    (envelope_lengths) with their neighbours, and envelope_f0 the F0 of these frames.
    """

    names: tuple[str, ...]
    waveform: Float[Tensor, "batch samples"]
    waveform_lengths: Int[Tensor, " batch"]
    speaker: Int[Tensor, " batch"]
    tokens: Int[Tensor, "batch tokens"] | None = None
    stress: Int[Tensor, "batch tokens"] | None = None
    token_lengths: Int[Tensor, " batch"] | None = None
    durations: Int[Tensor, "batch tokens"] | None = None
    f0: Float[Tensor, "batch frames"] | None = None
    noisy: Float[Tensor, "batch samples"] | None = None
    units: Int[Tensor, "batch frames"] | None = None
    mel: Float[Tensor, "batch mels frames"] | None = None
    codes: Int[Tensor, "batch stages frames"] | None = None
    envelopes: Float[Tensor, "batch groups context bins"] | None = None
    envelope_lengths: Int[Tensor, " batch"] | None = None
    envelope_f0: Float[Tensor, "batch groups"] | None = None

    def to(self, device: torch.device | str) -> Self:
        """The same batch on another device."""
        moved: dict[str, Any] = {f.name: tensor.to(device) for f, tensor in self._tensors()}
        return replace(self, **moved)

    def rows(self, first: int, stride: int) -> Self:
        """Every `stride`-th item from `first` on, padded as the whole batch is."""
        rows: dict[str, Any] = {f.name: tensor[first::stride].contiguous() for f, tensor in self._tensors()}
        return replace(self, names=self.names[first::stride], **rows)

    def _tensors(self) -> list[tuple[Field[Any], Tensor]]:
        held = [(f, getattr(self, f.name)) for f in fields(self)]
        return [(f, value) for f, value in held if isinstance(value, Tensor)]


@dataclass(frozen=True)
class SpokenFlags:
    """How well a model that decides on its own when to stop kept to one text.

    truncated: its end never came, so it was cut at the bound. coverage: share of the tokens that it looked at.
    monotonic: share of the frames in which its attention stayed or went on by one token.
    """

    truncated: bool = False
    coverage: float = 1.0
    monotonic: float = 1.0


@dataclass(frozen=True)
class Spoken:
    """What a text-to-speech model returns for a TextBatch.

    waveform: zero beyond `waveform_lengths`. durations: frames of each token, 0 for padding. flags: of each item, from
    models that may leave something out.
    """

    waveform: Float[Tensor, "batch samples"]
    waveform_lengths: Int[Tensor, " batch"]
    durations: Int[Tensor, "batch tokens"]
    flags: tuple[SpokenFlags, ...] = ()


@dataclass(frozen=True)
class SpokenMels:
    """What a text-to-speech model whose output is for a vocoder returns for a TextBatch.

    mel: in the natural log that the model learnt, time forward; at the floor beyond `frame_lengths`. durations: frames
    of each token, which add up to the item's frames; 0 for padding. flags: of each item.
    """

    mel: Float[Tensor, "batch mels frames"]
    frame_lengths: Int[Tensor, " batch"]
    durations: Int[Tensor, "batch tokens"]
    flags: tuple[SpokenFlags, ...] = ()


@dataclass(frozen=True)
class LatentBatch:
    """Padded latents of a codec, as it makes them of sound: not standardised, 0 beyond `frame_lengths`."""

    latent: Float[Tensor, "batch channels frames"]
    frame_lengths: Int[Tensor, " batch"]


@dataclass(frozen=True)
class SpokenLatents:
    """What a text-to-speech model whose output is for a codec's decoder returns for a TextBatch.

    latent: as the codec makes them; 0 beyond `frame_lengths`. durations: frames of each token, which add up to the
    item's frames; 0 for padding. f0: the pitch that was spoken with, in Hz, 0 where it was to be unvoiced.
    """

    latent: Float[Tensor, "batch channels frames"]
    frame_lengths: Int[Tensor, " batch"]
    durations: Int[Tensor, "batch tokens"]
    f0: Float[Tensor, "batch frames"]


@dataclass(frozen=True)
class SpokenLatentBlocks:
    """SpokenLatents that are made as `blocks` is read: one after the other they are the latents."""

    blocks: Iterator[Float[Tensor, "batch channels part"]]
    frame_lengths: Int[Tensor, " batch"]
    durations: Int[Tensor, "batch tokens"]


@dataclass(frozen=True)
class StyleMeasure:
    """How high, how lively and how quick somebody speaks in reference clips, as a model of pitch reads it.

    log_f0: mean of ln F0 in Hz. deviation: its standard deviation. phone_rate: phones of the text a second.
    """

    log_f0: float
    deviation: float
    phone_rate: float


def mean_measure(measures: Sequence[tuple[StyleMeasure, float]]) -> StyleMeasure:
    """The mean of measures with weights, of the rate the geometric one."""
    total = sum(weight for _, weight in measures)

    def mean(values: list[float]) -> float:
        return sum(value * weight for value, (_, weight) in zip(values, measures, strict=True)) / total

    return StyleMeasure(
        mean([m.log_f0 for m, _ in measures]),
        mean([m.deviation for m, _ in measures]),
        math.exp(mean([math.log(max(m.phone_rate, 1e-3)) for m, _ in measures])),
    )


@dataclass(frozen=True)
class ReadLatents:
    """What a model reads off recordings of known texts: the latents that it would need to say them so.

    latent: time forward, 0 beyond `frame_lengths`. log_likelihood: nats a frame and mel band, of each item. durations:
    frames of each token by the attention. flags: of each item, as for what is spoken. alignment: how sure the attention
    is of these durations, 0 to 1; low for a text that is not what is said. attention: the weights of every attention of
    the model, forward in time. measures: of each item, by a model that draws pitch; else none.
    """

    latent: Float[Tensor, "batch bands frames"]
    frame_lengths: Int[Tensor, " batch"]
    log_likelihood: Float[Tensor, " batch"]
    durations: Int[Tensor, "batch tokens"]
    flags: tuple[SpokenFlags, ...]
    alignment: Float[Tensor, " batch"]
    attention: tuple[Float[Tensor, "batch steps tokens"], ...] = ()
    measures: tuple[StyleMeasure, ...] = ()


@dataclass(frozen=True)
class SpokenBlocks:
    """What a text-to-speech model that streams returns for a TextBatch: the sound is made as `blocks` is read.

    blocks: one after the other they are the waveform, zero beyond `waveform_lengths`. durations: as in Spoken.
    """

    blocks: Iterator[Float[Tensor, "batch samples"]]
    waveform_lengths: Int[Tensor, " batch"]
    durations: Int[Tensor, "batch tokens"]


@dataclass(frozen=True)
class Judged:
    """How likely recordings are with their texts, and how well the two go together.

    log_likelihood: of each frame, in nats a number of its mel; 0 beyond `frame_lengths`. fit: mean log weight that the
    attention has on the best way through the whole text, in nats a step. coverage: share of the tokens that it looked
    at most somewhere. monotonic: share of the steps in which it stayed or went on by one token.
    """

    log_likelihood: Float[Tensor, "batch frames"]
    frame_lengths: Int[Tensor, " batch"]
    fit: Float[Tensor, " batch"]
    coverage: Float[Tensor, " batch"]
    monotonic: Float[Tensor, " batch"]


@dataclass(frozen=True)
class SoundBatch:
    """Padded sounds of one channel at a model's rate; lengths in samples. What lies beyond them does not count."""

    waveform: Float[Tensor, "batch samples"]
    waveform_lengths: Int[Tensor, " batch"]


@dataclass(frozen=True)
class LongRecording:
    """A recording of any length, which is read from left to right as often as needed and never held whole.

    samples: in all, at `sample_rate` Hz. blocks: starts at the beginning; float32 blocks in [-1, 1], one channel.
    """

    samples: int
    sample_rate: int
    blocks: Callable[[], Iterator[Float[np.ndarray, " block"]]]

    @property
    def duration_seconds(self) -> float:
        return self.samples / self.sample_rate


@dataclass(frozen=True)
class Coded:
    """All that is said in a recording, as codes of a model; who says it is none of it.

    melody: where the model is given one, height and voicing of its frames: ln F0 against its mean, in quarters and to
    two digits, 0 where unvoiced. samples: of the recording, at the model's rate.
    """

    codes: Int[np.ndarray, " codes"]
    melody: Float[np.ndarray, "2 frames"] | None
    samples: int


@dataclass(frozen=True)
class ConvertControls:
    """How to change who speaks.

    variation: standard deviation of the noise in what is read off the recording, in units of the model's own
    uncertainty; 0 = none, None = the model's own. shift_semitones: of the pitch, for models that take one. strength:
    how far to go from the source's voice, 0, to the target's, 1, for models whose voices are vectors.
    """

    variation: float | None = None
    shift_semitones: float = 0.0
    strength: float = 1.0


@dataclass(frozen=True)
class StyleMean:
    """The mean latent of reference clips, and where in an utterance it holds: from `start` to `stop`, shares 0 to 1.

    mean: one frame that holds throughout, or a profile that is repeated in time. weight: beside others that hold there.
    measure: of the same clips, where the model reads one.
    """

    mean: Float[Tensor, "bands frames"]
    weight: float = 1.0
    start: float = 0.0
    stop: float = 1.0
    measure: StyleMeasure | None = None


@dataclass(frozen=True)
class MixtureChoice:
    """What of a mixture prior is drawn from.

    weights: of its components by number; empty = its own. shifts: component, mel band and what is added to that mean.
    """

    weights: tuple[tuple[int, float], ...] = ()
    shifts: tuple[tuple[int, int, float], ...] = ()


@dataclass(frozen=True)
class LatentPlan:
    """What latents are drawn from in place of the prior: z = strength · style + variation · noise.

    styles: means of reference clips; those that hold at one place are mixed by their weights. strength: m / (m +
    lambda) of the posterior's mean at the beginning and at the end of an utterance, a straight line between. samples:
    seeds of the noise with weights; empty = the generator's own noise. style_way, sample_way: how what holds at one
    place is mixed; "slerp" keeps its length. posterior: where a style holds, the noise is that of the posterior, whose
    variance is 1 - strength of the prior's; else it stays. mixture: for models whose prior is a mixture. given: the
    latent itself, frame for frame, instead of all that; given_frames: of the utterance, the rest is there to fill a
    group of frames; given_attention: what is kept to with it, see ReadLatents.
    """

    styles: tuple[StyleMean, ...] = ()
    strength: tuple[float, float] = (1.0, 1.0)
    samples: tuple[tuple[int, float], ...] = ()
    style_way: Literal["slerp", "linear"] = "linear"
    sample_way: Literal["slerp", "linear"] = "slerp"
    posterior: bool = False
    mixture: MixtureChoice = MixtureChoice()
    given: Float[Tensor, "bands padded"] | None = None
    given_frames: int = 0
    given_attention: tuple[Float[Tensor, "batch steps tokens"], ...] = ()


@dataclass(frozen=True)
class PromptPlan:
    """Whose voice a model that imitates is to speak in, and what else it follows, see `contract_latents.CanSayLatents`.

    voice: of each item, some seconds of it. prosody: of recordings whose manner is followed instead of the voice's own.
    f0: Hz of each frame, with given durations.
    """

    voice: LatentBatch
    prosody: LatentBatch | None = None
    f0: Float[Tensor, "batch frames"] | None = None


MAXIMUM_VARIATION = 10.0
"""Of `variation` wherever a person or a file gives one."""


@dataclass(frozen=True)
class SayControls:
    """How to speak.

    variation: standard deviation of the prior's noise, 0 = the same sound every time; None = the model's own.
    speed: 2 = half as long. shift_semitones: raises or lowers the pitch, for models with an F0 input.
    duration_mix: share of the sampled durations, 0 to 1, the rest from the predictor that always says the same, for
    models that have both; None = the model's own.
    latent: what to draw latents from, for models that let them be chosen; None = the model's prior. speakers: rows of
    the speaker table and weights, to be mixed in place of the text's speaker; speaker_way: how. best_of: draws of which
    the best is kept, for models that can leave something out; None = the model's own. prompt: in whose voice, for
    models that imitate one.
    """

    variation: float | None = None
    speed: float = 1.0
    shift_semitones: float = 0.0
    duration_mix: float | None = None
    latent: LatentPlan | None = None
    speakers: tuple[tuple[int, float], ...] = ()
    speaker_way: Literal["slerp", "linear"] = "linear"
    best_of: int | None = None
    prompt: PromptPlan | None = None


@dataclass(frozen=True)
class PitchRange:
    """Where a voice speaks: mean and standard deviation of the natural log of F0 in Hz, over voiced frames."""

    mean: float
    deviation: float


@dataclass(frozen=True)
class Voice:
    """A speaker of a family: a table index, or a vector; what a `.voice` file stores. pitch: None where not known.

    kind: "voice", who speaks, or "style", how: then the vector is a mean latent `[bands, frames]`, see StyleMean; or
    "prompt": some seconds of the voice, as codes `[stages, frames]` of the codec whose fingerprint `model` then is.
    consent: what its file says of the consent of whose voice it is.
    front_end, model: of a vector, the key of the features it was read off and the fingerprint of the model that read
    it; another model's vectors mean something else. sources: names of the recordings or voices that it was made of.
    tuned: numbers of the model that this voice replaces by its own, by their names there; {} for most voices.
    measure: of a style's clips, where the model that read them measures them.
    """

    family: str
    speaker: int = 0
    name: str = ""
    vector: Tensor | None = field(default=None)
    pitch: PitchRange | None = None
    front_end: str = ""
    model: str = ""
    sources: tuple[str, ...] = ()
    kind: Literal["voice", "style", "prompt"] = "voice"
    consent: str = ""
    tuned: Mapping[str, Tensor] = field(default_factory=dict)
    measure: StyleMeasure | None = None


@dataclass(frozen=True)
class Heard:
    """What a model heard of the speaker of one recording.

    windows: a vector for each stretch that holds speech, in order. speech_seconds: of sound loud enough to be speech.
    """

    windows: Float[Tensor, "windows channels"]
    speech_seconds: float

    @property
    def vector(self) -> Float[Tensor, " channels"]:
        """The mean over the stretches: the recording's voice."""
        return self.windows.mean(dim=0)


@dataclass(frozen=True)
class FittedVector:
    """A vector that was found for somebody whom a model's table does not hold.

    vector: as a voice's file keeps it. nearest: row of the table that it started from. bits_before, bits_after: that a
    sample of the recordings costs, with the nearest singer's vector and with this one. tuned: numbers of the model that
    were tuned to the recordings too, by name; bits_tuned: what a sample costs with them, None where nothing was tuned.
    """

    vector: Float[Tensor, " channels"]
    nearest: int
    bits_before: float
    bits_after: float
    tuned: Mapping[str, Tensor] = field(default_factory=dict)
    bits_tuned: float | None = None
