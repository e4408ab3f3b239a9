"""The HiFi-GAN generator (Kong et al. 2020, arXiv:2010.05646), as VITS uses it on latents."""

import math
from collections.abc import Sequence
from functools import reduce
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from moksori.nn.conv import ConditionProjection, Conv1d, ConvTranspose1d, context_steps, same_padding, weight_normed
from moksori.nn.masks import repeated_mask
from moksori.nn.precision import at_least_float32, full_precision

SLOPE = 0.1
# The published code calls leaky_relu without a slope before the last convolution, and so do all its trained weights.
LAST_SLOPE = 0.01


def _times(x: Tensor, mask: Tensor | None) -> Tensor:
    return x if mask is None else x * mask


class DoubleResidualBlock(nn.Module):
    """ResBlock1: per dilation a dilated and a plain convolution, each after a leaky ReLU, and a residual."""

    def __init__(self, channels: int, kernel_size: int, dilations: Sequence[int], weight_norm: bool = True) -> None:
        super().__init__()
        self.dilated = nn.ModuleList()
        self.plain = nn.ModuleList()
        for dilation in dilations:
            padding = same_padding(kernel_size, dilation)
            layer = Conv1d(channels, channels, kernel_size, dilation=dilation, padding=padding)
            self.dilated.append(weight_normed(layer, weight_norm))
            layer = Conv1d(channels, channels, kernel_size, padding=same_padding(kernel_size))
            self.plain.append(weight_normed(layer, weight_norm))

    @property
    def context_steps(self) -> int:
        """Time steps on each side of a step that its output depends on."""
        return sum(context_steps(layer) for layer in (*self.dilated, *self.plain))

    def forward(
        self, x: Float[Tensor, "batch channels time"], mask: Bool[Tensor, "batch 1 time"] | None = None
    ) -> Float[Tensor, "batch channels time"]:
        for dilated, plain in zip(self.dilated, self.plain, strict=True):
            hidden = dilated(_times(F.leaky_relu(x, SLOPE), mask))
            x = x + plain(_times(F.leaky_relu(hidden, SLOPE), mask))
        return x


class SingleResidualBlock(nn.Module):
    """ResBlock2: per dilation one dilated convolution after a leaky ReLU, and a residual."""

    def __init__(self, channels: int, kernel_size: int, dilations: Sequence[int], weight_norm: bool = True) -> None:
        super().__init__()
        self.dilated = nn.ModuleList()
        for dilation in dilations:
            padding = same_padding(kernel_size, dilation)
            layer = Conv1d(channels, channels, kernel_size, dilation=dilation, padding=padding)
            self.dilated.append(weight_normed(layer, weight_norm))

    @property
    def context_steps(self) -> int:
        """Time steps on each side of a step that its output depends on."""
        return sum(context_steps(layer) for layer in self.dilated)

    def forward(
        self, x: Float[Tensor, "batch channels time"], mask: Bool[Tensor, "batch 1 time"] | None = None
    ) -> Float[Tensor, "batch channels time"]:
        for dilated in self.dilated:
            x = x + dilated(_times(F.leaky_relu(x, SLOPE), mask))
        return x


_RESIDUAL_BLOCKS = (DoubleResidualBlock, SingleResidualBlock)


