"""The stretches of recordings that a codec is trained on."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from moksori.models.decoders.pitch import Pitch
from moksori.nn.crops import stretches
from moksori.types import SpeechBatch

LOUDEST = 0.99
"""The peak that a gain may bring a slice to."""


@dataclass(frozen=True)
class Slice:
    """A stretch of each recording. wide: with what lies around it, `margin` samples on each side; real: without. pitch:
    of its frames with those around it, where a decoder takes it."""

    wide: Float[Tensor, "batch wide"]
    margin: int
    pitch: Pitch | None = None

    @property
    def real(self) -> Float[Tensor, "batch samples"]:
        return self.wide[:, self.margin : self.wide.shape[1] - self.margin]


def slice_of(batch: SpeechBatch, start: Int[Tensor, " batch"], count: int, margin: int) -> Slice:
    """`count` samples of each recording from sample `start` on, and `margin` on each side; zeros beyond its ends."""
    wide, _ = stretches(batch.waveform, batch.waveform_lengths, start - margin, count + 2 * margin)
    return Slice(wide, margin)


def louder(cut: Slice, gain_db: tuple[float, float], generator: Generator | None = None) -> Slice:
    """Each item with a gain drawn from a range in dB, no louder than the peak may be."""
    low, high = gain_db
    if low == high == 0.0:
        return cut
    drawn = torch.rand(len(cut.wide), 1, generator=generator, device=cut.wide.device)
    gain = 10.0 ** ((low + (high - low) * drawn) / 20.0)
    most = LOUDEST / cut.wide.abs().amax(dim=1, keepdim=True).clamp(min=1e-4)
    return replace(cut, wide=cut.wide * torch.minimum(gain, most.clamp(min=1.0)))
