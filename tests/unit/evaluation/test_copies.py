"""PESQ, STOI and mel distance: each falls or grows with what is done to the copy of a recording."""

import sys

import numpy as np
import pytest

from moksori.audio.io import read
from moksori.audio.mel import MEL_22KHZ
from moksori.audio.resample import resample
from moksori.errors import AudioError, MissingExtra
from moksori.evaluation.mel_distance import mel_distance
from moksori.evaluation.pairs import parts
from moksori.evaluation.pesq import pesq
from moksori.evaluation.stoi import stoi
from moksori.types import Waveform


@pytest.fixture(scope="module")
def speech(recordings):
    path = sorted((recordings / "vctk-mini").rglob("*.flac"))[0]
    return read(path, 16000)


def noise(count, seed=0):
    return np.random.default_rng(seed).standard_normal(count).astype(np.float32)


def noisy(wave, decibels):
    level = np.sqrt(np.mean(wave.samples**2)) * 10 ** (-decibels / 20)
    return Waveform(wave.samples + noise(len(wave.samples)) * np.float32(level), wave.sample_rate)


def dull(wave):
    """Without what lies above 2 kHz."""
    return resample(resample(wave, 4000), wave.sample_rate)


@pytest.mark.data
def test_pesq_falls_with_noise_and_dullness(speech):
    pytest.importorskip("pesq")
    clean, at20, at5 = (pesq(speech, heard) for heard in (speech, noisy(speech, 20), noisy(speech, 5)))
    assert clean == pytest.approx(4.64, abs=0.01)
    assert clean > at20 + 1.0 > at5 + 1.3
    assert pesq(speech, dull(speech)) < 4.3
    quieter = Waveform(speech.samples * np.float32(0.2), 16000)
    assert pesq(speech, quieter) == pytest.approx(clean, abs=0.02)


@pytest.mark.data
def test_stoi_falls_with_noise_to_nothing(speech):
    pytest.importorskip("pystoi")
    clean, at20, at0 = (stoi(speech, heard) for heard in (speech, noisy(speech, 20), noisy(speech, 0)))
    assert clean == pytest.approx(1.0, abs=1e-6)
    assert clean > at20 > at0 + 0.1
    assert stoi(speech, Waveform(noise(len(speech.samples)) * 0.1, 16000)) < min(at0 - 0.1, 0.5)


@pytest.mark.data
def test_mel_distance_grows_with_noise(speech):
    clean, at40, at20 = (mel_distance(speech, heard) for heard in (speech, noisy(speech, 40), noisy(speech, 20)))
    assert clean == 0.0
    assert at20 > at40 + 0.5 > 0.6
    assert mel_distance(speech, noisy(speech, 20), MEL_22KHZ) == pytest.approx(at20, rel=0.2)


def test_mel_distance_of_a_level_is_that_level():
    wave = Waveform(noise(16000) * np.float32(0.05), 16000)
    quarter = Waveform(wave.samples / 4, 16000)
    assert mel_distance(wave, quarter) == pytest.approx(np.log(4), rel=1e-3)


def test_without_speech_there_is_no_score():
    pytest.importorskip("pesq")
    pytest.importorskip("pystoi")
    silence, short = Waveform(np.zeros(16000, np.float32), 16000), Waveform(noise(1600) * 0.1, 16000)
    for measure in (pesq, stoi):
        assert np.isnan(measure(silence, Waveform(noise(16000) * 0.1, 16000)))
        assert np.isnan(measure(short, short))
    assert stoi(Waveform(noise(16000) * 0.1, 16000), silence) == pytest.approx(0.0, abs=0.01)


@pytest.mark.data
def test_long_recordings_are_scored_in_parts(speech):
    pytest.importorskip("pesq")
    long = Waveform(np.tile(speech.samples, int(45 / speech.duration_seconds) + 1), 16000)
    assert pesq(long, noisy(long, 10)) == pytest.approx(pesq(speech, noisy(speech, 10)), abs=0.3)
    assert [(p.start, p.stop) for p in parts(10, 4)] == [(0, 3), (3, 6), (6, 10)]


@pytest.mark.parametrize("measure", [pesq, stoi, mel_distance])
def test_what_cannot_be_compared_is_refused(measure):
    second = Waveform(noise(16000) * 0.1, 16000)
    with pytest.raises(AudioError, match=r"1\.00 s and 0\.50 s"):
        measure(second, Waveform(second.samples[:8000], 16000))
    with pytest.raises(AudioError, match="empty"):
        measure(second, Waveform(np.zeros(0, np.float32), 16000))
    broken = second.samples.copy()
    broken[7] = np.nan
    with pytest.raises(AudioError, match="NaN"):
        measure(second, Waveform(broken, 16000))


@pytest.mark.parametrize(
    ("measure", "package", "extra"), [(pesq, "pesq", "evaluate-full"), (stoi, "pystoi", "evaluate")]
)
def test_a_missing_package_is_named_with_its_remedy(measure, package, extra, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    wave = Waveform(noise(16000) * 0.1, 16000)
    with pytest.raises(MissingExtra, match=rf"moksori\[{extra}\]"):
        measure(wave, wave)
