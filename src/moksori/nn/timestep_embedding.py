"""How a diffusion's network is told the time (Ho et al. 2020; Kong et al. 2021, DiffWave)."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class TimestepEmbedding(nn.Module):
    """Sines and cosines of t, two linear layers with Mish between; `[batch]` in, `[batch, channels]` out.

    hidden_channels: between the layers. scale: factor on t before the sines, whose frequencies lie between 1 and
    1/10,000 radians: with t in [0, 1] and scale 1 most of them would hardly move.
    Raises ValueError for an odd number of channels.
    """

    frequencies: Tensor

    def __init__(self, channels: int, hidden_channels: int, scale: float = 1000.0) -> None:
        super().__init__()
        if channels % 2 or channels < 4:
            raise ValueError(f"channels {channels}: sines and cosines need an even number of at least 4")
        half, self.scale = channels // 2, scale
        frequencies = torch.exp(-math.log(10000.0) * torch.arange(half) / (half - 1))
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.expand = nn.Linear(channels, hidden_channels)
        self.contract = nn.Linear(hidden_channels, channels)

    def forward(self, t: Float[Tensor, " batch"]) -> Float[Tensor, "batch channels"]:
        angle = self.scale * t.float().unsqueeze(1) * self.frequencies
        waves = torch.cat([angle.sin(), angle.cos()], dim=1)
        return self.contract(F.mish(self.expand(waves)))
