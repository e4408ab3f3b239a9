"""F0 on tones whose pitch is known."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from moksori.audio.f0 import Method, extract_f0, interpolate_f0
from moksori.audio.io import read
from moksori.errors import AudioError, MissingExtra
from moksori.types import Waveform

RATE, HOP = 22050, 256
METHODS = ("auto", "dio", "harvest", "pyin")


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest) -> Method:
    name: Method = request.param
    if name != "pyin" and importlib.util.find_spec("pyworld") is None:
        pytest.skip("pyworld is not installed")
    if name == "pyin":
        pytest.importorskip("librosa")
    return name


def harmonic(hertz: np.ndarray, sample_rate: int = RATE) -> Waveform:
    """Ten harmonics that follow a pitch given per sample, over a little noise."""
    phase = 2 * np.pi * np.cumsum(hertz) / sample_rate
    tone = sum(np.sin(k * phase) / k for k in range(1, 11))
    return Waveform((0.1 * tone + 1e-3 * noise(len(hertz))).astype(np.float32), sample_rate)


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(samples)


@pytest.mark.parametrize("hertz", [80.0, 120.0, 220.0, 400.0])
def test_pitch_of_a_tone(method: Method, hertz: float) -> None:
    f0 = extract_f0(harmonic(np.full(RATE // 2, hertz)), HOP, method=method)
    assert f0.dtype == np.float32
    assert (f0 > 0.0).mean() > 0.9
    inner = f0[2:-2]  # at its ends a tone is half silence
    assert np.abs(inner[inner > 0.0] / hertz - 1.0).max() < 0.02


@pytest.mark.parametrize(("sample_rate", "hop"), [(22050, 256), (16000, 200)])
def test_frame_is_at_the_middle_of_its_hop(method: Method, sample_rate: int, hop: int) -> None:
    """Half a hop is 0.8 % in a glide of two octaves a second; up and down tell a late frame from a sharp tracker."""
    errors = []
    for start, ratio in [(90.0, 4.0), (360.0, 0.25)]:
        pitch = start * ratio ** (np.arange(sample_rate) / sample_rate)
        f0 = extract_f0(harmonic(pitch, sample_rate), hop, method=method)
        centre = start * ratio ** ((np.arange(len(f0)) + 0.5) * hop / sample_rate)
        inner = (f0 / centre)[10:-10]
        errors.append(float(np.median(inner[inner > 0.0]) - 1.0))
    assert abs(errors[0] - errors[1]) / 2 < 0.001
    assert abs(sum(errors)) / 2 < 0.01


def test_noise_is_mostly_unvoiced(method: Method) -> None:
    waveform = Waveform((0.1 * noise(2 * RATE)).astype(np.float32), RATE)
    assert (extract_f0(waveform, HOP, method=method) > 0.0).mean() < 0.2


def test_voice_ends_where_it_ends(method: Method) -> None:
    tone = harmonic(np.full(RATE, 150.0)).samples
    silence = 1e-4 * noise(RATE).astype(np.float32)
    voiced = extract_f0(Waveform(np.concatenate([silence, tone]), RATE), HOP, method=method) > 0.0
    assert voiced[:76].mean() < 0.35
    assert voiced[-76:].mean() > 0.9


@pytest.mark.parametrize("samples", [0, 1, 255, 256, 257, 511, 512, 1000, 5003])
def test_one_frame_a_hop(method: Method, samples: int) -> None:
    for values in (noise(samples), np.zeros(samples), np.ones(samples)):
        f0 = extract_f0(Waveform((0.1 * values).astype(np.float32), RATE), HOP, method=method)
        assert f0.shape == (samples // HOP,)
        assert (f0 >= 0.0).all()


def test_one_frame_a_hop_for_many_lengths() -> None:
    pytest.importorskip("pyworld")
    for samples in np.random.default_rng(0).integers(256, 30000, 30):
        waveform = harmonic(np.full(samples, 200.0), 16000)
        assert extract_f0(waveform, 200).shape == (samples // 200,)


def test_silence_is_unvoiced(method: Method) -> None:
    assert not extract_f0(Waveform(np.zeros(RATE, np.float32), RATE), HOP, method=method).any()


def test_limits_hold(method: Method) -> None:
    f0 = extract_f0(harmonic(np.full(RATE // 2, 300.0)), HOP, f_min_hz=70.0, f_max_hz=250.0, method=method)
    assert ((f0 == 0.0) | ((f0 >= 69.9) & (f0 <= 250.1))).all()


def test_bad_values() -> None:
    waveform = harmonic(np.full(5000, 100.0))
    for keywords, message in [
        ({"f_min_hz": 0.0}, "0 and 500"),
        ({"f_min_hz": 600.0}, "600 and 500"),
        ({"f_max_hz": 20000.0}, "11025"),
    ]:
        with pytest.raises(AudioError, match=message):
            extract_f0(waveform, HOP, **keywords)
    with pytest.raises(AudioError, match="hop_length 0"):
        extract_f0(waveform, 0)
    with pytest.raises(AudioError, match="NaN"):
        extract_f0(Waveform(np.full(5000, np.nan, np.float32), RATE), HOP)


def test_the_default_is_the_careful_tracker_and_fast_the_other() -> None:
    pytest.importorskip("pyworld")
    creak = harmonic(np.concatenate([np.full(9000, 180.0), np.full(4000, 85.0), np.full(9000, 210.0)]))
    assert np.array_equal(extract_f0(creak, HOP), extract_f0(creak, HOP, method="harvest"))
    assert np.array_equal(extract_f0(creak, HOP, method="fast"), extract_f0(creak, HOP, method="dio"))
    assert not np.array_equal(extract_f0(creak, HOP), extract_f0(creak, HOP, method="fast"))


def test_without_pyworld_comes_pyin(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("librosa")
    waveform = harmonic(np.full(8000, 130.0))
    expected = extract_f0(waveform, HOP, method="pyin")
    monkeypatch.setitem(sys.modules, "pyworld", None)
    assert np.array_equal(extract_f0(waveform, HOP), expected)
    assert np.array_equal(extract_f0(waveform, HOP, method="fast"), expected)
    with pytest.raises(MissingExtra, match=r"moksori\[world\]"):
        extract_f0(waveform, HOP, method="harvest")
    monkeypatch.setitem(sys.modules, "librosa", None)
    with pytest.raises(MissingExtra, match=r"moksori\[train\]"):
        extract_f0(waveform, HOP)


def test_interpolation_is_straight_in_log_f0() -> None:
    f0 = np.array([0, 0, 100, 0, 400, 0], np.float32)
    filled = interpolate_f0(f0)
    assert np.allclose(filled, [100, 100, 100, 200, 400, 400], rtol=1e-6)
    assert filled.dtype == np.float32
    assert f0.tolist() == [0, 0, 100, 0, 400, 0]


def test_interpolation_keeps_voiced_frames_and_silence() -> None:
    f0 = np.random.default_rng(0).uniform(60, 500, 100).astype(np.float32)
    assert np.array_equal(interpolate_f0(f0), f0)
    for frames in (0, 5):
        assert np.array_equal(interpolate_f0(np.zeros(frames, np.float32)), np.zeros(frames))


@pytest.mark.data
def test_a_woman_speaks(recordings: Path) -> None:
    pytest.importorskip("pyworld")
    path = sorted((recordings / "kathleen").glob("*.flac"))[0]
    f0 = extract_f0(read(path, RATE), HOP)
    assert 0.3 < (f0 > 0.0).mean() < 0.9
    assert 110.0 < np.median(f0[f0 > 0.0]) < 260.0
