"""E, G and D: convolutions over the bins of one frame (Hsu et al. 2016 and 2017; sizes of their public code).

A frame of 513 bins is a signal of one channel, or of as many as frames are heard. Sizes go 513, 171, 57, 19, 7, 3 in E
and 19, 57, 171, 513 in G. Norms are layer norms over channels and bins of a frame: a norm over the batch would take the
speaker away where all of a batch is one, as in conversion.
"""

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from moksori.models.world_vae.config import CriticConfig, FrameDecoderConfig, FrameEncoderConfig
from moksori.nn.distributions import DiagonalGaussian
from moksori.nn.precision import full_precision

SLOPE = 0.02
LOG_STD_LIMITS = (-7.0, 3.0)
SPECTRAL_FROM = 33
"""Length of a kernel."""


class StridedConv(nn.Module):
    """A convolution over bins that gives ceil(size / stride) of them, padded as evenly as may be."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(in_channels, out_channels, kernel_size, stride)

    def forward(self, x: Float[Tensor, "batch channels bins"]) -> Float[Tensor, "batch out fewer"]:
        (kernel,), (stride,) = self.conv.kernel_size, self.conv.stride
        total = max((strided(x.shape[2], stride) - 1) * stride + kernel - x.shape[2], 0)
        return self.conv(F.pad(x, (total // 2, total - total // 2)))


class WideConv(nn.Conv1d):
    """A centred convolution whose kernel may be longer than what it looks at, computed by way of the spectrum.

    Of 256 frames of 513 bins and 8 channels a kernel of 129 takes a tenth of the time of the direct way on a CPU, the
    gradients counted in; the numbers are the same but for rounding.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size, padding=kernel_size // 2)

    def forward(self, x: Float[Tensor, "batch channels bins"]) -> Float[Tensor, "batch out bins"]:
        bins, (kernel,) = x.shape[2], self.kernel_size
        if kernel < SPECTRAL_FROM:
            return super().forward(x)
        with full_precision(x.device.type):
            size = fast_size(bins + kernel // 2)
            weight = self.weight.float()
            if kernel > size:  # what lies further away than any bin is never met
                weight = weight[:, :, (kernel - size + 1) // 2 :][:, :, :size]
            before = kernel // 2 if kernel <= size else kernel // 2 - (kernel - size + 1) // 2
            spectrum, response = torch.fft.rfft(x.float(), size), torch.fft.rfft(weight, size).conj()
            made = torch.fft.irfft((spectrum.unsqueeze(1) * response).sum(dim=2), size)
            assert self.bias is not None
            return made.roll(before, 2)[:, :, :bins] + self.bias[:, None]


class FrameEncoder(nn.Module):
    """E: the posterior of z given frames."""

    def __init__(self, config: FrameEncoderConfig, context: int, bins: int, latent_channels: int) -> None:
        super().__init__()
        widths = [context, *config.channels]
        self.layers = nn.ModuleList(
            nn.Sequential(StridedConv(a, b, config.kernel_size, config.stride), nn.GroupNorm(1, b), nn.LeakyReLU(SLOPE))
            for a, b in pairwise(widths)
        )
        self.sizes = sizes(bins, [config.stride] * len(config.channels))
        flat = widths[-1] * self.sizes[-1]
        self.mean = nn.Linear(flat, latent_channels)
        self.log_std = nn.Linear(flat, latent_channels)

    def forward(self, x: Float[Tensor, "batch context bins"]) -> DiagonalGaussian:
        """Both of `[batch, latent]`."""
        for layer in self.layers:
            x = layer(x)
        hidden = x.flatten(1)
        return DiagonalGaussian(self.mean(hidden).float(), self.log_std(hidden).float().clamp(*LOG_STD_LIMITS))


class FrameDecoder(nn.Module):
    """G: frames of z, who speaks and, where it is told, the pitch."""

    def __init__(
        self,
        config: FrameDecoderConfig,
        latent_channels: int,
        speaker_channels: int,
        pitch_channels: int,
        first_size: int,
    ) -> None:
        super().__init__()
        flat = config.first_channels * first_size
        width = config.merge_channels or flat
        self.from_latent = nn.Linear(latent_channels, width)
        self.from_speaker = nn.Linear(speaker_channels, width, bias=False)
        self.from_pitch = nn.Linear(pitch_channels, width, bias=False) if pitch_channels else None
        self.merged = nn.Sequential(nn.LeakyReLU(SLOPE), nn.Linear(width, flat)) if config.merge_channels else None
        self.first_channels, self.tanh = config.first_channels, config.tanh
        widths = [config.first_channels, *config.channels]
        self.layers = nn.ModuleList()
        for (a, b), kernel, stride in zip(pairwise(widths), config.kernel_sizes, config.strides, strict=True):
            extra = (kernel - stride) % 2
            grow = nn.ConvTranspose1d(a, b, kernel, stride, (kernel - stride + extra) // 2, output_padding=extra)
            self.layers.append(nn.Sequential(nn.LeakyReLU(SLOPE), grow, nn.GroupNorm(1, b)))
        self.last = WideConv(widths[-1], 1, config.last_kernel_size)

    def forward(
        self,
        latent: Float[Tensor, "batch latent"],
        speaker: Float[Tensor, "batch speaker"],
        pitch: Float[Tensor, "batch pitch"] | None = None,
    ) -> Float[Tensor, "batch bins"]:
        hidden = self.from_latent(latent) + self.from_speaker(speaker)
        if self.from_pitch is not None:
            if pitch is None:
                raise ValueError("this decoder is told the pitch: F0 is missing")
            hidden = hidden + self.from_pitch(pitch)
        if self.merged is not None:
            hidden = self.merged(hidden)
        x = hidden.unflatten(1, (self.first_channels, -1))
        for layer in self.layers:
            x = layer(x)
        made = self.last(F.leaky_relu(x, SLOPE))[:, 0]
        return torch.tanh(made) if self.tanh else made


class Critic(nn.Module):
    """D: scores of frames for speakers, without bound.

    One for all speakers, in place of one for each pair: the score is w · h(x) + b + e(y) · h(x) (projection, Miyato and
    Koyama 2018). It has no norm: one over the batch would couple what the gradient penalty looks at one by one.
    """

    def __init__(self, config: CriticConfig, bins: int, speakers: int, bias: bool) -> None:
        """bias: of the score; a distance knows none."""
        super().__init__()
        widths = [1, *config.channels]
        self.layers = nn.ModuleList(
            StridedConv(a, b, kernel, config.stride)
            for (a, b), kernel in zip(pairwise(widths), config.kernel_sizes, strict=True)
        )
        flat = widths[-1] * sizes(bins, [config.stride] * len(config.channels))[-1]
        self.score = nn.Linear(flat, 1, bias)
        self.speakers = nn.Embedding(speakers, flat)
        nn.init.zeros_(self.speakers.weight)

    def forward(self, x: Float[Tensor, "batch bins"], speaker: Int[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        hidden = x.unsqueeze(1)
        for layer in self.layers:
            hidden = F.leaky_relu(layer(hidden), SLOPE)
        flat = hidden.flatten(1)
        return self.score(flat)[:, 0] + (self.speakers(speaker) * flat).sum(dim=1)

    @torch.no_grad()
    def clip(self, limit: float) -> None:
        """Brings all weights to within plus and minus a limit."""
        for parameter in self.parameters():
            parameter.clamp_(-limit, limit)


def fast_size(least: int) -> int:
    """The smallest even number of the form 2^a 3^b 5^c from `least` on: a transform of it is fast."""
    size = least + least % 2
    while True:
        rest = size
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return size
        size += 2


def strided(size: int, stride: int) -> int:
    """Positions left of so many."""
    return math.ceil(size / stride)


def sizes(bins: int, strides: list[int]) -> list[int]:
    """Positions before and after each of some strided convolutions."""
    found = [bins]
    for stride in strides:
        found.append(strided(found[-1], stride))
    return found
