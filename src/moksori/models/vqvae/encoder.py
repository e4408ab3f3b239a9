"""From sound to states, one for each code: valid convolutions, so that a state needs `margin` steps on each side.

Nothing is padded inside: what stands around a stretch is given with it, and around a recording it is silence. So a
crop in training, a block of a stream and a whole recording give the very same states.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from moksori.audio.emphasis import emphasised
from moksori.audio.mel import MelSpectrogram
from moksori.models.vqvae.config import EncoderConfig, MelEncoderConfig, WaveEncoderConfig
from moksori.nn.conv import ChannelNorm, Conv1d, ProductConv1d
from moksori.nn.mulaw import LEVELS, encode_mu_law
from moksori.nn.standardize import Standardize

LEAST_VARIANCE = 0.1
"""Of standardised bands over a window of the instance norm: silence is not made loud."""


class EncoderLayer(nn.Module):
    """A valid convolution, a norm and ReLU."""

    def __init__(self, in_channels: int, channels: int, kernel_size: int, stride: int, norm: str) -> None:
        super().__init__()
        layer = ProductConv1d if stride == 1 else Conv1d
        self.conv = layer(in_channels, channels, kernel_size, stride, bias=norm == "none")
        self.norm = _norm(norm, channels)

    def forward(self, x: Float[Tensor, "batch in steps"]) -> Float[Tensor, "batch channels fewer"]:
        return F.relu(self.norm(self.conv(x)))


class Encoder(nn.Module, ABC):
    """Steps of sound to states. steps: to a code. margin: on each side of a code's own that its state looks at.

    step_samples: of sound to a step.
    """

    steps: int
    margin: int
    step_samples: int

    def __init__(self, layers: Sequence[EncoderLayer], channels: int, code_channels: int, state_norm: str) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.last = ProductConv1d(channels, code_channels, 1)
        self.state_norm = _norm(state_norm, code_channels)

    @abstractmethod
    def features(self, waveform: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch features steps"]:
        """What is heard of whole recordings."""

    @property
    @abstractmethod
    def silence(self) -> float:
        """A feature of silence."""

    def forward(self, features: Float[Tensor, "batch features steps"]) -> Float[Tensor, "batch frames code"]:
        """States of codes * `steps` + 2 * `margin` steps."""
        hidden = self.prepared(features)
        for layer in self.layers:
            hidden = layer(hidden)
        return self.state_norm(self.last(hidden)).transpose(1, 2)

    def prepared(self, features: Float[Tensor, "batch features steps"]) -> Float[Tensor, "batch features fewer"]:
        """What the first layer is given."""
        return features

    def surrounded(self, features: Float[Tensor, "batch features steps"]) -> Float[Tensor, "batch features more"]:
        """Features of a whole recording filled up to whole codes, with the margin of silence on each side."""
        rest = -features.shape[2] % self.steps
        return F.pad(features, (self.margin, self.margin + rest), value=self.silence)


class MelEncoder(Encoder):
    """Of mels: three convolutions over frames, the third of which takes `stride` at once, and two over codes."""

    def __init__(self, config: MelEncoderConfig, code_channels: int) -> None:
        width, stride, norm = config.channels, config.stride, config.norm
        reduction = (3, 1) if stride == 1 else (2 * stride, stride)
        shapes = [(config.mel.n_mels, 3, 1), (width, 3, 1), (width, *reduction), (width, 3, 1), (width, 3, 1)]
        layers = [EncoderLayer(inputs, width, kernel, step, norm) for inputs, kernel, step in shapes]
        super().__init__(layers, width, code_channels, config.state_norm)
        self.config = config
        self.front_end = MelSpectrogram(config.mel)
        self.standardize = Standardize(config.mel.n_mels)
        self.steps, self.step_samples = stride, config.mel.hop_length
        self.margin = 2 + max(stride // 2, 1) + 2 * stride + config.instance_frames

    def features(self, waveform: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch features steps"]:
        """Log-mels; frames = floor(samples / hop)."""
        return self.front_end(emphasised(waveform, self.config.pre_emphasis))

    @property
    def silence(self) -> float:
        return math.log(self.config.mel.floor)

    def prepared(self, features: Float[Tensor, "batch features steps"]) -> Float[Tensor, "batch features fewer"]:
        standard = self.standardize(features)
        side = self.config.instance_frames
        if not side:
            return standard
        mean = F.avg_pool1d(standard, 2 * side + 1, 1)
        square = F.avg_pool1d(standard.square(), 2 * side + 1, 1)
        variance = (square - mean.square()).clamp(min=0.0)
        return (standard[:, :, side:-side] - mean) * torch.rsqrt(variance + LEAST_VARIANCE)


class WaveEncoder(Encoder):
    """Of samples, as mu-law codes from -0.5 to 0.5: each convolution takes four and halves the rate."""

    def __init__(self, config: WaveEncoderConfig, code_channels: int) -> None:
        width = config.channels
        layers = [EncoderLayer(width if index else 1, width, 4, 2, config.norm) for index in range(config.layers)]
        super().__init__(layers, width, code_channels, config.state_norm)
        self.steps, self.step_samples = 2**config.layers, 1
        self.margin = self.steps - 1

    def features(self, waveform: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch 1 samples"]:
        """Companded samples."""
        return encode_mu_law(waveform).to(waveform.dtype).unsqueeze(1) / (LEVELS - 1) - 0.5

    @property
    def silence(self) -> float:
        return (LEVELS // 2) / (LEVELS - 1) - 0.5


def build_encoder(config: EncoderConfig, code_channels: int) -> "MelEncoder | WaveEncoder":
    """The encoder of these settings."""
    if isinstance(config, WaveEncoderConfig):
        return WaveEncoder(config, code_channels)
    return MelEncoder(config, code_channels)


def _norm(kind: str, channels: int) -> nn.Module:
    if kind == "batch":
        return nn.BatchNorm1d(channels)
    return ChannelNorm(channels) if kind == "layer" else nn.Identity()
