"""The multi-resolution STFT distance, and the energy distance whose minimum is the right amount of noise."""

import math

import pytest
import torch

from moksori.losses.stft import SpectralDistance, energy_distance

SMALL = SpectralDistance(((128, 32, 128), (256, 64, 256)))


def noise(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_zero_for_equal_and_larger_for_more_noise() -> None:
    real = 0.1 * torch.sin(torch.arange(4096) * 0.05)[None] + 0.01 * noise(0, 1, 4096)
    assert float(SMALL(real, real)) == 0.0
    distances = [float(SMALL(real + level * noise(1, 1, 4096), real)) for level in (0.001, 0.01, 0.1, 1.0)]
    assert distances == sorted(distances)
    assert distances[0] > 0.0


def test_is_the_published_formula() -> None:
    """Spectral convergence and mean log difference (Yamamoto et al. 2020, eq. 4 and 5) of one resolution, literally."""
    generated, real = noise(2, 1, 2048), noise(3, 1, 2048)
    window = torch.hann_window(200)

    def magnitude(waveform: torch.Tensor) -> torch.Tensor:
        stft = torch.stft(waveform, 256, 64, 200, window, center=True, pad_mode="constant", return_complex=True)
        return stft.abs()[0]

    x, y = magnitude(real), magnitude(generated)
    expected = torch.linalg.matrix_norm(y - x) / torch.linalg.matrix_norm(x) + (y.log() - x.log()).abs().mean()
    torch.testing.assert_close(SpectralDistance(((256, 64, 200),))(generated, real), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("level", [0.0, 0.1])
def test_equal_waveforms_have_a_finite_gradient(level: float) -> None:
    """Two silences are equal in every bin: the root of a zero sum must not make the gradient NaN."""
    real = level * noise(4, 1, 1024)
    generated = real.clone().requires_grad_()
    SMALL(generated, real).backward()
    assert generated.grad is not None
    assert bool(torch.isfinite(generated.grad).all())


def test_float32_under_autocast() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        distance = SMALL(noise(5, 1, 1024).bfloat16(), noise(6, 1, 1024).bfloat16())
    assert distance.dtype == torch.float32


@pytest.fixture(scope="module")
def expected_distances() -> dict[float, tuple[float, float]]:
    """Gain of a noise generator -> mean distance of its samples to real noise of gain 1, and to each other."""
    gains = (0.5, 0.71, 0.85, 1.0, 1.18, 1.41)
    real, first, second = (noise(seed, 60, 2048) for seed in (7, 8, 9))
    target = SMALL.features(real)
    found = {}
    for gain in gains:
        one, two = SMALL.features(gain * first), SMALL.features(gain * second)
        found[gain] = (float(SMALL.between(one, target, target)), float(SMALL.between(one, two, target)))
    return found


def best_gain(distances: dict[float, tuple[float, float]], repulsion: float) -> float:
    def value(gain: float) -> float:
        to_real, between = (torch.tensor(v) for v in distances[gain])
        return float(energy_distance(to_real, to_real, between, repulsion))

    return min(distances, key=value)


def test_the_energy_distance_finds_the_true_noise(expected_distances: dict[float, tuple[float, float]]) -> None:
    assert best_gain(expected_distances, repulsion=1.0) == 1.0
    assert best_gain(expected_distances, repulsion=0.0) < 1.0  # a plain distance wants too little noise


def test_the_energy_distance_is_its_formula() -> None:
    value = energy_distance(torch.tensor(3.0), torch.tensor(5.0), torch.tensor(2.0), repulsion=0.5)
    assert math.isclose(float(value), 0.5 * (3 + 5) - 0.5 * 0.5 * 2)
