"""The mark in sound: found after what sound goes through, never where it is not, and put on block by block."""

import hashlib

import numpy as np
import pytest

from moksori.audio.io import read, write
from moksori.audio.resample import resample
from moksori.audio.watermark import BANDS, STEPS, Finder, Marker, find, mark, pattern
from moksori.errors import AudioError
from moksori.types import Waveform


def speechlike(seconds: float, sample_rate: int = 22050, seed: int = 0) -> np.ndarray:
    """Noise that falls with frequency and comes in syllables, with pauses of silence, at the level of speech."""
    random = np.random.default_rng(seed)
    count = round(seconds * sample_rate)
    noise = np.fft.irfft(
        np.fft.rfft(random.standard_normal(count)) / (1.0 + np.fft.rfftfreq(count, 1.0 / sample_rate) / 500.0), count
    )
    time = np.arange(count) / sample_rate
    syllables = np.maximum(np.sin(2 * np.pi * 3.0 * time + 3.0 * np.sin(0.7 * time)), 0.0) + 0.02
    samples = noise * syllables * (np.sin(2 * np.pi * 0.2 * time) > -0.9)
    return (0.3 * samples / np.abs(samples).max()).astype(np.float32)


def test_the_pattern_is_the_same_for_ever():
    signs = pattern()
    assert signs.shape == (STEPS, BANDS)
    assert set(np.unique(signs)) == {-1.0, 1.0}
    # Files that are out there were marked with it; another pattern needs another name than moksori-1.
    assert hashlib.sha256(signs.astype(np.int8).tobytes()).hexdigest()[:16] == "f91c3cdc9633ae37"


@pytest.mark.parametrize("sample_rate", [8000, 16000, 22050, 24000, 44100])
def test_a_mark_is_found(sample_rate):
    sound = speechlike(5.0, sample_rate)
    marked = mark(sound, sample_rate)
    assert marked.dtype == np.float32
    assert len(marked) == len(sound)
    assert find(marked, sample_rate).found
    assert not find(sound, sample_rate).found


def test_it_outlives_what_sound_goes_through(tmp_path):
    marked = Waveform(mark(speechlike(8.0), 22050), 22050)
    telephone = resample(marked, 8000)
    crop = telephone.samples[9000:39000]
    assert find(telephone.samples, 8000).found
    assert find(np.round(0.1 * crop * 32768.0).astype(np.float32) / 32768.0, 8000).found, "cut and soft"
    write(tmp_path / "a.mp3", resample(marked, 16000))
    packed = read(tmp_path / "a.mp3")
    assert find(packed.samples, packed.sample_rate).found


def test_sound_without_a_mark_is_not_taken_for_marked():
    scores = [find(speechlike(6.0, 16000, seed), 16000).score for seed in range(12)]
    assert max(scores) < 5.0
    assert find(np.zeros(50000, np.float32), 16000).chance == 1.0
    assert find(np.zeros(10, np.float32), 16000).chance == 1.0


def test_blocks_make_the_same_sound_as_the_whole():
    sound = speechlike(3.0)
    marker = Marker(22050)
    blocks = [marker.push(block) for block in np.array_split(sound, 53)]
    joined = np.concatenate([*blocks, marker.finish()])
    assert np.abs(joined - mark(sound, 22050)).max() < 1e-6
    assert len(marker.push(sound[:0])) == 0


@pytest.mark.parametrize("count", [0, 1, 100, 705, 706, 5000])
def test_any_length_stays_as_it_is(count):
    sound = speechlike(1.0)[:count]
    assert len(mark(sound, 22050)) == count


def test_it_changes_little_and_silence_not_at_all():
    sound = speechlike(4.0)
    sound[30000:50000] = 0.0
    marked = mark(sound, 22050)
    assert (marked[31000:49000] == 0.0).all()
    power = lambda samples: float(np.mean(np.square(samples, dtype=np.float64)))  # noqa: E731
    assert power(marked - sound) < 0.04 * power(sound)
    assert abs(10 * np.log10(power(marked) / power(sound))) < 0.5


def test_a_marked_stretch_of_a_long_recording_is_found():
    long = speechlike(60.0, 16000, seed=3)
    stretch = slice(30 * 16000, 46 * 16000)
    long[stretch] = mark(long[stretch], 16000)
    finder = Finder(16000)
    for block in np.array_split(long, 100):
        finder.push(block)
    found = finder.finish()
    assert found.found
    assert found.seconds == pytest.approx(60.0)


def test_a_rate_that_leaves_too_little_is_refused():
    with pytest.raises(AudioError, match="4000 Hz"):
        Marker(4000)
