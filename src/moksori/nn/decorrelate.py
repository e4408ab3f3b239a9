"""Sequences along the principal axes of what each step adds, by statistics of the training data."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from moksori.nn.precision import at_least_float32, full_precision

_RIDGE = 1e-3
"""Of the regression, in units of the channels' variance: so that few data do not explain themselves."""
_LEAST_SPREAD = 1e-3


def regression(
    sequences: Sequence[Float[Tensor, "steps channels"]],
) -> tuple[Float[Tensor, "channels channels"], Float[Tensor, "all channels"]]:
    """The matrix that foretells a step from the one before, in deviations from the mean, and what it leaves open."""
    mean = torch.cat(list(sequences)).double().mean(dim=0)
    before = torch.cat([x[:-1] for x in sequences]).double() - mean
    after = torch.cat([x[1:] for x in sequences]).double() - mean
    product = before.T @ before
    product += _RIDGE * product.diagonal().mean() * torch.eye(len(product)).to(product)
    weight = torch.linalg.solve(product, before.T @ after)
    return weight.T, after - before @ weight


class Decorrelate(nn.Module):
    """Turns the channels of each step to the principal axes of its innovation, and gives each axis unit spread.

    The innovation is what a linear regression on the step before leaves open. A model that foretells each channel by
    itself, with a spread of its own, then misses least of how they vary together. An orthogonal matrix and a scale:
    exactly invertible, with a constant log-determinant. Identity until `fit` has seen data.
    """

    axes: Tensor
    spread: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("axes", torch.eye(channels))
        self.register_buffer("spread", torch.ones(channels))

    @torch.no_grad()
    def fit(self, sequences: Sequence[Float[Tensor, "steps channels"]]) -> None:
        """Takes axes and spreads from sequences without padding."""
        _, innovation = regression(sequences)
        _, axes = torch.linalg.eigh(innovation.T @ innovation)
        self.axes.copy_(axes.flip(1))  # the widest first
        values = torch.cat(list(sequences)).double()
        self.spread.copy_((values @ axes.flip(1)).std(dim=0).clamp(min=_LEAST_SPREAD))

    def rotation(self) -> Float[Tensor, "channels channels"]:
        """The axes as columns, orthogonal to float32 also where they were stored with less precision."""
        axes = at_least_float32(self.axes)
        for _ in range(2):  # Newton's iteration for the nearest orthogonal matrix squares the error each time
            axes = 1.5 * axes - 0.5 * axes @ (axes.T @ axes)
        return axes

    @property
    def log_det(self) -> Float[Tensor, ""]:
        """Of `forward`, for each step."""
        return -self.spread.log().sum()

    def forward(self, x: Float[Tensor, "batch steps channels"]) -> Float[Tensor, "batch steps channels"]:
        """Along the axes, each of unit spread."""
        return self.turned(x) / self.spread

    def inverse(self, y: Float[Tensor, "batch steps channels"]) -> Float[Tensor, "batch steps channels"]:
        """Back to the channels."""
        return self.turned_back(y * self.spread)

    def turned(self, x: Float[Tensor, "batch steps channels"]) -> Float[Tensor, "batch steps channels"]:
        """Along the axes, without scale: a standard Gaussian stays one."""
        with full_precision(x.device.type):
            return at_least_float32(x) @ self.rotation()

    def turned_back(self, y: Float[Tensor, "batch steps channels"]) -> Float[Tensor, "batch steps channels"]:
        """The inverse of `turned`."""
        with full_precision(y.device.type):
            return at_least_float32(y) @ self.rotation().T
