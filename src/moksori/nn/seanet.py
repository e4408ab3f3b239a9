"""The convolutional encoder and decoder of neural codecs of the waveform: SEANet as EnCodec builds it.

Tagliasacchi et al. 2020 (SEANet); Zeghidour et al. 2021 (SoundStream, Fig. 3); Défossez et al. 2022 (EnCodec, section
3.1, here without the LSTM). Strided convolutions of twice the stride double the width each time; the decoder mirrors
that.

    encoder: conv -> [residual units, ELU, strided conv] for each stride -> ELU, conv
    decoder: conv -> [ELU, transposed conv, residual units] for each stride, last first -> ELU, conv
"""

import math
from collections.abc import Sequence

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from moksori.nn.conv import weight_normed


class PaddedConv1d(nn.Module):
    """A convolution that gives samples / stride steps: what lies beyond the ends is a reflection.

    causal: all of the padding comes first, so that no step depends on what follows.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel_size: int,
        stride: int = 1,
        dilation: int = 1,
        causal: bool = False,
    ) -> None:
        super().__init__()
        self.conv = weight_normed(nn.Conv1d(in_channels, channels, kernel_size, stride, dilation=dilation))
        self.total, self.causal = (kernel_size - 1) * dilation - (stride - 1), causal

    def forward(self, x: Float[Tensor, "batch in time"]) -> Float[Tensor, "batch out steps"]:
        right = 0 if self.causal else self.total // 2
        padded: Tensor = self.conv(_reflected(x, self.total - right, right))
        return padded


class TrimmedConvTranspose1d(nn.Module):
    """A transposed convolution that gives time * stride samples; causal: no sample depends on what follows its step."""

    def __init__(self, in_channels: int, channels: int, kernel_size: int, stride: int, causal: bool = False) -> None:
        super().__init__()
        self.conv = weight_normed(nn.ConvTranspose1d(in_channels, channels, kernel_size, stride))
        self.total, self.causal = kernel_size - stride, causal

    def forward(self, x: Float[Tensor, "batch in steps"]) -> Float[Tensor, "batch out time"]:
        right = self.total if self.causal else self.total // 2
        left = self.total - right
        whole: Tensor = self.conv(x)
        return whole[..., left : whole.shape[-1] - right]


class ResidualUnit(nn.Module):
    """ELU, dilated convolution to half the width, ELU, 1x1 convolution back; and a 1x1 convolution of the input."""

    def __init__(self, channels: int, kernel_size: int, dilation: int, causal: bool) -> None:
        super().__init__()
        self.dilated = PaddedConv1d(channels, channels // 2, kernel_size, dilation=dilation, causal=causal)
        self.widen = PaddedConv1d(channels // 2, channels, 1)
        self.shortcut = PaddedConv1d(channels, channels, 1)

    def forward(self, x: Float[Tensor, "batch channels time"]) -> Float[Tensor, "batch channels time"]:
        found: Tensor = self.shortcut(x) + self.widen(F.elu(self.dilated(F.elu(x))))
        return found


class SeanetEncoder(nn.Module):
    """`[batch, in, time]` -> `[batch, out, time / prod(strides)]`; the time must be a multiple of that product.

    channels: of the first layer; each stride doubles them. dilation_base: of residual unit j, to the power j.
    """

    def __init__(
        self,
        channels: int,
        out_channels: int,
        strides: Sequence[int],
        residual_layers: int = 1,
        dilation_base: int = 2,
        kernel_size: int = 7,
        last_kernel_size: int = 7,
        causal: bool = False,
        residual_kernel_size: int = 3,
        in_channels: int = 1,
    ) -> None:
        super().__init__()
        self.strides = tuple(strides)
        self._kernels = kernel_size, residual_kernel_size, last_kernel_size
        self._dilations = [dilation_base**index for index in range(residual_layers)]
        self.pre = PaddedConv1d(in_channels, channels, kernel_size, causal=causal)
        self.units, self.down = nn.ModuleList(), nn.ModuleList()
        for stride in self.strides:
            units = (ResidualUnit(channels, residual_kernel_size, d, causal) for d in self._dilations)
            self.units.append(nn.Sequential(*units))
            self.down.append(PaddedConv1d(channels, 2 * channels, 2 * stride, stride, causal=causal))
            channels *= 2
        self.post = PaddedConv1d(channels, out_channels, last_kernel_size, causal=causal)

    @property
    def context_steps(self) -> int:
        """Output steps on each side of a step whose samples it depends on; of a causal one, those before it."""
        first, residual, last = self._kernels
        rate, samples = 1, first - 1
        for stride in self.strides:
            samples += rate * (sum((residual - 1) * d for d in self._dilations) + 2 * stride - 1)
            rate *= stride
        return math.ceil((samples + rate * (last - 1)) / rate)

    def forward(self, x: Float[Tensor, "batch in time"]) -> Float[Tensor, "batch out steps"]:
        x = self.pre(x)
        for units, down in zip(self.units, self.down, strict=True):
            x = down(F.elu(units(x)))
        found: Tensor = self.post(F.elu(x))
        return found


class SeanetDecoder(nn.Module):
    """`[batch, in, steps]` -> `[batch, out, steps * prod(strides)]`; strides as the encoder's, undone last first."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        strides: Sequence[int],
        residual_layers: int = 1,
        dilation_base: int = 2,
        kernel_size: int = 7,
        last_kernel_size: int = 7,
        causal: bool = False,
        residual_kernel_size: int = 3,
        out_channels: int = 1,
    ) -> None:
        super().__init__()
        self.strides = tuple(reversed(strides))
        self._kernels = kernel_size, residual_kernel_size, last_kernel_size
        self._dilations = [dilation_base**index for index in range(residual_layers)]
        width = channels * 2 ** len(self.strides)
        self.pre = PaddedConv1d(in_channels, width, kernel_size, causal=causal)
        self.up, self.units = nn.ModuleList(), nn.ModuleList()
        for stride in self.strides:
            self.up.append(TrimmedConvTranspose1d(width, width // 2, 2 * stride, stride, causal))
            width //= 2
            units = (ResidualUnit(width, residual_kernel_size, d, causal) for d in self._dilations)
            self.units.append(nn.Sequential(*units))
        self.post = PaddedConv1d(width, out_channels, last_kernel_size, causal=causal)

    @property
    def context_steps(self) -> int:
        """Input steps on each side of a step that its samples depend on; of a causal one, those before it."""
        first, residual, last = self._kernels
        rate, samples = math.prod(self.strides), 0
        samples += rate * (first - 1)
        for stride in self.strides:
            samples += rate  # a transposed convolution of twice the stride reads the step beside it
            rate //= stride
            samples += rate * sum((residual - 1) * d for d in self._dilations)
        return math.ceil((samples + last - 1) / math.prod(self.strides))

    def forward(self, x: Float[Tensor, "batch in steps"]) -> Float[Tensor, "batch out time"]:
        x = self.pre(x)
        for up, units in zip(self.up, self.units, strict=True):
            x = units(up(F.elu(x)))
        found: Tensor = self.post(F.elu(x))
        return found


def _reflected(x: Tensor, left: int, right: int) -> Tensor:
    """Reflection on both sides; what is too short to be reflected is taken to go on with zeros."""
    if left == right == 0:
        return x
    missing = max(left, right) - x.shape[-1] + 1
    if missing <= 0:
        return F.pad(x, (left, right), mode="reflect")
    longer = F.pad(F.pad(x, (0, missing)), (left, right), mode="reflect")
    return longer[..., : longer.shape[-1] - missing]
