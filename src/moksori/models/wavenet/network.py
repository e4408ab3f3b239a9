"""The network of a configuration, and what stands between mels and its layers."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from moksori.models.wavenet.config import CodingConfig, ConditionConfig, MuLawConfig, NetworkConfig, WavenetConfig
from moksori.nn.conv import ProductConv1d, context_steps, same_padding
from moksori.nn.wavenet_network import WaveNet


def build_network(
    config: NetworkConfig,
    coding: CodingConfig,
    condition_channels: int = 0,
    vector_channels: int = 0,
    hop_length: int = 1,
) -> WaveNet:
    """A WaveNet of these settings. hop_length: samples for which a step of the condition holds."""
    codes = isinstance(coding, MuLawConfig)
    return WaveNet(
        outputs=coding.levels if isinstance(coding, MuLawConfig) else 3 * coding.mixtures,
        residual_channels=config.residual_channels,
        skip_channels=config.skip_channels,
        dilations=config.dilations,
        kernel_size=config.kernel_size,
        first_kernel_size=config.first_kernel_size,
        levels=coding.levels if isinstance(coding, MuLawConfig) else 0,
        one_hot=codes and coding.one_hot,  # type: ignore[union-attr]
        condition_channels=condition_channels,
        vector_channels=vector_channels,
        hop_length=hop_length,
        head_condition=config.head_condition,
        residual_scale=config.residual_scale,
        weight_norm=config.weight_norm,
        dropout=config.dropout,
    )


class MelConditioner(nn.Module):
    """Log-mels -> condition, `config.steps` steps a frame: convolutions over frames, then finer and finer steps."""

    def __init__(self, config: ConditionConfig, n_mels: int) -> None:
        super().__init__()
        self.config = config
        width, padding = config.kernel_size, same_padding(config.kernel_size)
        channels = [n_mels] + [config.channels] * config.num_layers
        self.layers = nn.ModuleList([ProductConv1d(a, b, width, padding=padding) for a, b in pairwise(channels)])
        self.finer = nn.ModuleList([FinerSteps(config.channels, rate) for rate in config.rates])

    @property
    def context_frames(self) -> int:
        """Frames on each side of a frame that its steps depend on."""
        # The step beside a frame's outermost one lies in the neighbour's nearer half, which is made of the two frames.
        return sum(context_steps(layer) for layer in self.layers) + (1 if len(self.finer) else 0)

    def forward(self, mel: Float[Tensor, "batch mels frames"]) -> Float[Tensor, "batch channels steps"]:
        for index, layer in enumerate(self.layers):
            mel = layer(F.relu(mel) if index else mel)
        for finer in self.finer:
            mel = finer(mel)
        return mel


class FinerSteps(nn.Module):
    """`rate` steps of one, each channel by itself: straight lines from the middle of a step to that of the next one.

    A transposed convolution of twice the rate, which starts there and learns better. Beyond the ends the outermost
    steps go on.
    """

    def __init__(self, channels: int, rate: int) -> None:
        super().__init__()
        self.rate, self.channels = rate, channels
        place = torch.arange(2 * rate) + 0.5
        line = 1.0 - (place - rate).abs() / rate
        self.weight = nn.Parameter(line.expand(channels, 1, -1).clone())

    def forward(self, x: Float[Tensor, "batch channels steps"]) -> Float[Tensor, "batch channels finer"]:
        padded = F.pad(x, (1, 1), mode="replicate")
        return F.conv_transpose1d(
            padded, self.weight, stride=self.rate, padding=self.rate + self.rate // 2, groups=self.channels
        )


def vocoder_network(config: WavenetConfig) -> WaveNet:
    """The network of a whole model's settings."""
    if config.mel is None:
        return build_network(config.network, config.coding)
    hop = config.mel.hop_length // config.condition.steps
    return build_network(config.network, config.coding, config.condition.channels, hop_length=hop)
