"""Normalizing flows over `[batch, channels, time]`: couplings, elementwise affine, splines.

Forward goes from data to noise, `inverse` from noise to data. Parts that change volume return the log-determinant per
item, summed over valid positions; the mean-only couplings of VITS preserve it and return the sequence alone. A mask of
None says that there is no padding.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from moksori.nn.conv import DilatedSeparableStack, ProductConv1d, zero_initialised
from moksori.nn.masks import masked
from moksori.nn.precision import at_least_float32, full_precision
from moksori.nn.splines import rational_quadratic_spline
from moksori.nn.wavenet import WaveNetStack


class ChannelFlip(nn.Module):
    """Reverses the order of all channels; its own inverse."""

    order: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        # A constant permutation rather than torch.flip, which runtimes of exported graphs have got wrong.
        self.register_buffer("order", torch.arange(channels - 1, -1, -1), persistent=False)

    def forward(self, x: Float[Tensor, "batch channels time"]) -> Float[Tensor, "batch channels time"]:
        return x.index_select(1, self.order)


class ResidualCoupling(nn.Module):
    """Shifts the second half of the channels by a WaveNet's view of the first half; volume-preserving.

    The last projection starts at zero, so a fresh coupling is the identity.
    """

    def __init__(
        self,
        channels: int,
        hidden_channels: int,
        kernel_size: int,
        num_wavenet_layers: int,
        condition_channels: int = 0,
        weight_norm: bool = True,
    ) -> None:
        super().__init__()
        if channels % 2 != 0:
            raise ValueError(f"channels {channels} is odd: a coupling splits them into two halves")
        half = channels // 2
        self.input = ProductConv1d(half, hidden_channels, 1)
        self.wavenet = WaveNetStack(
            hidden_channels,
            kernel_size,
            num_wavenet_layers,
            condition_channels=condition_channels,
            weight_norm=weight_norm,
        )
        self.shift = zero_initialised(ProductConv1d(hidden_channels, half, 1))

    @property
    def context_steps(self) -> int:
        """Time steps on each side of a step that its output depends on."""
        return self.wavenet.context_steps

    def _shift(self, first: Tensor, mask: Tensor | None, condition: Tensor | None) -> Tensor:
        return masked(self.shift(self.wavenet(self.input(first), mask, condition)), mask)

    def forward(
        self,
        x: Float[Tensor, "batch channels time"],
        mask: Bool[Tensor, "batch 1 time"] | None,
        condition: Float[Tensor, "batch condition _"] | None = None,
    ) -> Float[Tensor, "batch channels time"]:
        first, second = x.chunk(2, dim=1)
        return torch.cat([first, masked(second, mask) + self._shift(first, mask, condition)], dim=1)

    def inverse(
        self,
        x: Float[Tensor, "batch channels time"],
        mask: Bool[Tensor, "batch 1 time"] | None,
        condition: Float[Tensor, "batch condition _"] | None = None,
    ) -> Float[Tensor, "batch channels time"]:
        first, second = x.chunk(2, dim=1)
        return torch.cat([first, masked(second - self._shift(first, mask, condition), mask)], dim=1)


class CouplingFlow(nn.Module):
    """The prior's flow of VITS: residual couplings, each followed by a reversal of the channel order.

    Mean-only, so its log-determinant is 0 and the KL needs no correction. Input should be zero at padded positions.
    """

    def __init__(
        self,
        channels: int,
        hidden_channels: int,
        kernel_size: int,
        num_wavenet_layers: int,
        num_couplings: int,
        condition_channels: int = 0,
        weight_norm: bool = True,
    ) -> None:
        super().__init__()
        self.couplings = nn.ModuleList(
            ResidualCoupling(
                channels, hidden_channels, kernel_size, num_wavenet_layers, condition_channels, weight_norm
            )
            for _ in range(num_couplings)
        )
        self.flip = ChannelFlip(channels)

    @property
    def context_steps(self) -> int:
        """Time steps on each side of a step that its output depends on, in both directions."""
        return sum(coupling.context_steps for coupling in self.couplings if isinstance(coupling, ResidualCoupling))

    def forward(
        self,
        z: Float[Tensor, "batch channels time"],
        mask: Bool[Tensor, "batch 1 time"] | None,
        condition: Float[Tensor, "batch condition _"] | None = None,
    ) -> Float[Tensor, "batch channels time"]:
        """z of the posterior -> z_p, which the prior scores."""
        for coupling in self.couplings:
            z = self.flip(coupling(z, mask, condition))
        return z

    def inverse(
        self,
        z_p: Float[Tensor, "batch channels time"],
        mask: Bool[Tensor, "batch 1 time"] | None,
        condition: Float[Tensor, "batch condition _"] | None = None,
    ) -> Float[Tensor, "batch channels time"]:
        """z_p drawn from the prior -> z for the decoder."""
        for coupling in reversed(self.couplings):
            assert isinstance(coupling, ResidualCoupling)
            z_p = coupling.inverse(self.flip(z_p), mask, condition)
        return z_p


class ElementwiseAffine(nn.Module):
    """y = translation + exp(log_scale) · x per channel; starts as the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.translation = nn.Parameter(torch.zeros(channels, 1))
        self.log_scale = nn.Parameter(torch.zeros(channels, 1))

    def forward(
        self, x: Float[Tensor, "batch channels time"], mask: Bool[Tensor, "batch 1 time"] | None
    ) -> tuple[Float[Tensor, "batch channels time"], Float[Tensor, " batch"]]:
        y = masked(self.translation + torch.exp(self.log_scale) * x, mask)
        return y, masked(self.log_scale.expand_as(x), mask).sum(dim=(1, 2))

    def inverse(
        self, y: Float[Tensor, "batch channels time"], mask: Bool[Tensor, "batch 1 time"] | None
    ) -> Float[Tensor, "batch channels time"]:
        return masked((y - self.translation) * torch.exp(-self.log_scale), mask)


