"""The encoders of D-DSVAE: one network of convolutions for both, then a posterior of the speaker and of the content."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from moksori.models.dsvae.config import ContentPosteriorConfig, SharedEncoderConfig, SpeakerPosteriorConfig
from moksori.nn.conv import Conv1d, same_padding
from moksori.nn.distributions import DiagonalGaussian
from moksori.nn.joint_norm import JointNorm
from moksori.nn.recurrent import run_recurrent

LOG_STD_RANGE = (-4.0, 2.0)
"""Log standard deviations of all Gaussians here (log variances -8 to 4), so that no KL explodes."""


class GaussianHead(nn.Module):
    """Two dense layers: mean and log standard deviation."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.mean = nn.Linear(in_channels, channels)
        self.log_variance = nn.Linear(in_channels, channels)

    def forward(self, hidden: Float[Tensor, "*batch in"]) -> DiagonalGaussian:
        mean, log_std = self.mean(hidden).float(), 0.5 * self.log_variance(hidden).float()
        return DiagonalGaussian(mean, log_std).clamp(*LOG_STD_RANGE)


class SharedEncoder(nn.Module):
    """Mel -> features `[batch, channels, frames]` for both posteriors."""

    def __init__(self, config: SharedEncoderConfig, n_mels: int) -> None:
        super().__init__()
        channels, padding = config.channels, same_padding(config.kernel_size)
        self.layers = nn.ModuleList(
            Conv1d(n_mels if index == 0 else channels, channels, config.kernel_size, padding=padding)
            for index in range(config.num_layers)
        )
        self.norm = JointNorm()

    def forward(
        self, mel: Float[Tensor, "batch mels frames"], mask: Bool[Tensor, "batch 1 frames"] | None = None
    ) -> Float[Tensor, "batch channels frames"]:
        x = mel if mask is None else mel * mask
        for layer in self.layers:
            x = self.norm(layer(x), mask).relu()
        return x


class SpeakerPosterior(nn.Module):
    """q(z_s | x): who speaks, one Gaussian a recording."""

    def __init__(self, config: SpeakerPosteriorConfig, in_channels: int, channels: int) -> None:
        super().__init__()
        self.pooling = config.pooling
        self.recurrent = nn.LSTM(
            in_channels, config.hidden_channels, config.num_layers, batch_first=True, bidirectional=True
        )
        self.head = GaussianHead(2 * config.hidden_channels, channels)

    def forward(
        self, features: Float[Tensor, "batch in frames"], mask: Bool[Tensor, "batch 1 frames"] | None = None
    ) -> DiagonalGaussian:
        """Mean and log_std are `[batch, channels]`."""
        hidden = run_recurrent(self.recurrent, features.transpose(1, 2), mask)
        if not self.pooling:
            forward, backward = hidden.chunk(2, dim=2)
            if mask is None:
                return self.head(torch.cat([forward[:, -1], backward[:, 0]], dim=1))
            last = (mask.sum(dim=2) - 1).unsqueeze(2)
            ends = forward.gather(1, last.expand(-1, 1, forward.shape[2]))[:, 0]
            return self.head(torch.cat([ends, backward[:, 0]], dim=1))
        if mask is None:
            return self.head(hidden.mean(dim=1))
        weights = mask.transpose(1, 2)
        return self.head((hidden * weights).sum(dim=1) / weights.sum(dim=1))


class ContentPosterior(nn.Module):
    """q(z_c | x): what is said, one Gaussian a frame; it sees past and future."""

    def __init__(self, config: ContentPosteriorConfig, in_channels: int, channels: int) -> None:
        super().__init__()
        self.bidirectional = nn.LSTM(
            in_channels, config.hidden_channels, config.num_layers, batch_first=True, bidirectional=True
        )
        self.recurrent = nn.RNN(2 * config.hidden_channels, config.recurrent_channels, batch_first=True)
        self.head = GaussianHead(config.recurrent_channels, channels)

    def forward(
        self, features: Float[Tensor, "batch in frames"], mask: Bool[Tensor, "batch 1 frames"] | None = None
    ) -> DiagonalGaussian:
        """Mean and log_std are `[batch, frames, channels]`."""
        hidden = run_recurrent(self.bidirectional, features.transpose(1, 2), mask)
        return self.head(run_recurrent(self.recurrent, hidden, mask))
