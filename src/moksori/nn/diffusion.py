"""The variance-preserving diffusion process in continuous time (Song et al. 2021, arXiv:2011.13456, section 3.4).

dz = -1/2 beta_t z dt + sqrt(beta_t) dw for t from 0, data, to 1, all but noise, with beta_t on a straight line. What is
given of the data at time t is z_t = alpha_t z_0 + sigma_t noise, alpha_t² + sigma_t² = 1.
"""

from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from moksori.nn.conv import is_traced

Time = TypeVar("Time", float, Tensor)
"""A time in [0, 1] of everything, or a tensor of times, one for each item."""


class VariancePreserving:
    """The process with beta_t = beta_0 + (beta_1 - beta_0) t; functions of time take a float or a tensor of any shape.

    beta_0, beta_1: of Grad-TTS (Popov et al. 2021), which leave 4.4e-5 of the data's power at t = 1. Raises ValueError
    unless 0 < beta_0 < beta_1.
    """

    def __init__(self, beta_0: float = 0.05, beta_1: float = 20.0) -> None:
        if not 0.0 < beta_0 < beta_1:
            raise ValueError(f"beta from {beta_0} to {beta_1}: expected 0 < beta_0 < beta_1")
        self.beta_0, self.beta_1 = beta_0, beta_1

    def beta(self, t: Time) -> Time:
        """The rate at which noise comes in."""
        return self.beta_0 + (self.beta_1 - self.beta_0) * t

    def alpha(self, t: Time) -> Time:
        """Share of the data in z_t: exp(-B/2), B the integral of beta from 0 to t."""
        return _as_given(t, self._alpha_sigma(t)[0])

    def sigma(self, t: Time) -> Time:
        """Share of the noise in z_t: sqrt(1 - exp(-B)); exact near 0, where the difference would lose all digits."""
        return _as_given(t, self._alpha_sigma(t)[1])

    def log_snr(self, t: Time) -> Time:
        """lambda = ln(alpha / sigma), half the logarithm of the signal-to-noise ratio; falls from infinity at t = 0."""
        integral = self._integral(t)
        return _as_given(t, -0.5 * (integral + torch.log(-torch.expm1(-integral))))

    def time_of(self, log_snr: Time) -> Time:
        """The time at which ln(alpha / sigma) has a value: the inverse of `log_snr`."""
        integral = functional.softplus(-2.0 * _tensor(log_snr))
        slope = self.beta_1 - self.beta_0
        time = 2.0 * integral / (self.beta_0 + torch.sqrt(self.beta_0**2 + 2.0 * slope * integral))
        return _as_given(log_snr, time)

    def noised(
        self, z0: Float[Tensor, "batch channels frames"], t: float | Float[Tensor, " batch"],
        noise: Float[Tensor, "batch channels frames"],
    ) -> Float[Tensor, "batch channels frames"]:  # fmt: skip
        """z_t = alpha_t z_0 + sigma_t noise; t: of everything, or of each item."""
        alpha, sigma = self._shares(t)
        return alpha * z0 + sigma * noise

    def score(
        self, z0_hat: Float[Tensor, "batch channels frames"], zt: Float[Tensor, "batch channels frames"],
        t: float | Float[Tensor, " batch"],
    ) -> Float[Tensor, "batch channels frames"]:  # fmt: skip
        """The gradient of ln p_t(z_t) that a guess of the data stands for: (alpha_t z_0 - z_t) / sigma_t²; t > 0."""
        alpha, sigma = self._shares(t)
        return (alpha * z0_hat - zt) / sigma**2

    def noise_of(
        self, z0_hat: Float[Tensor, "batch channels frames"], zt: Float[Tensor, "batch channels frames"],
        t: float | Float[Tensor, " batch"],
    ) -> Float[Tensor, "batch channels frames"]:  # fmt: skip
        """The noise that a guess of the data stands for: (z_t - alpha_t z_0) / sigma_t; t > 0."""
        alpha, sigma = self._shares(t)
        return (zt - alpha * z0_hat) / sigma

    def _shares(self, t: float | Tensor) -> tuple[Tensor, Tensor]:
        """alpha and sigma, one number for each item, to be multiplied with `[batch, channels, frames]`."""
        alpha, sigma = self._alpha_sigma(t)
        return (alpha, sigma) if alpha.dim() == 0 else (alpha[:, None, None], sigma[:, None, None])

    def _alpha_sigma(self, t: float | Tensor) -> tuple[Tensor, Tensor]:
        integral = self._integral(t)
        return torch.exp(-0.5 * integral), torch.sqrt(_one_less_exp(integral))

    def _integral(self, t: float | Tensor) -> Tensor:
        time = _tensor(t)
        return self.beta_0 * time + 0.5 * (self.beta_1 - self.beta_0) * time.square()


def _one_less_exp(x: Tensor) -> Tensor:
    """1 - exp(-x), exact near 0; graphs have no expm1, but tanh, which is as exact there."""
    if not is_traced():
        return -torch.expm1(-x)
    half = torch.tanh(0.5 * x)
    return 2.0 * half / (1.0 + half)


def _tensor(value: float | Tensor) -> Tensor:
    return value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64)


def _as_given(given: Time, found: Tensor) -> Time:
    return found if isinstance(given, Tensor) else float(found)
