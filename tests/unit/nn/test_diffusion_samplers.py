"""Samplers against targets whose exact denoiser is known: a Gaussian, and a mixture with peaks at +-1."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from moksori.nn.diffusion import VariancePreserving
from moksori.nn.diffusion_samplers import (
    SAMPLERS,
    Denoise,
    Sampler,
    backward_ode,
    forward_ode,
    item_noise,
    quadratic_times,
)

PROCESS = VariancePreserving()
MEAN, SPREAD = 0.7, 0.4
PEAK, PEAK_SPREAD = 1.0, 0.3
COUNT = 20000
NORMAL = torch.distributions.Normal(0.0, 1.0)


def gaussian(z: Tensor, t: float) -> Tensor:
    """E[z_0 | z_t] for data N(MEAN, SPREAD²)."""
    alpha, sigma = PROCESS.alpha(t), PROCESS.sigma(t)
    return MEAN + alpha * SPREAD**2 / (alpha**2 * SPREAD**2 + sigma**2) * (z - alpha * MEAN)


def mixture(z: Tensor, t: float) -> Tensor:
    """E[z_0 | z_t] for two equally likely peaks."""
    alpha, sigma = PROCESS.alpha(t), PROCESS.sigma(t)
    variance = alpha**2 * PEAK_SPREAD**2 + sigma**2
    guess = alpha * PEAK_SPREAD**2 / variance
    upper, lower = PEAK + guess * (z - alpha * PEAK), -PEAK + guess * (z + alpha * PEAK)
    share = torch.sigmoid(2.0 * alpha * PEAK * z / variance)
    return share * upper + (1.0 - share) * lower


def normal_quantiles(count: int = COUNT) -> Tensor:
    """N(0, 1) as evenly likely values, so that nothing here depends on luck."""
    return NORMAL.icdf((torch.arange(count, dtype=torch.float64) + 0.5) / count).reshape(1, 2, -1)


def mixture_end(start: Tensor) -> Tensor:
    """Where the exact ODE ends: in one dimension it keeps quantiles, so F_0(z_0) = F_1(z_1)."""
    alpha, sigma = PROCESS.alpha(1.0), PROCESS.sigma(1.0)
    spread = math.sqrt(alpha**2 * PEAK_SPREAD**2 + sigma**2)
    level = 0.5 * (NORMAL.cdf((start - alpha * PEAK) / spread) + NORMAL.cdf((start + alpha * PEAK) / spread))
    grid = torch.linspace(-3.0, 3.0, 200001, dtype=torch.float64)
    levels = 0.5 * (NORMAL.cdf((grid - PEAK) / PEAK_SPREAD) + NORMAL.cdf((grid + PEAK) / PEAK_SPREAD))
    return torch.from_numpy(np.interp(level.numpy(), levels.numpy(), grid.numpy()))


def rms(difference: Tensor) -> float:
    return float(difference.square().mean().sqrt())


def counting(denoise: Denoise) -> tuple[Denoise, Callable[[], int]]:
    calls: list[float] = []

    def counted(z: Tensor, t: float) -> Tensor:
        calls.append(t)
        return denoise(z, t)

    return counted, lambda: len(calls)


# Reference figures: rms distance to the exact end point on the mixture, for a number of evaluations.
REFERENCE = [
    ("euler", 4, 4, 0.245), ("euler", 8, 8, 0.079), ("euler", 16, 16, 0.029), ("euler", 150, 150, 0.003),
    ("ddim", 4, 5, 0.224), ("ddim", 8, 9, 0.114), ("ddim", 16, 17, 0.058),
    ("dpmpp2m", 8, 9, 0.040), ("dpmpp2m", 16, 17, 0.0072),
    ("heun", 4, 8, 0.029), ("heun", 8, 16, 0.0093), ("karras", 5, 9, 0.037),
]  # fmt: skip


@pytest.mark.parametrize(("name", "steps", "evaluations", "expected"), REFERENCE)
def test_errors_on_a_mixture_are_those_of_the_table(name: str, steps: int, evaluations: int, expected: float) -> None:
    start = normal_quantiles()
    denoise, count = counting(mixture)
    found = SAMPLERS[name](denoise, start, PROCESS, steps)
    assert rms(found - mixture_end(start)) == pytest.approx(expected, rel=0.1)
    assert count() == evaluations


@pytest.mark.parametrize(
    ("name", "tolerance"), [("euler", 0.006), ("ddim", 0.01), ("heun", 0.002), ("karras", 0.002), ("dpmpp2m", 0.01)]
)
def test_gaussian_keeps_its_quantiles(name: str, tolerance: float) -> None:
    """The exact ODE of a Gaussian is a line: (z_t - alpha_t m) / sqrt(alpha_t² s² + sigma_t²) does not change."""
    start = normal_quantiles(200)
    alpha, sigma = PROCESS.alpha(1.0), PROCESS.sigma(1.0)
    exact = MEAN + SPREAD * (start - alpha * MEAN) / math.sqrt(alpha**2 * SPREAD**2 + sigma**2)
    assert rms(SAMPLERS[name](gaussian, start, PROCESS, 100) - exact) < tolerance


@pytest.mark.parametrize("name", ["euler", "heun", "karras", "ddim", "dpmpp2m"])
def test_quieter_start_gives_less_variation(name: str) -> None:
    """Noise divided by 1.2 at the start is a spread divided by 1.2 at the end, around the same mean."""
    start = normal_quantiles(500)
    found = SAMPLERS[name](gaussian, start / 1.2, PROCESS, 150)
    assert float(found.std()) == pytest.approx(SPREAD / 1.2, rel=0.02)
    assert float(found.mean()) == pytest.approx(MEAN, abs=0.01)


def test_what_a_network_gets_wrong_comes_out_no_larger() -> None:
    """Errors of 0.05 · sin: all but Heun's plain method, which multiplies them, stay near what is exact."""
    start = normal_quantiles(2000)
    end = mixture_end(start)

    def wrong(z: Tensor, t: float) -> Tensor:
        return mixture(z, t) + 0.05 * torch.sin(37.0 * z + 11.0 * t)

    for name, steps in (("karras", 5), ("dpmpp2m", 8), ("ddim", 16), ("euler", 16)):
        assert rms(SAMPLERS[name](wrong, start, PROCESS, steps) - end) < 0.1, name
    assert rms(SAMPLERS["heun"](wrong, start, PROCESS, 4) - end) > 0.5


