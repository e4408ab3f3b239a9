"""Standardisation of features by statistics of the training data, kept with the weights."""

from collections.abc import Iterable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


class Standardize(nn.Module):
    """(x - mean) / std per channel; identity until `fit` has seen data."""

    mean: Tensor
    std: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("std", torch.ones(channels))

    @torch.no_grad()
    def fit(self, values: Float[Tensor, "batch channels frames"], mask: Bool[Tensor, "batch 1 frames"]) -> None:
        """Takes mean and deviation per channel over the real frames; at least 1e-3, so that nothing explodes."""
        real = values.transpose(1, 2)[mask[:, 0]].double()
        self.mean.copy_(real.mean(dim=0))
        self.std.copy_(real.std(dim=0).clamp(min=1e-3))

    def fit_all(
        self, pieces: Iterable[tuple[Float[Tensor, "batch channels frames"], Bool[Tensor, "batch 1 frames"]]]
    ) -> None:
        """`fit` on several batches together, whatever their numbers of frames; one (values, mask) for each."""
        held = [(values.transpose(1, 2).flatten(0, 1), mask.flatten()) for values, mask in pieces]
        values, masks = (torch.cat(parts) for parts in zip(*held, strict=True))
        self.fit(values.T.unsqueeze(0), masks[None, None])

    def forward(self, x: Float[Tensor, "batch channels frames"]) -> Float[Tensor, "batch channels frames"]:
        return (x - self.mean[:, None]) / self.std[:, None]

    def inverse(self, x: Float[Tensor, "batch channels frames"]) -> Float[Tensor, "batch channels frames"]:
        """x * std + mean."""
        return x * self.std[:, None] + self.mean[:, None]
