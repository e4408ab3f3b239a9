"""ConvNeXt blocks in one dimension (Liu et al. 2022), the body of Vocos-like decoders (Siuzdak 2023)."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from moksori.nn.conv import Conv1d, ProductConv1d, by_rows, context_steps, steady_gelu


class ConvNeXtBlock(nn.Module):
    """Depthwise conv, LayerNorm, two pointwise layers with GELU between, per-channel scale, residual.

    Works on `[batch, channels, time]`; everything but the depthwise convolution runs channels-last inside.
    """

    def __init__(self, channels: int, inner_channels: int, kernel_size: int = 7, layer_scale: float = 1.0) -> None:
        super().__init__()
        self.depthwise = Conv1d(channels, channels, kernel_size, padding=kernel_size // 2, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.widen = nn.Linear(channels, inner_channels)
        self.narrow = nn.Linear(inner_channels, channels)
        self.scale = nn.Parameter(torch.full((channels,), layer_scale))

    @property
    def context_steps(self) -> int:
        """Time steps on each side of a step that its output depends on."""
        return context_steps(self.depthwise)

    def forward(
        self, x: Float[Tensor, "batch channels time"], mask: Bool[Tensor, "batch 1 time"] | None = None
    ) -> Float[Tensor, "batch channels time"]:
        """mask: True where real; padding is zeroed before the convolution, so that it cannot leak in."""
        h = self.depthwise(x if mask is None else x * mask)
        h = steady_gelu(by_rows(self.norm(h.transpose(1, 2)), self.widen.weight, self.widen.bias))
        h = by_rows(h, self.narrow.weight, self.narrow.bias)
        return x + (h * self.scale).transpose(1, 2)


class ConvNeXtStack(nn.Module):
    """Input convolution (kernel 7), norm, `num_layers` blocks, norm: `[batch, in, time] -> [batch, channels, time]`.

    condition_channels: width of a speaker vector `[batch, condition, 1]` added after the input convolution; 0 = none.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        inner_channels: int,
        num_layers: int,
        kernel_size: int = 7,
        condition_channels: int = 0,
    ) -> None:
        super().__init__()
        self.pre = ProductConv1d(in_channels, channels, kernel_size, padding=kernel_size // 2)
        self.condition = ProductConv1d(condition_channels, channels, 1) if condition_channels else None
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.blocks = nn.ModuleList(
            ConvNeXtBlock(channels, inner_channels, kernel_size, layer_scale=1.0 / num_layers)
            for _ in range(num_layers)
        )
        self.final_norm = nn.LayerNorm(channels, eps=1e-6)
        for module in self.modules():
            if isinstance(module, nn.Conv1d | nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    @property
    def context_steps(self) -> int:
        """Time steps on each side of a step that its output depends on."""
        blocks = sum(block.context_steps for block in self.blocks if isinstance(block, ConvNeXtBlock))
        return context_steps(self.pre) + blocks

    def forward(
        self,
        x: Float[Tensor, "batch in time"],
        mask: Bool[Tensor, "batch 1 time"] | None = None,
        condition: Float[Tensor, "batch condition 1"] | None = None,
    ) -> Float[Tensor, "batch channels time"]:
        h = self.pre(x if mask is None else x * mask)
        if self.condition is not None and condition is not None:
            h = h + self.condition(condition)
        h = self.norm(h.transpose(1, 2)).transpose(1, 2)
        for block in self.blocks:
            h = block(h, mask)
        h = self.final_norm(h.transpose(1, 2)).transpose(1, 2)
        return h if mask is None else h * mask
