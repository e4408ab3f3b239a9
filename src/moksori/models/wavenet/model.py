"""WaveNet as a model: a vocoder whose sound is drawn sample by sample from mels, or one that draws of nothing."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Generator, Tensor, nn

from moksori.audio.emphasis import deemphasised, emphasised
from moksori.audio.mel import MelConfig, MelSpectrogram
from moksori.models.decoders.blocks import Sound, sound_of_blocks
from moksori.models.decoders.progressive import Extent, Make, chunks, with_context
from moksori.models.wavenet.config import MuLawConfig, WavenetConfig
from moksori.models.wavenet.network import MelConditioner, vocoder_network
from moksori.nn.mulaw import decode_mu_law, encode_mu_law
from moksori.nn.standardize import Standardize
from moksori.nn.wavenet_eager import step_condition, step_weights
from moksori.nn.wavenet_folding import Steering, sample_folded
from moksori.nn.wavenet_network import Conditions
from moksori.nn.wavenet_sampler import Sampler
from moksori.nn.wavenet_sampling import draw_uniforms
from moksori.nn.wavenet_step import LANES, StepCondition

PartT = TypeVar("PartT")

FREE_HOP = 256
"""Samples that count as a frame where there are no mels."""
PIECE_FRAMES = 64
"""Frames of sound that are drawn in one go: a second, after which it can be told how far the work is."""
CONDITION_BYTES = 2**24
"""Of conditions, projected into all layers, that may lie in memory at once: a frame of `wavenet/base` has 6 MB of them,
a second 390."""
FOLD_OVERLAP_SECONDS = 0.025
"""Over which a fold is faded into the next."""


class Wavenet(nn.Module):
    """The network with what stands around it: coding of samples, mels in, sound out.

    With mels it is a vocoder (models.contract.CanVocode). Without (`config.mel` null) it makes sound of nothing
    (CanDraw): a model has the attributes of what it is, and lacks the other's.
    """

    def __init__(self, config: WavenetConfig) -> None:
        super().__init__()
        self.config = config
        mel = config.mel
        self.front_end = None if mel is None else MelSpectrogram(mel)
        self.standardize = Standardize(mel.n_mels) if mel is not None and config.standardize else None
        self.conditioner = None if mel is None else MelConditioner(config.condition, mel.n_mels)
        self.network = vocoder_network(config)

    @property
    def hop_length(self) -> int:
        return FREE_HOP if self.config.mel is None else self.config.mel.hop_length

    @property
    def mel_config(self) -> MelConfig:
        return self._told(self.config.mel)

    @property
    def look_ahead_frames(self) -> int:
        """Frames that must have come after a frame before its samples can be drawn."""
        return self._told(self.conditioner).context_frames

    @property
    def sample_rate(self) -> int:
        """In Hz, of what is drawn of nothing."""
        self._told(None if self.config.mel is not None else self.network)
        return self.config.sample_rate

    def coded(self, sound: Float[Tensor, "batch samples"]) -> Shaped[Tensor, "batch samples"]:
        """Sound in [-1, 1] as the network takes it: emphasised, and codes where it has codes."""
        sound = emphasised(sound, self.config.pre_emphasis).clamp(-1.0, 1.0)
        coding = self.config.coding
        return encode_mu_law(sound, coding.levels) if isinstance(coding, MuLawConfig) else sound

    def decoded(
        self, drawn: Shaped[Tensor, "batch samples"], before: Float[Tensor, "batch 1"] | None = None
    ) -> Float[Tensor, "batch samples"]:
        """Sound of what was drawn. before: its sample before the first, where it goes on."""
        return deemphasised(self._values(drawn), self.config.pre_emphasis, before)

    def condition(self, mel: Float[Tensor, "batch mels frames"]) -> Float[Tensor, "batch channels steps"]:
        """What steers the network of log-mels, `config.condition.steps` steps a frame."""
        found: Tensor = self._told(self.conditioner)(mel if self.standardize is None else self.standardize(mel))
        return found

    def conditions(self, mel: Float[Tensor, "batch mels frames"] | None) -> Conditions:
        """The same, projected into the layers; of nothing where the model takes no mels."""
        return self.network.conditions(None if mel is None else self.condition(mel))

    def forward(
        self, sound: Float[Tensor, "batch samples"], mel: Float[Tensor, "batch mels frames"] | None = None
    ) -> Float[Tensor, "batch outputs samples"]:
        """What the network says of each sample of a recording, given those before it and its mels."""
        return self.network.teacher_forced(self.coded(sound), self.conditions(mel))

    @torch.inference_mode()
    def vocode(
        self, mel: Float[Tensor, "batch mels frames"], mask: Tensor | None = None, generator: Generator | None = None
    ) -> Float[Tensor, "batch samples"]:
        """The waveforms of log-mels, side by side; frames * hop_length samples each, zero where the mask is False."""
        speak = self._speaker(lambda start, stop: mel[..., start:stop], mel.shape[2], mel.shape[0], generator)
        sound = torch.cat(
            [part for start, stop in chunks(mel.shape[2], (PIECE_FRAMES,)) for part in speak(start, stop)], 1
        )
        return sound if mask is None else sound * mask[:, 0].repeat_interleave(self.hop_length, dim=1)

    @torch.inference_mode()
    def vocode_folded(
        self, mel: Float[Tensor, "1 mels frames"], folds: int = LANES, generator: Generator | None = None
    ) -> Float[Tensor, "1 samples"]:
        """The waveform of a long mel, drawn as so many parts side by side that are faded into each other: nearly the
        work of `vocode`, but each weight that is read serves all parts. A mel too short for that sounds as in `vocode`.
        """
        config, weights, condition = self.config, step_weights(self.network), self.condition(mel)

        def projected(chosen: Int[np.ndarray, "folds steps"]) -> StepCondition:
            own = condition[0, :, torch.from_numpy(chosen).to(condition.device)].transpose(0, 1)
            found = step_condition(self.network.conditions(own), weights.layers)
            assert found is not None
            return found

        steering = Steering(condition.shape[2], self.network.hop_length, projected, self._at_once(folds))
        temperature: float | np.ndarray
        if isinstance(warmth := self._warmth(mel), Tensor):
            temperature = warmth.repeat_interleave(config.condition.steps, dim=1).cpu().numpy()
        else:
            temperature = warmth
        uniforms = draw_uniforms(weights, 1, mel.shape[2] * self.hop_length, generator)
        overlap = round(FOLD_OVERLAP_SECONDS * config.sample_rate)
        joined = sample_folded(weights, uniforms, self._expanded, steering, temperature, folds, overlap)
        return deemphasised(torch.from_numpy(joined)[None].to(mel.device), config.pre_emphasis)

    @torch.inference_mode()
    def vocode_blocks(
        self,
        blocks: Iterable[Float[Tensor, "1 mels frames"]],
        frames: int | None = None,
        generator: Generator | None = None,
    ) -> Iterator[Float[Tensor, "1 samples"]]:
        """The sound of mels that come block by block, in memory that does not grow: what `vocode` gives of the whole.

        frames: in all blocks together; None: not known. Raises ValueError where there are fewer or more than that.
        """
        reach = self.look_ahead_frames

        def begin(read: Make, extent: Extent) -> Sound:
            return self._speaker(read, extent, 1, generator)

        yield from sound_of_blocks(blocks, frames, begin, reach, 2 * reach + PIECE_FRAMES, PIECE_FRAMES)

    @torch.inference_mode()
    def draw_blocks(
        self, samples: int, temperature: float | None = None, generator: Generator | None = None
    ) -> Iterator[Float[Tensor, "1 samples"]]:
        """Sound of nothing but chance, block by block, for models without mels. temperature: None takes its own."""
        voice = _Voice(self, 1, generator)
        warmth = self.config.temperature if temperature is None else temperature
        for start, end in chunks(-(-samples // FREE_HOP), (PIECE_FRAMES,)):
            block = voice.draw(end - start, self.conditions(None), warmth)
            yield block[:, : samples - start * FREE_HOP]

    @torch.inference_mode()
    def reconstruct(
        self,
        waveform: Float[Tensor, "batch samples"],
        speaker: Int[Tensor, " batch"],
        generator: Generator | None = None,
    ) -> Float[Tensor, "batch samples"]:
        """Copy-synthesis: to mels and back. speaker: does not matter."""
        return self.vocode(self._told(self.front_end)(waveform), None, generator)

    def _speaker(self, read: Make, total: int | Extent, streams: int, generator: Generator | None) -> Sound:
        """What makes the sound of frames, from left to right, each once. read: their mels. total: frames in all."""
        voice, reach = _Voice(self, streams, generator), self.look_ahead_frames

        def speak(start: int, stop: int) -> Iterator[Float[Tensor, "batch samples"]]:
            steps = with_context(lambda first, last: self.condition(read(first, last)), reach, start, stop, total)
            yield from voice.speak(steps, self._warmth(read(start, stop)))

        return speak

    def _at_once(self, streams: int) -> int:
        """Steps of the condition that are projected at once: one at least."""
        return max(CONDITION_BYTES // (4 * streams * self.network.projected_channels), 1)

    def _values(self, drawn: Shaped[Tensor, "batch samples"]) -> Float[Tensor, "batch samples"]:
        """The numbers that codes stand for."""
        coding = self.config.coding
        return decode_mu_law(drawn, coding.levels) if isinstance(coding, MuLawConfig) else drawn

    def _expanded(self, drawn: Shaped[np.ndarray, "folds length"]) -> Float[np.ndarray, "folds length"]:
        return self._values(torch.from_numpy(drawn)).numpy()

    def _warmth(self, mel: Float[Tensor, "batch mels frames"]) -> float | Float[Tensor, "batch frames"]:
        """The temperature, of each frame where they differ."""
        config = self.config
        if config.quiet_temperature is None:
            return config.temperature
        quiet = mel.mean(dim=1) < config.quiet_level
        return torch.where(quiet, config.quiet_temperature, config.temperature)

    def _told(self, part: PartT | None) -> PartT:
        """Raises AttributeError for what this model lacks, so that protocols see that it does."""
        if part is None:
            raise AttributeError("a WaveNet takes mels or draws sound of nothing, not both: see model.mel")
        return part


class _Voice:
    """Sound as it is drawn: the sampler's memory, the chance it uses up, and the last sample of what was made."""

    def __init__(self, model: Wavenet, streams: int, generator: Generator | None) -> None:
        self._model, self._streams, self._generator = model, streams, generator
        self._sampler = Sampler(model.network, streams)
        self._last: Tensor | None = None

    def speak(
        self, condition: Float[Tensor, "batch channels steps"], warmth: float | Float[Tensor, "batch frames"]
    ) -> Iterator[Float[Tensor, "batch samples"]]:
        """The sound of the frames that follow, in pieces."""
        steps = self._model.config.condition.steps
        if isinstance(warmth, Tensor):
            warmth = warmth.repeat_interleave(steps, dim=1)
        piece = min(max(self._model._at_once(self._streams) // steps, 1), PIECE_FRAMES)
        for start, end in chunks(condition.shape[2] // steps, (piece,)):
            part = slice(start * steps, end * steps)
            warm = warmth[:, part] if isinstance(warmth, Tensor) else warmth
            yield self.draw(end - start, self._model.network.conditions(condition[..., part]), warm)

    def draw(
        self, frames: int, conditions: Conditions, warmth: float | Float[Tensor, "batch steps"]
    ) -> Float[Tensor, "batch samples"]:
        """So many frames of sound."""
        model, sampler = self._model, self._sampler
        uniforms = sampler.uniforms(frames * model.hop_length, self._generator)
        sound = model.decoded(sampler.draw(uniforms, conditions, warmth), self._last)
        self._last = sound[:, -1:]
        return sound
