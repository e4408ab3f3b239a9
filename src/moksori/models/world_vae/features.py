"""What the networks see of shapes: the range of each bin in the training data, on -1 to 1."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

OUTSIDE = 0.005
"""Share of the training frames that lie below a bin's range, and as many above it."""
_FIRST_RANGE = (-8.0, 0.0)
_LEAST_WIDTH = 1e-2


class SpectrumRange(nn.Module):
    """x = 2 (shape - low) / (high - low) - 1, clipped to [-1, 1]: a range a bin for all recordings, never a file's own.

    low, high: the 0.5 and 99.5 percentiles of the frames that `fit` was given; -8 to 0 before.
    """

    low: Tensor
    high: Tensor

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.register_buffer("low", torch.full((bins,), _FIRST_RANGE[0]))
        self.register_buffer("high", torch.full((bins,), _FIRST_RANGE[1]))

    @torch.no_grad()
    def fit(self, shapes: Float[Tensor, "frames bins"]) -> None:
        """Takes the range of each bin over frames."""
        ordered = shapes.float().sort(dim=0).values
        places = torch.tensor([OUTSIDE, 1.0 - OUTSIDE]) * (len(ordered) - 1)
        below, share = places.floor().long(), places - places.floor()
        above = (below + 1).clamp(max=len(ordered) - 1)
        low, high = (torch.lerp(ordered[below[i]], ordered[above[i]], share[i].item()) for i in range(2))
        # What is stored is rounded to half precision: a model that was saved then maps as the one that was trained.
        self.low.copy_(low.half().float())
        self.high.copy_(torch.maximum(high, low + _LEAST_WIDTH).half().float())

    def forward(self, shapes: Float[Tensor, "*frames bins"]) -> Float[Tensor, "*frames bins"]:
        width = (self.high - self.low).clamp(min=_LEAST_WIDTH)
        return (2.0 * (shapes - self.low) / width - 1.0).clamp(-1.0, 1.0)

    def inverse(self, x: Float[Tensor, "*frames bins"]) -> Float[Tensor, "*frames bins"]:
        """The shape of what the networks make."""
        return (x + 1.0) / 2.0 * (self.high - self.low) + self.low


def relative_pitch(
    f0: Float[Tensor, "*frames"], mean: Float[Tensor, "*frames"], deviation: Float[Tensor, "*frames"]
) -> Float[Tensor, "*frames 2"]:
    """(ln F0 - mean) / deviation, 0 where unvoiced, held to three deviations, and voicing as 0 or 1."""
    voiced = f0 > 0
    height = (torch.where(voiced, f0, 1.0).log() - mean) / deviation.clamp(min=0.02)
    return torch.stack([torch.where(voiced, height.clamp(-3.0, 3.0), 0.0), voiced.to(height.dtype)], dim=-1)


def temporal_median(x: Float[Tensor, "frames bins"], size: int) -> Float[Tensor, "fewer bins"]:
    """The median of every `size` neighbouring frames: size - 1 frames fewer."""
    return x if size == 1 else x.unfold(0, size, 1).median(dim=2).values
