"""The one encoder for all singers: dilated convolutions over samples, and a mean over each window of them."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Generator, Tensor, nn

from moksori.models.wavenet_autoencoder.config import EncoderConfig
from moksori.nn.conv import ProductConv1d, same_padding

STANDARD_MOMENTUM = 0.02
"""Of the running mean and deviation of codes: some fifty batches."""


class CenteredConv1d(nn.Module):
    """A dilated convolution that keeps the length: around each step, or over it and those before it where causal."""

    def __init__(self, channels: int, out_channels: int, kernel_size: int, dilation: int, causal: bool) -> None:
        super().__init__()
        self.before = (kernel_size - 1) * dilation if causal else 0
        padding = 0 if causal else same_padding(kernel_size, dilation)
        self.conv = ProductConv1d(channels, out_channels, kernel_size, dilation=dilation, padding=padding)

    def forward(self, x: Float[Tensor, "batch channels steps"]) -> Float[Tensor, "batch out steps"]:
        return self.conv(F.pad(x, (self.before, 0)) if self.before else x)


class ResidualBlock(nn.Module):
    """UMTN: dilated convolution, ReLU, 1x1, added to the input. NSynth: a ReLU before the dilated one too."""

    def __init__(self, config: EncoderConfig, dilation: int) -> None:
        super().__init__()
        channels = config.channels
        self.pre_activation = config.pre_activation
        self.dilated = CenteredConv1d(channels, channels, config.kernel_size, dilation, config.causal)
        self.mix = ProductConv1d(channels, channels, 1)

    def forward(self, x: Float[Tensor, "batch channels steps"]) -> Float[Tensor, "batch channels steps"]:
        hidden = self.dilated(F.relu(x) if self.pre_activation else x)
        return x + self.mix(F.relu(hidden))


class Encoder(nn.Module):
    """E(x): samples as one companded number each, -0.5 to 0.5, to `code_channels` numbers for each `pool` of them."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        stride = config.stride
        self.first: nn.Module
        if stride == 1:
            self.first = CenteredConv1d(1, config.channels, config.kernel_size, 1, config.causal)
        else:
            self.first = nn.Conv1d(1, config.channels, stride, stride)
        self.blocks = nn.ModuleList(ResidualBlock(config, dilation) for dilation in config.dilations)
        self.last = ProductConv1d(config.channels, config.code_channels, 1)
        self.standard: nn.BatchNorm1d | None = None
        if config.standardized:
            self.standard = nn.BatchNorm1d(config.code_channels, 1e-12, STANDARD_MOMENTUM, affine=False)

    def forward(
        self, samples: Float[Tensor, "batch samples"], generator: Generator | None = None
    ) -> Float[Tensor, "batch code frames"]:
        """Codes of whole windows; in training with the configured noise on them, which `generator` draws.

        Raises ValueError where the samples are no whole number of windows: the last code would see fewer of them.
        """
        pool = self.config.pool
        if samples.shape[1] % pool:
            raise ValueError(f"{samples.shape[1]} samples are not whole windows of {pool}: cut or pad them")
        hidden = self.first(samples.unsqueeze(1))
        for block in self.blocks:
            hidden = block(hidden)
        codes = self.last(hidden).unflatten(2, (-1, pool // self.config.stride)).mean(dim=3)
        if self.standard is not None:
            codes = self.standard(codes.float())
        if self.config.bounded:
            codes = torch.tanh(codes)
        if self.training and self.config.code_noise:
            noise = torch.randn(codes.shape, generator=generator, device=codes.device)
            codes = codes + self.config.code_noise * noise.to(codes.dtype)
        return codes

    @property
    def look_ahead_samples(self) -> int:
        """Samples after the end of its window that a code depends on."""
        return 0 if self.config.causal else self.config.context_samples

    @property
    def look_back_samples(self) -> int:
        """Samples before the beginning of its window that a code depends on."""
        return self.config.context_samples * (2 if self.config.causal else 1)
