"""Layers that are scaled and shifted by what is known beside their input (FiLM, Perez et al. 2018)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from moksori.nn.conv import ProductConv1d, split_channels


class Film(nn.Module):
    """gain(c) · x + shift(c), both linear in a condition c that has as many steps as x, or one for all of them.

    The gain starts around 1 and the shift around 0, so that x passes as it is at first.
    """

    def __init__(self, condition_channels: int, channels: int) -> None:
        super().__init__()
        self.projection = ProductConv1d(condition_channels, 2 * channels, 1)
        with torch.no_grad():
            assert self.projection.bias is not None
            self.projection.bias[:channels] = 1.0
            self.projection.bias[channels:] = 0.0

    def forward(
        self, x: Float[Tensor, "batch channels time"], condition: Float[Tensor, "batch condition _"]
    ) -> Float[Tensor, "batch channels time"]:
        gain, shift = split_channels(self.projection(condition), x.shape[1], x.shape[1])
        return gain * x + shift


class ConditionedNorm(nn.Module):
    """Layer normalisation over the channels of each step, whose gain and shift are linear in a vector.

    It starts as a plain normalisation, whatever the vector is.
    """

    def __init__(self, channels: int, condition_channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=eps, elementwise_affine=False)
        self.film = Film(condition_channels, channels)
        nn.init.zeros_(self.film.projection.weight)

    def forward(
        self, x: Float[Tensor, "batch channels time"], condition: Float[Tensor, "batch condition 1"] | None
    ) -> Float[Tensor, "batch channels time"]:
        """Raises ValueError without a condition."""
        if condition is None:
            raise ValueError("this norm is steered by a vector, but none was given: see its condition_channels")
        return self.film(self.norm(x.transpose(1, 2)).transpose(1, 2), condition)
