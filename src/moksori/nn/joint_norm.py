"""Normalisation over channels and time together, which keeps what is constant in time."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from moksori.nn.precision import at_least_float32, full_precision


class JointNorm(nn.Module):
    """Mean 0 and variance 1 of each item over all its channels and frames; nothing is learnt.

    Chou et al. and Lian et al. (2022) call it IN2d. It is not instance normalisation, which works channel by channel
    over time: that would delete whatever is constant in time, and so all that tells a speaker.
    """

    def __init__(self, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.epsilon = epsilon

    def forward(
        self, x: Float[Tensor, "batch channels time"], mask: Bool[Tensor, "batch 1 time"] | None = None
    ) -> Float[Tensor, "batch channels time"]:
        """mask: True where real; statistics are of real frames alone, and the others become 0."""
        with full_precision(x.device.type):
            x = at_least_float32(x)
            if mask is None:
                variance, mean = torch.var_mean(x, dim=(1, 2), keepdim=True, correction=0)
                return (x - mean) * torch.rsqrt(variance + self.epsilon)
            count = (mask.sum(dim=2, keepdim=True) * x.shape[1]).clamp(min=1)
            mean = (x * mask).sum(dim=(1, 2), keepdim=True) / count
            centred = (x - mean) * mask
            variance = centred.square().sum(dim=(1, 2), keepdim=True) / count
            return centred * torch.rsqrt(variance + self.epsilon)
