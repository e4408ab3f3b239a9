"""A prior per frame instead of per token: what lets few training steps suffice."""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from moksori.nn.conv import ProductConv1d
from moksori.nn.convnext import ConvNeXtBlock
from moksori.nn.distributions import DiagonalGaussian
from moksori.nn.masks import masked

PLACE_FEATURES = 8


def place_features(
    place: Int[Tensor, "batch frames"], duration: Int[Tensor, "batch frames"]
) -> Float[Tensor, "batch 8 frames"]:
    """Where a frame lies in its token of d frames, k = 0 ... d - 1, with f = (k + 0.5) / d.

    f, 1 - f, sin(pi f), sin(2 pi f), time since the start and to the end in tens of frames, log(d) / 2, 1 / d.
    """
    k, d = place.float(), duration.float().clamp(min=1.0)
    f = (k + 0.5) / d
    since, until = (k + 0.5) / 10.0, (d - k - 0.5) / 10.0
    waves = [torch.sin(math.pi * f), torch.sin(2.0 * math.pi * f)]
    return torch.stack([f, 1.0 - f, *waves, since, until, 0.5 * d.log(), 1.0 / d], dim=1)


class FramePrior(nn.Module):
    """Token states, repeated over their frames and told their place, through ConvNeXt blocks to Gaussians."""

    def __init__(self, channels: int, latent_channels: int, inner_channels: int, num_layers: int) -> None:
        super().__init__()
        self.place = ProductConv1d(PLACE_FEATURES, channels, 1)
        self.blocks = nn.ModuleList(
            ConvNeXtBlock(channels, inner_channels, layer_scale=1.0 / num_layers) for _ in range(num_layers)
        )
        self.projection = ProductConv1d(channels, 2 * latent_channels, 1)
        nn.init.normal_(self.projection.weight, std=0.02)
        assert self.projection.bias is not None
        nn.init.zeros_(self.projection.bias)

    @property
    def context_frames(self) -> int:
        """Frames on each side of a frame that its Gaussian depends on."""
        return sum(block.context_steps for block in self.blocks if isinstance(block, ConvNeXtBlock))

    def forward(
        self,
        hidden: Float[Tensor, "batch channels frames"],
        place: Int[Tensor, "batch frames"],
        duration: Int[Tensor, "batch frames"],
        mask: Bool[Tensor, "batch 1 frames"] | None,
    ) -> DiagonalGaussian:
        """The prior's mean and log standard deviation, zero at padding."""
        h = hidden + self.place(place_features(place, duration).to(hidden.dtype))
        for block in self.blocks:
            h = block(h, mask)
        return DiagonalGaussian.from_stats(masked(self.projection(h), mask))
