"""What the latent is distributed as: a standard Gaussian."""

import math

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from moksori.nn.distributions import standard_normal


class GaussianPrior(nn.Module):
    """N(0, 1) for each number of the latent."""

    def log_density(self, latent: Float[Tensor, "batch mels frames"]) -> Float[Tensor, "batch mels frames"]:
        """Nats of each number by itself."""
        return -0.5 * (latent.square() + math.log(2.0 * math.pi))

    def sample(
        self, like: Float[Tensor, "batch mels frames"], sigma: float, generator: Generator | None = None
    ) -> Float[Tensor, "batch mels frames"]:
        """Noise of the shape of `like`, of standard deviation sigma."""
        return torch.zeros_like(like) if sigma == 0.0 else sigma * standard_normal(like, generator)
