"""Diagonal Gaussians with log standard deviations, as the latents of all variational families here use them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor

from moksori.nn.precision import at_least_float32


class RowGenerators:
    """A generator for each row of a batch, so that a row is given the noise that it would be given alone."""

    def __init__(self, generators: Sequence[Generator]) -> None:
        self.generators = tuple(generators)


Chance = Generator | RowGenerators | None
"""What noise is drawn from; None: torch's own generator."""


def standard_normal(
    like: Float[Tensor, "*shape"], generator: Chance = None, lengths: Int[Tensor, " batch"] | None = None
) -> Float[Tensor, "*shape"]:
    """N(0, 1) noise of the shape, type and device of `like`.

    It is drawn on the generator's own device, so a CPU generator gives the same noise wherever the model runs.
    lengths: of the rows of a padded batch, along the last axis; with a generator for each row only so much is drawn of
    it, and the rest is 0. None: rows are whole.
    """
    if isinstance(generator, RowGenerators):
        whole = like.shape[-1]
        wanted = [whole] * len(like) if lengths is None else [int(length) for length in lengths]
        rows = [
            F.pad(standard_normal(like.new_empty(1, *like.shape[1:-1], length), own), (0, whole - length))
            for own, length in zip(generator.generators, wanted, strict=True)
        ]
        return torch.cat(rows)
    if generator is None:
        return torch.randn_like(like)  # exported graphs know this operator for any length, the one below they do not
    return torch.randn(like.shape, generator=generator, device=generator.device, dtype=like.dtype).to(like.device)


@dataclass(frozen=True)
class DiagonalGaussian:
    """N(mean, exp(log_std)²), each element by itself; usually `[batch, channels, time]`."""

    mean: Float[Tensor, "*shape"]
    log_std: Float[Tensor, "*shape"]

    @classmethod
    def from_stats(cls, stats: Float[Tensor, "batch stats time"]) -> "DiagonalGaussian":
        """From a projection's output: the first half of the channels is the mean, the second log_std, in float32."""
        mean, log_std = stats.chunk(2, dim=1)
        return cls(at_least_float32(mean), at_least_float32(log_std))

    def sample(self, generator: Generator | None = None, temperature: float = 1.0) -> Float[Tensor, "*shape"]:
        """mean + temperature · std · noise, with a gradient to both parameters; temperature 0 is the mean.

        Noise fills padded positions too: multiply by the mask.
        """
        return self.at(standard_normal(self.mean, generator), temperature)

    def at(self, noise: Float[Tensor, "*shape"], temperature: float = 1.0) -> Float[Tensor, "*shape"]:
        """The sample that standard normal noise stands for."""
        return self.mean + noise * torch.exp(self.log_std) * temperature

    def log_prob(self, value: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Log density of each element, in nats."""
        square = ((value - self.mean) * torch.exp(-self.log_std)) ** 2
        return -0.5 * math.log(2 * math.pi) - self.log_std - 0.5 * square

    def kl(self, other: "DiagonalGaussian") -> Float[Tensor, "*shape"]:
        """KL(self ‖ other) of each element in closed form, in nats."""
        spread = torch.exp(2 * (self.log_std - other.log_std))
        shift = ((self.mean - other.mean) * torch.exp(-other.log_std)) ** 2
        return other.log_std - self.log_std - 0.5 + 0.5 * (spread + shift)

    def kl_to_standard(self) -> Float[Tensor, "*shape"]:
        """KL(self ‖ N(0, 1)) of each element in closed form, in nats."""
        return 0.5 * (self.mean**2 + torch.exp(2 * self.log_std)) - self.log_std - 0.5

    def clamp(self, minimum: float, maximum: float) -> "DiagonalGaussian":
        """The same with log_std held between two values: a guard against runaway variances."""
        return DiagonalGaussian(self.mean, self.log_std.clamp(minimum, maximum))

    def masked(self, mask: Bool[Tensor, "batch 1 time"]) -> "DiagonalGaussian":
        """Both parameters zero, so N(0, 1), at padded positions."""
        return DiagonalGaussian(self.mean * mask, self.log_std * mask)
