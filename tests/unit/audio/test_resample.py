"""Change of sample rate: lengths, tones, and blocks against one call."""

import numpy as np
import pytest
import soxr

from moksori.audio.resample import Resampler, resample
from moksori.errors import AudioError
from moksori.types import Waveform


def noise(samples: int, sample_rate: int) -> Waveform:
    values = 0.1 * np.random.default_rng(samples).standard_normal(samples)
    return Waveform(values.astype(np.float32), sample_rate)


@pytest.mark.parametrize("samples", [1, 2, 10, 12345])
@pytest.mark.parametrize(
    ("old", "new"), [(48000, 22050), (22050, 16000), (16000, 22050), (11025, 48000), (44100, 8000)]
)
def test_length_is_the_rounded_ratio(old: int, new: int, samples: int) -> None:
    result = resample(noise(samples, old), new)
    assert result.sample_rate == new
    assert len(result.samples) == max(round(samples * new / old), 1)
    assert result.samples.dtype == np.float32


def test_a_tone_stays_and_what_the_new_rate_cannot_hold_goes() -> None:
    time = np.arange(44100) / 44100
    low = (0.5 * np.sin(2 * np.pi * 3000 * time)).astype(np.float32)
    high = (0.5 * np.sin(2 * np.pi * 12000 * time)).astype(np.float32)
    inner = slice(1600, -1600)
    expected = 0.5 * np.sin(2 * np.pi * 3000 * np.arange(16000) / 16000)
    assert np.abs(resample(Waveform(low, 44100), 16000).samples - expected)[inner].max() < 1e-5
    assert np.abs(resample(Waveform(high, 44100), 16000).samples)[inner].max() < 1e-5


def test_same_rate_changes_nothing() -> None:
    waveform = noise(100, 22050)
    assert resample(waveform, 22050) is waveform


@pytest.mark.parametrize("block", [1000, 65536])
def test_blocks_joined_are_the_whole(block: int) -> None:
    waveform = noise(100_000, 44100)
    resampler = Resampler(44100, 22050)
    parts = [resampler.push(waveform.samples[i : i + block]) for i in range(0, 100_000, block)]
    whole = np.concatenate([*parts, resampler.finish()])
    assert np.abs(whole - soxr.resample(waveform.samples, 44100, 22050, "VHQ")).max() < 1e-6


def test_nothing_stays_nothing() -> None:
    assert len(resample(Waveform(np.zeros(0, np.float32), 22050), 16000).samples) == 0


@pytest.mark.parametrize("rate", [0, -1])
def test_rates_that_cannot_be(rate: int) -> None:
    with pytest.raises(AudioError, match=f"to {rate} Hz"):
        resample(noise(10, 22050), rate)