class HifiGanGenerator(nn.Module):
    """Latent or mel frames to waveform: transposed convolutions, each followed by the mean of parallel residual blocks.

    in_channels: of the frames. upsample_rates: their product is the hop length; each step halves the channels, from
    `initial_channels` on. upsample_kernels: one per rate, of the same parity. residual_dilations: one tuple per kernel
    of `residual_kernels`. block: "double" is ResBlock1 (HiFi-GAN V1), "single" ResBlock2 (V3, and Piper's with
    kernels 3, 5, 7, dilations (1, 2), (2, 6), (3, 12), rates 8, 8, 4 and 256 initial channels).
    Weights start at PyTorch's defaults: the N(0, 0.01) of the published code never reaches its normalised weights.
    Raises ValueError where lists do not match.
    """

    def __init__(
        self,
        in_channels: int,
        initial_channels: int = 512,
        upsample_rates: Sequence[int] = (8, 8, 2, 2),
        upsample_kernels: Sequence[int] = (16, 16, 4, 4),
        residual_kernels: Sequence[int] = (3, 7, 11),
        residual_dilations: Sequence[Sequence[int]] = ((1, 3, 5), (1, 3, 5), (1, 3, 5)),
        block: Literal["double", "single"] = "double",
        condition_channels: int = 0,
        weight_norm: bool = True,
    ) -> None:
        super().__init__()
        if len(upsample_rates) != len(upsample_kernels):
            raise ValueError(f"{len(upsample_rates)} upsample_rates but {len(upsample_kernels)} upsample_kernels")
        if len(residual_kernels) != len(residual_dilations):
            raise ValueError(
                f"{len(residual_kernels)} residual_kernels but {len(residual_dilations)} residual_dilations"
            )
        if initial_channels % 2 ** len(upsample_rates) != 0:
            raise ValueError(f"initial_channels {initial_channels} cannot be halved {len(upsample_rates)} times")
        block_type = DoubleResidualBlock if block == "double" else SingleResidualBlock
        self.upsample_rates = tuple(upsample_rates)
        self.num_kernels = len(residual_kernels)
        self.input = Conv1d(in_channels, initial_channels, 7, padding=3)
        self.condition = ConditionProjection(condition_channels, initial_channels)
        self.upsamplers = nn.ModuleList()
        self.blocks = nn.ModuleList()
        channels = initial_channels
        for rate, kernel in zip(upsample_rates, upsample_kernels, strict=True):
            if kernel < rate or (kernel - rate) % 2 != 0:
                raise ValueError(f"upsample kernel {kernel} does not fit rate {rate}: take rate + an even number")
            upsampler = ConvTranspose1d(channels, channels // 2, kernel, stride=rate, padding=(kernel - rate) // 2)
            self.upsamplers.append(weight_normed(upsampler, weight_norm))
            channels //= 2
            for residual_kernel, dilations in zip(residual_kernels, residual_dilations, strict=True):
                self.blocks.append(block_type(channels, residual_kernel, dilations, weight_norm))
        self.output = Conv1d(channels, 1, 7, padding=3, bias=False)

    @property
    def hop_length(self) -> int:
        """Samples per frame."""
        return math.prod(self.upsample_rates)

    @property
    def context_steps(self) -> int:
        """Frames on each side of a frame that its samples depend on: 13 with the published sizes."""
        # From the samples of frame 0 back to the first and last step of each layer's input that they read.
        first, last = 0, self.hop_length - 1
        first, last = first - context_steps(self.output), last + context_steps(self.output)
        stages = list(zip(self.upsamplers, self.upsample_rates, strict=True))
        for index, (upsampler, rate) in reversed(list(enumerate(stages))):
            assert isinstance(upsampler, nn.ConvTranspose1d)
            blocks = self.blocks[index * self.num_kernels : (index + 1) * self.num_kernels]
            reach = max(block.context_steps for block in blocks if isinstance(block, _RESIDUAL_BLOCKS))
            kernel, padding = upsampler.kernel_size[0], int(upsampler.padding[0])
            first = -((kernel - 1 - padding - (first - reach)) // rate)  # rounded up
            last = (last + reach + padding) // rate
        return max(-first, last) + context_steps(self.input)

    def forward(
        self,
        frames: Float[Tensor, "batch channels frames"],
        condition: Float[Tensor, "batch condition _"] | None = None,
        mask: Bool[Tensor, "batch 1 frames"] | None = None,
    ) -> Float[Tensor, "batch samples"]:
        """Waveform in [-1, 1], frames · hop_length samples.

        mask: the paper has none, and there the end of a short item in a batch hears its padding (13 frames deep). With
        a mask every convolution sees zeros beyond an item's end, so each sounds exactly as it does alone.
        """
        x = self.input(_times(frames, mask))
        condition = self.condition(condition)
        if condition is not None:
            x = x + condition
        for index, (upsampler, rate) in enumerate(zip(self.upsamplers, self.upsample_rates, strict=True)):
            # The residual path stays in float32 under autocast: all that follows is added to it (43 dB instead of 33).
            with full_precision(x.device.type):
                x = upsampler(_times(F.leaky_relu(at_least_float32(x), SLOPE), mask))
            mask = None if mask is None else repeated_mask(mask, rate)
            blocks = self.blocks[index * self.num_kernels : (index + 1) * self.num_kernels]
            x = reduce(torch.add, (block(x, mask) for block in blocks)) / self.num_kernels
        # bfloat16 has 8 significant bits: as samples that would be 8-bit sound.
        with full_precision(x.device.type):
            x = _times(F.leaky_relu(x.to(self.output.weight.dtype), LAST_SLOPE), mask)
            return _times(torch.tanh(self.output(x)), mask)[:, 0]
