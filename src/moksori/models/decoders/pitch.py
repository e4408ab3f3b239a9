"""The pitch of a latent sequence: what the source of the homomorphic decoder follows."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from moksori.nn.conv import ProductConv1d
from moksori.nn.convnext import ConvNeXtStack
from moksori.nn.precision import full_precision

LOG_F0_LIMITS = (3.69, 6.91)
"""40 and 1000 Hz."""


def semitones(count: float) -> float:
    """As a difference of natural logs."""
    return count * (0.6931471805599453 / 12.0)


@dataclass(frozen=True)
class Pitch:
    """Per frame: natural log of F0 in Hz, defined in unvoiced frames too, and voicing from 0 to 1."""

    log_f0: Float[Tensor, "batch frames"]
    voicing: Float[Tensor, "batch frames"]

    def shifted(self, shift_semitones: float) -> "Pitch":
        return Pitch(self.log_f0 + semitones(shift_semitones), self.voicing)

    def finer(self, rate: int) -> "Pitch":
        """`rate` frames for each one, interpolated linearly between frame centres."""
        if rate == 1:
            return self
        both = torch.stack([self.log_f0, self.voicing], dim=1)
        fine = nn.functional.interpolate(both, scale_factor=rate, mode="linear", align_corners=False)
        return Pitch(fine[:, 0], fine[:, 1])

    def cut(self, start: int, stop: int) -> "Pitch":
        return Pitch(self.log_f0[:, start:stop], self.voicing[:, start:stop])


def pitch_from_f0(f0: Float[Tensor, "batch frames"]) -> Pitch:
    """Log F0 interpolated linearly through unvoiced frames (0 Hz), held at the ends; 200 Hz where nothing is voiced."""
    voiced = f0 > 0
    frames = torch.arange(f0.shape[1], device=f0.device).expand_as(f0)
    before = torch.where(voiced, frames, torch.full_like(frames, -1)).cummax(dim=1).values
    last = f0.shape[1]
    after = torch.where(voiced, frames, torch.full_like(frames, last)).flip(1).cummin(dim=1).values.flip(1)
    none_before, none_after = before < 0, after >= last
    before = torch.where(none_before, after, before).clamp(0, last - 1)
    after = torch.where(none_after, before, after).clamp(0, last - 1)
    log_f0 = torch.where(voiced, f0, torch.full_like(f0, 200.0)).log()
    low, high = log_f0.gather(1, before), log_f0.gather(1, after)
    weight = (frames - before).clamp(min=0) / (after - before).clamp(min=1)
    return Pitch(torch.lerp(low, high, weight.clamp(0, 1).to(f0.dtype)), voiced.to(f0.dtype))


def pitch_at(f0: Float[Tensor, "batch frames"], place: Int[Tensor, "batch places"]) -> Pitch:
    """The pitch at frames by number, of recordings whose F0 in Hz is 0 where unvoiced; ends go on outside."""
    pitch, inside = pitch_from_f0(f0), place.clamp(0, f0.shape[1] - 1)
    return Pitch(pitch.log_f0.gather(1, inside), pitch.voicing.gather(1, inside))


class PitchPredictor(nn.Module):
    """Log F0 and voicing logit per frame, from the latents."""

    def __init__(self, latent_channels: int, channels: int, num_layers: int, condition_channels: int = 0) -> None:
        super().__init__()
        self.body = ConvNeXtStack(
            latent_channels, channels, 3 * channels, num_layers, condition_channels=condition_channels
        )
        self.to_pitch = ProductConv1d(channels, 2, 1)
        nn.init.zeros_(self.to_pitch.weight)
        with torch.no_grad():
            assert self.to_pitch.bias is not None
            self.to_pitch.bias.copy_(torch.tensor([5.3, 0.0]))  # 200 Hz, the middle of human voices

    @property
    def context_frames(self) -> int:
        """Frames on each side of a frame that its pitch depends on."""
        return self.body.context_steps

    def forward(
        self,
        z: Float[Tensor, "batch channels frames"],
        mask: Bool[Tensor, "batch 1 frames"] | None = None,
        condition: Tensor | None = None,
    ) -> tuple[Float[Tensor, "batch frames"], Float[Tensor, "batch frames"]]:
        """Log F0 and voicing logit; in float32, since bfloat16 holds pitch to 2 semitones only."""
        with full_precision(z.device.type):
            values = self.to_pitch(self.body(z.float(), mask, condition))
        return values[:, 0], values[:, 1]

    def predict(self, z: Tensor, mask: Tensor | None = None, condition: Tensor | None = None) -> Pitch:
        """The pitch to speak with: F0 held between 40 and 1000 Hz, voicing decided at 0.5 with a soft edge."""
        log_f0, logit = self(z, mask, condition)
        return Pitch(log_f0.clamp(*LOG_F0_LIMITS), torch.sigmoid(4.0 * logit))