class SplineFlow(nn.Module):
    """Coupling that bends the second half of the channels by splines of the first half (Durkan et al. 2019; ConvFlow).

    hidden_channels: of the DilatedSeparableStack, and of the condition, which is added to its input. Runs in float32
    even under autocast. The spline's projection starts at zero, which is close to the identity.
    """

    def __init__(
        self,
        channels: int,
        hidden_channels: int,
        kernel_size: int,
        num_layers: int,
        num_bins: int = 10,
        bound: float = 5.0,
    ) -> None:
        super().__init__()
        if channels % 2 != 0:
            raise ValueError(f"channels {channels} is odd: a coupling splits them into two halves")
        self.half_channels = channels // 2
        self.num_bins = num_bins
        self.bound = bound
        self.hidden_channels = hidden_channels
        self.input = ProductConv1d(self.half_channels, hidden_channels, 1)
        self.stack = DilatedSeparableStack(hidden_channels, kernel_size, num_layers)
        self.projection = zero_initialised(ProductConv1d(hidden_channels, self.half_channels * (3 * num_bins - 1), 1))

    def _bend(
        self, x: Tensor, mask: Tensor | None, condition: Tensor | None, inverse: bool
    ) -> tuple[Float[Tensor, "batch channels time"], Float[Tensor, " batch"] | None]:
        """The log-determinant is left out for the inverse, which nobody scores."""
        with full_precision(x.device.type):
            x = at_least_float32(x)
            condition = None if condition is None else at_least_float32(condition)
            first, second = x[:, : self.half_channels], x[:, self.half_channels :]
            hidden = self.stack(self.input(first), mask, condition)
            parameters = masked(self.projection(hidden), mask).unflatten(1, (self.half_channels, -1)).transpose(2, 3)
            widths, heights, slopes = parameters.split([self.num_bins, self.num_bins, self.num_bins - 1], dim=-1)
            scale = 1 / math.sqrt(self.hidden_channels)
            bent, log_det = rational_quadratic_spline(
                second, widths * scale, heights * scale, slopes, inverse, self.bound, log_det=not inverse
            )
            total = None if log_det is None else masked(log_det, mask).sum(dim=(1, 2))
            return masked(torch.cat([first, bent], dim=1), mask), total

    def forward(
        self,
        x: Float[Tensor, "batch channels time"],
        mask: Bool[Tensor, "batch 1 time"] | None,
        condition: Float[Tensor, "batch hidden _"] | None = None,
    ) -> tuple[Float[Tensor, "batch channels time"], Float[Tensor, " batch"]]:
        bent, log_det = self._bend(x, mask, condition, inverse=False)
        assert log_det is not None
        return bent, log_det

    def inverse(
        self,
        y: Float[Tensor, "batch channels time"],
        mask: Bool[Tensor, "batch 1 time"] | None,
        condition: Float[Tensor, "batch hidden _"] | None = None,
    ) -> Float[Tensor, "batch channels time"]:
        return self._bend(y, mask, condition, inverse=True)[0]