def test_sde_gives_the_distribution_of_the_mixture() -> None:
    """Quantile for quantile, with noise drawn anew in each step."""
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(1, 2, COUNT // 2, generator=generator, dtype=torch.float64)

    def noise(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=generator, dtype=like.dtype)

    found = SAMPLERS["sde"](mixture, start, PROCESS, 300, noise=noise).flatten().sort().values
    expected = mixture_end(normal_quantiles()).flatten().sort().values
    assert float((found - expected).abs().mean()) < 0.04
    again = SAMPLERS["sde"](mixture, start, PROCESS, 300, noise=noise).flatten().sort().values
    assert not torch.equal(found, again)


def test_sde_forgets_its_start_and_the_others_do_not() -> None:
    start = normal_quantiles(400)
    silence = torch.zeros_like
    assert rms(SAMPLERS["sde"](gaussian, start, PROCESS, 200, noise=silence) - MEAN) < 0.05
    for name in ("euler", "ddim", "heun", "karras", "dpmpp2m"):
        assert float(SAMPLERS[name](gaussian, start, PROCESS, 20, noise=silence).std()) > 0.3, name


def test_forward_and_back_is_the_source() -> None:
    torch.manual_seed(0)
    peaks = (2 * torch.randint(0, 2, (1, 4, 500)) - 1).double()
    source = PEAK * peaks + PEAK_SPREAD * torch.randn(1, 4, 500, dtype=torch.float64)
    denoise, count = counting(mixture)
    noise = forward_ode(denoise, source, PROCESS, 25)
    assert count() == 25
    assert 0.85 < float(noise.std()) < 1.05
    assert rms(SAMPLERS["dpmpp2m"](mixture, noise, PROCESS, 25) - source) < 0.01
    assert rms(backward_ode(mixture, noise, PROCESS, 25) - source) < 0.004

    def wrong(z: Tensor, t: float) -> Tensor:
        return mixture(z, t) + 0.2 * torch.sin(7.0 * z + 11.0 * t)

    later = forward_ode(wrong, source, PROCESS, 25, 0.05)
    assert rms(backward_ode(wrong, later, PROCESS, 25, 0.05) - source) < 0.01
    assert rms(SAMPLERS["heun"](mixture, forward_ode(mixture, source, PROCESS, 50), PROCESS, 25) - source) < 0.003


def test_item_noise_minds_neither_neighbours_nor_padding() -> None:
    def draws(frames: int, seeds: tuple[int, ...]) -> list[Tensor]:
        noise = item_noise([torch.Generator().manual_seed(seed) for seed in seeds])
        like = torch.zeros(len(seeds), 5, frames)
        return [noise(like), noise(like)]

    alone, together = draws(7, (3,)), draws(23, (1, 3))
    for one, both in zip(alone, together, strict=True):
        assert torch.equal(one[0], both[1, :, :7])
    assert not torch.equal(together[0][0], together[0][1])
    assert not torch.equal(together[0][0], together[1][0])
    with pytest.raises(ValueError, match="2 generators for a batch of 3"):
        item_noise([torch.Generator(), torch.Generator()])(torch.zeros(3, 5, 4))


def test_item_noise_is_standard_normal() -> None:
    drawn = item_noise([torch.Generator().manual_seed(0)])(torch.zeros(1, 64, 1000))
    assert float(drawn.mean()) == pytest.approx(0.0, abs=0.02)
    assert float(drawn.std()) == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("sampler", SAMPLERS.values(), ids=SAMPLERS.keys())
def test_one_step_is_enough_and_none_is_refused(sampler: Sampler) -> None:
    start = torch.randn(2, 3, 4)
    found = sampler(gaussian, start, PROCESS, 1)
    assert found.shape == start.shape
    assert found.dtype == start.dtype
    with pytest.raises(ValueError, match="steps 0"):
        sampler(gaussian, start, PROCESS, 0)


def test_quadratic_times_run_down_to_the_end() -> None:
    times = quadratic_times(4, 0.01)
    assert times == pytest.approx([1.0, 0.600625, 0.3025, 0.105625, 0.01])
    with pytest.raises(ValueError, match="t_end"):
        quadratic_times(4, 0.0)
