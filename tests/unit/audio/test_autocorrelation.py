"""The pitch tracker that needs nothing but NumPy, on sounds whose pitch is known."""

import numpy as np
import pytest

from moksori.audio.autocorrelation import autocorrelation_f0
from moksori.types import Waveform

RATE, HOP = 22050, 256


def sung(f0: np.ndarray, harmonics: int = 12) -> np.ndarray:
    """A sound of given pitch at every sample, with falling harmonics."""
    phase = 2.0 * np.pi * np.cumsum(f0) / RATE
    return sum(np.sin(k * phase) / k for k in range(1, harmonics + 1)) * 0.1


@pytest.mark.parametrize(("low", "high"), [(80.0, 160.0), (180.0, 330.0), (400.0, 300.0)])
def test_a_glide_is_followed(low: float, high: float) -> None:
    f0 = np.geomspace(low, high, RATE)
    noise = np.random.default_rng(0).normal(0.0, 0.003, RATE)
    found = autocorrelation_f0(Waveform((sung(f0) + noise).astype(np.float32), RATE), HOP)
    assert len(found) == RATE // HOP
    true = f0[np.arange(len(found)) * HOP + HOP // 2]
    inner = slice(3, -3)
    assert bool((found[inner] > 0).all())
    cents = 1200.0 * np.abs(np.log2(found[inner] / true[inner]))
    assert float(cents.max()) < 20.0


def test_noise_and_silence_have_no_pitch() -> None:
    noise = np.random.default_rng(1).normal(0.0, 0.1, RATE).astype(np.float32)
    assert float((autocorrelation_f0(Waveform(noise, RATE), HOP) > 0).mean()) < 0.1
    assert not autocorrelation_f0(Waveform(np.zeros(RATE, np.float32), RATE), HOP).any()
    assert len(autocorrelation_f0(Waveform(np.zeros(10, np.float32), RATE), HOP)) == 0


def test_a_voice_begins_and_ends() -> None:
    sound = np.zeros(2 * RATE)
    sound[RATE // 2 : 3 * RATE // 2] = sung(np.full(RATE, 210.0))
    found = autocorrelation_f0(Waveform(sound.astype(np.float32), RATE), HOP)
    seconds = (np.arange(len(found)) + 0.5) * HOP / RATE
    inside = (seconds > 0.55) & (seconds < 1.45)
    outside = (seconds < 0.45) | (seconds > 1.55)
    assert bool((np.abs(found[inside] - 210.0) < 2.0).all())
    assert not found[outside].any()
