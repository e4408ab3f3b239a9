"""The variance-preserving process: its schedule, what is given of the data, and the scores that guesses stand for."""

import math

import pytest
import torch

from moksori.nn.diffusion import VariancePreserving

PROCESS = VariancePreserving()
TIMES = torch.linspace(1e-4, 1.0, 50, dtype=torch.float64)


def test_power_is_kept_and_almost_nothing_of_the_data_is_left_at_the_end() -> None:
    power = PROCESS.alpha(TIMES) ** 2 + PROCESS.sigma(TIMES) ** 2
    torch.testing.assert_close(power, torch.ones_like(power))
    assert PROCESS.alpha(1.0) == pytest.approx(0.00665, rel=1e-3)
    assert math.exp(2.0 * PROCESS.log_snr(1.0)) == pytest.approx(4.4e-5, rel=0.02)
    assert (PROCESS.alpha(0.0), PROCESS.sigma(0.0)) == (1.0, 0.0)


def test_beta_is_the_rate_at_which_the_data_fades() -> None:
    """d ln(alpha) / dt = -beta / 2, by differences."""
    for t in (0.05, 0.5, 0.95):
        fading = (math.log(PROCESS.alpha(t + 1e-6)) - math.log(PROCESS.alpha(t - 1e-6))) / 2e-6
        assert fading == pytest.approx(-0.5 * PROCESS.beta(t), rel=1e-6)


def test_times_come_back_from_the_signal_to_noise_ratio() -> None:
    found = PROCESS.time_of(PROCESS.log_snr(TIMES))
    torch.testing.assert_close(found, TIMES, rtol=1e-9, atol=1e-12)
    assert PROCESS.time_of(PROCESS.log_snr(0.3)) == pytest.approx(0.3, rel=1e-12)
    torch.testing.assert_close(
        PROCESS.log_snr(TIMES), torch.log(PROCESS.alpha(TIMES) / PROCESS.sigma(TIMES)), rtol=1e-9, atol=1e-9
    )


def test_floats_and_tensors_agree() -> None:
    for function in (PROCESS.beta, PROCESS.alpha, PROCESS.sigma, PROCESS.log_snr):
        single = function(0.25)
        assert isinstance(single, float)
        torch.testing.assert_close(function(torch.tensor([0.25, 0.5]))[0].item(), single, rtol=1e-5, atol=1e-6)


def test_small_times_keep_their_digits_in_float32() -> None:
    t = torch.tensor([1e-5])
    assert PROCESS.sigma(t).item() == pytest.approx(PROCESS.sigma(1e-5), rel=1e-5)


def test_noised_has_the_mean_and_variance_of_the_process() -> None:
    torch.manual_seed(0)
    z0 = torch.tensor([2.0, -1.0])[:, None, None].expand(2, 4, 20000)
    t = torch.tensor([0.1, 0.4])
    zt = PROCESS.noised(z0, t, torch.randn(2, 4, 20000))
    torch.testing.assert_close(zt.mean(dim=(1, 2)), PROCESS.alpha(t) * z0[:, 0, 0], atol=0.02, rtol=0.0)
    torch.testing.assert_close(zt.var(dim=(1, 2)), PROCESS.sigma(t) ** 2, atol=0.0, rtol=0.02)


def test_noised_by_steps_of_the_sde_is_the_same_distribution() -> None:
    """dz = -1/2 beta z dt + sqrt(beta) dw, in 400 steps of Euler and Maruyama's to t = 0.4."""
    torch.manual_seed(0)
    z, steps, stop = torch.full((20000,), 1.5), 400, 0.4
    for step in range(steps):
        beta, h = PROCESS.beta((step + 0.5) * stop / steps), stop / steps
        z = z - 0.5 * beta * z * h + math.sqrt(beta * h) * torch.randn_like(z)
    assert z.mean().item() == pytest.approx(1.5 * PROCESS.alpha(stop), abs=0.03)
    assert z.std().item() == pytest.approx(PROCESS.sigma(stop), rel=0.03)


def test_score_of_the_true_data_is_the_conditional_score() -> None:
    torch.manual_seed(0)
    z0, noise = torch.randn(3, 4, 5), torch.randn(3, 4, 5)
    t = torch.tensor([0.05, 0.5, 1.0])
    zt = PROCESS.noised(z0, t, noise)
    expected = -noise / PROCESS.sigma(t)[:, None, None]
    torch.testing.assert_close(PROCESS.score(z0, zt, t), expected, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(PROCESS.noise_of(z0, zt, t), noise, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(PROCESS.score(z0[:1], zt[:1], 0.05), expected[:1], rtol=1e-3, atol=1e-3)


def test_score_error_is_weighted_data_error() -> None:
    """The difference of two scores is alpha / sigma² times that of the data: the weight of the literal score loss."""
    torch.manual_seed(0)
    z0, guess, zt = torch.randn(1, 4, 5), torch.randn(1, 4, 5), torch.randn(1, 4, 5)
    error = (PROCESS.score(guess, zt, 0.1) - PROCESS.score(z0, zt, 0.1)).square()
    weight = PROCESS.alpha(0.1) ** 2 / PROCESS.sigma(0.1) ** 4
    assert weight == pytest.approx(91.0, rel=0.02)
    torch.testing.assert_close(error, weight * (guess - z0).square(), rtol=1e-3, atol=1e-3)


def test_a_schedule_that_does_not_rise_is_refused() -> None:
    with pytest.raises(ValueError, match="beta"):
        VariancePreserving(2.0, 1.0)
