"""Pitch as the model takes it: without gaps, and as an embedding."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from moksori.models.naturalspeech2.config import PitchConfig

USUAL_HZ = 150.0
"""Between men and women: the pitch of what has none at all."""


@dataclass(frozen=True)
class Pitch:
    """log_f0: natural logarithm of F0 in Hz, without gaps. voiced: where there is a pitch to be heard."""

    log_f0: Float[Tensor, "batch frames"]
    voiced: Bool[Tensor, "batch frames"]

    @classmethod
    def of(cls, f0: Float[Tensor, "batch frames"]) -> "Pitch":
        """F0 in Hz, 0 where unvoiced: there it lies on a line in log F0 between its neighbours, as no logarithm of 0
        could (Amphion #148); before the first and after the last voiced frame it stays as it is there."""
        frames = f0.shape[1]
        voiced = f0 > 0.0
        place = torch.arange(frames, device=f0.device).expand_as(f0)
        before = torch.where(voiced, place, -1).cummax(dim=1).values
        after = torch.where(voiced, place, frames).flip(1).cummin(dim=1).values.flip(1)
        log = torch.log(torch.where(voiced, f0, USUAL_HZ).float())
        left, right = log.gather(1, before.clamp(min=0)), log.gather(1, after.clamp(max=frames - 1))
        left = torch.where(before < 0, right, left)
        right = torch.where(after == frames, left, right)
        part = (place - before) / (after - before).clamp(min=1)
        return cls(torch.lerp(left, right, part.clamp(0.0, 1.0).float()), voiced)

    def hertz(self, mask: Bool[Tensor, "batch 1 frames"]) -> Float[Tensor, "batch frames"]:
        """F0 in Hz, 0 where unvoiced and at padding."""
        return torch.exp(self.log_f0) * (self.voiced & mask[:, 0])

    def shifted(self, semitones: float) -> "Pitch":
        return Pitch(self.log_f0 + semitones * math.log(2.0) / 12.0, self.voiced)


class PitchEmbedding(nn.Module):
    """A vector for each frame's pitch: bins at equal steps in log F0, the outermost for all beyond."""

    edges: Tensor

    def __init__(self, config: PitchConfig, channels: int) -> None:
        super().__init__()
        self.interpolate, self.bins = config.interpolate, config.bins
        self.low, self.high = math.log(config.lowest_hz), math.log(config.highest_hz)
        # Compared in double precision: an edge is the pitch that it says.
        edges = torch.linspace(self.low, self.high, config.bins - 1, dtype=torch.float64)
        self.register_buffer("edges", edges, persistent=False)
        self.table = nn.Embedding(config.bins, channels)
        self.voicing = nn.Embedding(2, channels) if config.voicing else None
        for table in (self.table, self.voicing):
            if table is not None:
                nn.init.normal_(table.weight, 0.0, channels**-0.5)

    def bin_of(self, log_f0: Float[Tensor, "batch frames"]) -> Tensor:
        """The bin that a pitch falls into: 0 up to the lowest edge, the last one above the highest."""
        return torch.bucketize(log_f0.double().contiguous(), self.edges)

    def forward(self, pitch: Pitch) -> Float[Tensor, "batch channels frames"]:
        if self.interpolate:
            place = (pitch.log_f0 - self.low) / (self.high - self.low) * (self.bins - 1)
            place = place.clamp(0.0, self.bins - 1.0)
            below = place.floor().clamp(max=self.bins - 2.0)
            lower = below.long()
            part = (place - below).unsqueeze(2)
            found = torch.lerp(self.table(lower), self.table(lower + 1), part.to(self.table.weight.dtype))
        else:
            found = self.table(self.bin_of(pitch.log_f0))
        if self.voicing is not None:
            found = found + self.voicing(pitch.voiced.long())
        return found.transpose(1, 2)
