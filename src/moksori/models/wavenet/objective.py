"""How WaveNet is trained: the probability of every sample of a crop at once, given the true ones before it."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Generator, Tensor

from moksori.audio.mel import MelConfig, MelSpectrogram
from moksori.models.contract import Objective, Update
from moksori.models.wavenet.config import WavenetObjectiveConfig
from moksori.models.wavenet.model import Wavenet
from moksori.nn.crops import random_starts, stretches
from moksori.nn.logistic_mixture import logistic_mixture_log_probability
from moksori.nn.masks import sequence_mask
from moksori.nn.mulaw import code_nats
from moksori.nn.wavenet_network import Conditions
from moksori.types import SpeechBatch


def surprise(
    outputs: Float[Tensor, "batch outputs samples"], targets: Shaped[Tensor, "batch samples"]
) -> Float[Tensor, "batch samples"]:
    """-ln p of each sample in nats: of codes (int64) by a softmax, of samples by a mixture of logistics."""
    with torch.autocast(outputs.device.type, enabled=False):
        if targets.is_floating_point():
            return -logistic_mixture_log_probability(outputs.float(), targets.float())
        return code_nats(outputs, targets)


@dataclass(frozen=True)
class Crop:
    """A stretch of each recording: what the network hears and scores, its mels, and which samples are scored.

    mel: with `margin` frames more on each side, for what is made of them.
    """

    inputs: Shaped[Tensor, "batch samples"]
    mel: Float[Tensor, "batch mels frames"] | None
    margin: int
    scored: Bool[Tensor, "batch scored"]


class WavenetObjective(Objective):
    """Mean -ln p of the samples of crops; silence is taken to precede a crop, or `context_frames` of the recording."""

    model: Wavenet

    def __init__(self, model: Wavenet, config: WavenetObjectiveConfig) -> None:
        super().__init__(model)
        self.config = config

    @torch.no_grad()
    def initialise(self, batches: Iterable[SpeechBatch]) -> None:
        """Mean and spread of each mel band, where they are standardised."""
        model = self.model
        if model.standardize is None or model.front_end is None:
            return
        mels = ((model.front_end(b.waveform), b.waveform_lengths // model.hop_length) for b in batches)
        model.standardize.fit_all((mel, sequence_mask(lengths, mel.shape[2])) for mel, lengths in mels)

    def updates(self, batch: SpeechBatch, step: int, generator: Generator | None = None) -> Iterator[Update]:
        room = (batch.waveform_lengths // self.model.hop_length - self.config.crop_frames).clamp(min=0)
        crop = self._crop(batch, random_starts(room, generator))
        terms, count = self._terms(crop)
        yield Update("model", terms, self.config.loss_weights, {name: count for name in terms})

    @torch.no_grad()
    def validate(self, batch: SpeechBatch, generator: Generator | None = None) -> Mapping[str, Tensor]:
        """The same of a crop in the middle of each recording."""
        room = (batch.waveform_lengths // self.model.hop_length - self.config.crop_frames).clamp(min=0)
        terms, _ = self._terms(self._crop(batch, room // 2))
        return {**terms, "total": terms["nats"]}

    @torch.no_grad()
    def pictures(self, batch: SpeechBatch, generator: Generator | None = None) -> Mapping[str, Tensor]:
        """Mels of a piece of the first recording and of its copy, drawn freely; or of sound drawn of nothing.

        What is scored says little of how it sounds: there each sample is told the true ones before it.
        """
        model, hop = self.model, self.model.hop_length
        frames = max(round(self.config.picture_seconds * model.config.sample_rate) // hop, 8)
        if model.front_end is None:
            mel = MelSpectrogram(MelConfig(sample_rate=model.config.sample_rate, f_max_hz=model.config.sample_rate / 2))
            blocks = model.draw_blocks(frames * hop, None, generator)
            return {"mel/drawn": mel(torch.cat(list(blocks), dim=1).to(mel.filterbank))[0]}
        whole = int(batch.waveform_lengths[0]) // hop
        start = max(whole - frames, 0) // 2
        real = batch.waveform[:1, start * hop : min(start + frames, whole) * hop]
        copy = model.reconstruct(real, batch.speaker[:1], generator)
        return {"mel/recording": model.front_end(real)[0], "mel/copy": model.front_end(copy.to(real))[0]}

    def _terms(self, crop: Crop) -> tuple[dict[str, Tensor], Tensor]:
        """`nats` and `bits` a sample, and of how many samples they are the mean."""
        model = self.model
        first = crop.inputs.shape[1] - crop.scored.shape[1]
        outputs = model.network.teacher_forced(crop.inputs, self._conditions(crop), first)
        nats = surprise(outputs, crop.inputs[:, first:])
        count = crop.scored.sum()
        mean = (nats * crop.scored).sum() / count.clamp(min=1)
        return {"nats": mean, "bits": mean.detach() / math.log(2.0)}, count

    def _conditions(self, crop: Crop) -> Conditions:
        if crop.mel is None:
            return self.model.conditions(None)
        edge = crop.margin * self.model.config.condition.steps
        steps = self.model.condition(crop.mel)
        return self.model.network.conditions(steps[:, :, edge : steps.shape[2] - edge])

    def _crop(self, batch: SpeechBatch, start: Int[Tensor, " batch"]) -> Crop:
        """`crop_frames` frames from `start` on and the context before them. The mels are those of the recording."""
        model, hop, config = self.model, self.model.hop_length, self.config
        before = config.context_frames
        # Mels and what becomes of them need the frames around; they are dropped again.
        more = 0 if model.front_end is None else model.look_ahead_frames + -(-model.front_end.config.n_fft // (2 * hop))
        wide = before + config.crop_frames + 2 * more
        first = (start - before - more) * hop
        sound, inside = stretches(batch.waveform, batch.waveform_lengths, first, wide * hop)
        kept = slice(more * hop, (wide - more) * hop)
        scored = inside[:, kept][:, before * hop :]
        mel = None if model.front_end is None else model.front_end(sound)
        return Crop(model.coded(sound)[:, kept], mel, more, scored)
