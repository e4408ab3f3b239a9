"""Short-time Fourier transforms as convolutions with fixed kernels, in real numbers: for exported graphs.

Runtimes of exported graphs have no complex numbers and slow Fourier operators or none. A transform with a window is a
strided convolution whose kernels are windowed cosines and sines, its inverse a transposed one. Both give what
`nn.istft` gives. The kernels are computed in float64: in float32 their angles alone would cost 2e-4.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn


def _waves(n_fft: int) -> tuple[Float[Tensor, "bins n_fft"], Float[Tensor, "bins n_fft"]]:
    """cos and -sin of 2 pi k n / n_fft in float64: real and imaginary part of exp(-j w n)."""
    turns = torch.outer(torch.arange(n_fft // 2 + 1), torch.arange(n_fft)).remainder(n_fft).double() / n_fft
    return torch.cos(2.0 * math.pi * turns), -torch.sin(2.0 * math.pi * turns)


class FixedStft(nn.Module):
    """`[batch, frames * hop]` samples -> real and imaginary part `[batch, bins, frames]`, as `ComplexStft`.

    Zeros beyond the ends; periodic Hann window of n_fft samples.
    """

    kernel: Tensor

    def __init__(self, n_fft: int, hop_length: int) -> None:
        super().__init__()
        self.hop_length, self.padding = hop_length, (n_fft - hop_length) // 2
        cosines, sines = _waves(n_fft)
        window = torch.hann_window(n_fft, dtype=torch.float64)
        self.register_buffer("kernel", (torch.cat([cosines, sines]) * window).float().unsqueeze(1), persistent=False)

    def forward(
        self, waveform: Float[Tensor, "batch samples"]
    ) -> tuple[Float[Tensor, "batch bins frames"], Float[Tensor, "batch bins frames"]]:
        spectrum = nn.functional.conv1d(
            waveform.unsqueeze(1), self.kernel, stride=self.hop_length, padding=self.padding
        )
        real, imaginary = spectrum.chunk(2, dim=1)
        return real, imaginary


class FixedInverseStft(nn.Module):
    """Real and imaginary part `[batch, bins, frames]` -> `[batch, frames * hop]` samples, as `InverseStft`."""

    kernel: Tensor
    square: Tensor

    def __init__(self, n_fft: int, hop_length: int) -> None:
        super().__init__()
        self.hop_length, self.padding = hop_length, (n_fft - hop_length) // 2
        cosines, sines = _waves(n_fft)
        window = torch.hann_window(n_fft, dtype=torch.float64)
        # A real signal has each bin twice, as itself and as its mirror image, but for the first and the last.
        share = torch.full((n_fft // 2 + 1, 1), 2.0 / n_fft, dtype=torch.float64)
        share[0] = share[-1] = 1.0 / n_fft
        kernel = torch.cat([cosines * share, sines * share]) * window
        self.register_buffer("kernel", kernel.float().unsqueeze(1), persistent=False)
        self.register_buffer("square", window.square().float()[None, None], persistent=False)

    def forward(
        self, real: Float[Tensor, "batch bins frames"], imaginary: Float[Tensor, "batch bins frames"]
    ) -> Float[Tensor, "batch samples"]:
        total = self._overlap_add(torch.cat([real, imaginary], dim=1), self.kernel)
        envelope = self._overlap_add(torch.ones_like(real[:, :1]), self.square)
        return (total / envelope)[:, 0]

    def _overlap_add(self, pieces: Tensor, kernel: Tensor) -> Tensor:
        return nn.functional.conv_transpose1d(pieces, kernel, stride=self.hop_length, padding=self.padding)
