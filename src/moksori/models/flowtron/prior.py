"""What the latent is distributed as: a standard Gaussian, or a mixture of Gaussians that the mel itself chooses from.

In the mixture each number of the latent has its own sum over the components, log p(z_d) = log sum_k w_k N(z_d; m_dk,
v_dk): a frame is not one component's as a whole. Its shares w come from the very mel whose latent it is, so speaking
needs a reference, a choice of components, or what the training recordings had on average.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Generator, Tensor, nn

from moksori.models.flowtron.config import MixturePriorConfig
from moksori.models.flowtron.text_encoder import MaskedInstanceNorm, rectified_convolution
from moksori.nn.masks import masked
from moksori.nn.precision import at_least_float32, full_precision
from moksori.nn.recurrent import run_recurrent
from moksori.types import MixtureChoice

_HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)


@dataclass(frozen=True)
class Mixture:
    """A mixture for each recording. log_weights sum to 1; mean, log_variance: of each band, for each component."""

    log_weights: Float[Tensor, "batch components"]
    mean: Float[Tensor, "batch mels components"]
    log_variance: Float[Tensor, "batch mels components"]

    def log_density(self, latent: Float[Tensor, "batch mels frames"]) -> Float[Tensor, "batch mels frames"]:
        """Nats of each number by itself."""
        mean, log_variance = self.mean.unsqueeze(2), self.log_variance.unsqueeze(2)
        square = (latent.unsqueeze(3) - mean).square() * torch.exp(-log_variance)
        each = self.log_weights[:, None, None] - 0.5 * (square + log_variance)
        return each.logsumexp(dim=3) - _HALF_LOG_TWO_PI


class GaussianPrior(nn.Module):
    """N(0, 1) for each number of the latent."""

    num_components = 0

    def log_density(
        self,
        latent: Float[Tensor, "batch mels frames"],
        mel: Float[Tensor, "batch mels frames"] | None = None,
        mask: Bool[Tensor, "batch 1 frames"] | None = None,
    ) -> Float[Tensor, "batch mels frames"]:
        """Nats of each number by itself; mel and mask do not matter."""
        return -0.5 * latent.square() - _HALF_LOG_TWO_PI

    def placed(
        self,
        noise: Float[Tensor, "batch mels frames"],
        variation: float,
        choice: MixtureChoice | None = None,
        generator: Generator | None = None,
    ) -> Float[Tensor, "batch mels frames"]:
        """The latent that standard normal noise stands for, of standard deviation `variation`."""
        return variation * noise


class MelEncoder(nn.Module):
    """[Convolution, instance norm, ReLU, dropout] twice, bidirectional LSTM, mean over the real frames."""

    def __init__(self, n_mels: int, channels: int = 512, dropout: float = 0.5, num_layers: int = 2) -> None:
        super().__init__()
        widths = [n_mels, *[channels] * num_layers]
        self.convolutions = nn.ModuleList(rectified_convolution(before, after, 3) for before, after in pairwise(widths))
        self.norms = nn.ModuleList(MaskedInstanceNorm(channels) for _ in range(num_layers))
        self.dropout = nn.Dropout(dropout)
        self.lstm = nn.LSTM(channels, channels // 2, batch_first=True, bidirectional=True)

    def forward(
        self, mel: Float[Tensor, "batch mels frames"], mask: Bool[Tensor, "batch 1 frames"]
    ) -> Float[Tensor, "batch channels"]:
        """One vector a recording."""
        x = mel
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = self.dropout(F.relu(norm(convolution(masked(x, mask)), mask)))
        with full_precision(x.device.type):
            states = run_recurrent(self.lstm, at_least_float32(x).transpose(1, 2), mask)
            return states.sum(dim=1) / mask.sum(dim=2)


class MixturePrior(nn.Module):
    """The mixture. average_*: over training recordings, for speaking without reference; `average` sets them."""

    mean: Tensor
    log_variance: Tensor
    average_weights: Tensor
    average_mean: Tensor
    average_log_variance: Tensor

    def __init__(self, config: MixturePriorConfig, n_mels: int) -> None:
        super().__init__()
        count = self.num_components = config.num_components
        self.n_mels = n_mels
        self.mel_encoder = MelEncoder(n_mels, config.channels, config.dropout)
        self.weight_layer = nn.Linear(config.channels, count)
        self.mean_layer: nn.Linear | None = None
        self.log_variance_layer: nn.Linear | None = None
        if config.means == "learned":
            self.mean_layer = nn.Linear(config.channels, n_mels * count)
            self.log_variance_layer = nn.Linear(config.channels, n_mels * count)
            mean = torch.zeros(n_mels, count)
        else:
            bands = torch.randperm(n_mels)[:count]
            mean = config.mean_scale * F.one_hot(bands, n_mels).T.float()
            self.register_buffer("mean", mean)
            self.register_buffer("log_variance", torch.zeros(n_mels, count))
        self.register_buffer("average_weights", torch.full((count,), 1.0 / count))
        self.register_buffer("average_mean", mean.clone())
        self.register_buffer("average_log_variance", torch.zeros(n_mels, count))

    def forward(self, mel: Float[Tensor, "batch mels frames"], mask: Bool[Tensor, "batch 1 frames"]) -> Mixture:
        """The mixture of each recording, read off its standardised mel."""
        heard = self.mel_encoder(mel, mask)
        with full_precision(mel.device.type):
            log_weights = self.weight_layer(heard).log_softmax(dim=1)
            if self.mean_layer is None or self.log_variance_layer is None:
                fixed = (x.expand(len(heard), -1, -1) for x in (self.mean, self.log_variance))
                return Mixture(log_weights, *fixed)
            shape = (self.n_mels, self.num_components)
            return Mixture(
                log_weights, *(x(heard).unflatten(1, shape) for x in (self.mean_layer, self.log_variance_layer))
            )

    def log_density(
        self,
        latent: Float[Tensor, "batch mels frames"],
        mel: Float[Tensor, "batch mels frames"],
        mask: Bool[Tensor, "batch 1 frames"],
    ) -> Float[Tensor, "batch mels frames"]:
        """Nats of each number by itself. mel: standardised, of which this is the latent; mask: its real frames."""
        return self(mel, mask).log_density(latent)

    @torch.no_grad()
    def average(self, mixtures: list[Mixture]) -> None:
        """Takes the mean of the mixtures of many recordings for those that speak without one."""
        self.average_weights.copy_(torch.cat([m.log_weights for m in mixtures]).exp().mean(dim=0))
        self.average_mean.copy_(torch.cat([m.mean for m in mixtures]).mean(dim=0))
        self.average_log_variance.copy_(torch.cat([m.log_variance for m in mixtures]).mean(dim=0))

    def placed(
        self,
        noise: Float[Tensor, "batch mels frames"],
        variation: float,
        choice: MixtureChoice | None = None,
        generator: Generator | None = None,
    ) -> Float[Tensor, "batch mels frames"]:
        """The latent that noise stands for: m_dk + sqrt(v_dk) · variation · noise, where each number's k is drawn.

        choice: shares of components instead of the average ones, and what is added to their means in some bands. With
        no variation nothing is drawn: each number is the mixture's mean.
        """
        choice = choice or MixtureChoice()
        mean, weights = self.average_mean.clone(), self.average_weights
        for component, band, offset in choice.shifts:
            mean[band, component] += offset
        if choice.weights:
            weights = torch.zeros_like(weights)
            for component, share in choice.weights:
                weights[component] += share
            weights = weights / weights.sum()
        if variation == 0.0:
            return (mean @ weights)[:, None].expand_as(noise).clone()
        drawn = torch.rand(noise.shape, generator=generator).to(noise.device)
        # The first component whose cumulated share is above: the inverse of the distribution function.
        chosen = torch.searchsorted(weights.cumsum(dim=0), drawn.contiguous(), right=True)
        chosen = chosen.clamp(max=self.num_components - 1).unsqueeze(3)
        means, deviations = (
            table[None, :, None].expand(*noise.shape, -1).gather(3, chosen).squeeze(3)
            for table in (mean, torch.exp(0.5 * self.average_log_variance))
        )
        return means + deviations * variation * noise
