"""The prior of the content, autoregressive in time, and the units that may guide it (C-DSVAE)."""

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn

from moksori.models.dsvae.config import ContentPriorConfig
from moksori.models.dsvae.encoder import GaussianHead
from moksori.nn.distributions import DiagonalGaussian, standard_normal
from moksori.nn.kmeans import kmeans


class ContentPrior(nn.Module):
    """p(z_c) = prod_t N(z_c,t | z_c,<t), from z_c,0 = 0 and a zero state; with units, p(z_c,t | z_c,<t, unit_t)."""

    def __init__(self, config: ContentPriorConfig, channels: int) -> None:
        super().__init__()
        self.feed, self.channels = config.feed, channels
        self.num_units = config.unit_count
        self.recurrent = nn.LSTM(channels + self.num_units, config.hidden_channels, batch_first=True)
        self.head = GaussianHead(config.hidden_channels, channels)

    def forward(
        self,
        posterior_sample: Float[Tensor, "batch frames channels"],
        units: Int[Tensor, "batch frames"] | None = None,
        generator: Generator | None = None,
    ) -> DiagonalGaussian:
        """The prior of each frame, mean and log_std `[batch, frames, channels]`.

        posterior_sample: fed back where the settings say so; otherwise only its shape counts, and the prior's own
        samples are fed back.
        """
        hint = None if units is None else nn.functional.one_hot(units, self.num_units).to(posterior_sample.dtype)
        if self.feed == "posterior":
            before = nn.functional.pad(posterior_sample, (0, 0, 1, -1))
            return self.head(self.recurrent(before if hint is None else torch.cat([before, hint], dim=2))[0])
        return self.rolled_out(standard_normal(posterior_sample.detach(), generator), hint)

    def rolled_out(
        self, noise: Float[Tensor, "batch frames channels"], hint: Float[Tensor, "batch frames units"] | None = None
    ) -> DiagonalGaussian:
        """Frame after frame on its own samples, which the noise decides."""
        value = torch.zeros_like(noise[:, :1])
        state: tuple[Tensor, Tensor] | None = None
        found: list[DiagonalGaussian] = []
        for frame in range(noise.shape[1]):
            given = value if hint is None else torch.cat([value, hint[:, frame : frame + 1]], dim=2)
            hidden, state = self.recurrent(given, state)
            found.append(self.head(hidden))
            value = found[-1].at(noise[:, frame : frame + 1])
        return DiagonalGaussian(torch.cat([g.mean for g in found], dim=1), torch.cat([g.log_std for g in found], dim=1))


class MelUnits(nn.Module):
    """A number for each frame that says roughly what its mel is like: the nearest of `num_units` codes.

    random: codes are drawn, and compared after a random projection; otherwise they are k-means centres (`fit`).
    """

    codes: Tensor
    projection: Tensor

    def __init__(self, n_mels: int, num_units: int, random: bool, projected: int = 16) -> None:
        super().__init__()
        self.random = random
        size = projected if random else n_mels
        self.register_buffer("codes", torch.randn(num_units, size))
        self.register_buffer("projection", torch.randn(n_mels, size) / n_mels**0.5 if random else torch.eye(n_mels))

    def forward(self, mel: Float[Tensor, "batch mels frames"]) -> Int[Tensor, "batch frames"]:
        """mel: standardised."""
        return torch.cdist(mel.transpose(1, 2).float() @ self.projection, self.codes[None]).argmin(dim=2)

    @torch.no_grad()
    def fit(self, mels: Float[Tensor, "frames mels"], generator: Generator, rounds: int = 20) -> None:
        """k-means with k-means++ starts; random codes stay as they are."""
        if self.random:
            return
        self.codes.copy_(kmeans(mels, len(self.codes), rounds, generator))
