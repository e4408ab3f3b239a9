"""Loudness against the standard's own figures, and what normalisation keeps."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from moksori.audio.loudness import integrated_lufs, normalize_loudness
from moksori.errors import AudioError, MissingExtra
from moksori.types import Waveform

quick = settings(max_examples=30, deadline=None)
waveforms = st.builds(
    Waveform,
    arrays(np.float32, st.integers(0, 4000), elements=st.floats(-1, 1, width=32)),
    st.sampled_from([4000, 8000, 16000, 22050]),
)


def tone(seconds: float, gain: float, sample_rate: int = 48000) -> Waveform:
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    return Waveform((gain * np.sin(2 * np.pi * 997 * time)).astype(np.float32), sample_rate)


@pytest.fixture(autouse=True)
def _pyloudnorm() -> None:
    pytest.importorskip("pyloudnorm")


def test_the_standards_tone() -> None:
    """BS.1770-4: a 997 Hz sine at 0 dBFS in one front channel reads -3.01 LUFS; EBU Tech 3341 allows 0.1."""
    assert integrated_lufs(tone(3.0, 1.0)) == pytest.approx(-3.01, abs=0.1)
    assert integrated_lufs(tone(3.0, 0.1)) == pytest.approx(-23.01, abs=0.1)


@pytest.mark.parametrize("sample_rate", [4000, 8000, 16000, 22050, 44100])
def test_the_rate_matters_little(sample_rate: int) -> None:
    assert integrated_lufs(tone(1.0, 0.1, sample_rate)) == pytest.approx(-23.01, abs=0.2)


def test_pauses_are_gated() -> None:
    speech = tone(2.0, 0.1)
    paused = Waveform(np.concatenate([speech.samples, np.zeros(4 * 48000, np.float32)]), 48000)
    assert integrated_lufs(paused) == pytest.approx(integrated_lufs(speech), abs=0.5)


@pytest.mark.parametrize("seconds", [0.05, 0.2, 0.399])
def test_clips_shorter_than_a_block_count_as_if_they_went_on(seconds: float) -> None:
    assert integrated_lufs(tone(seconds, 0.1)) == pytest.approx(-23.01, abs=0.5)


@pytest.mark.parametrize("samples", [0, 1, 48000])
def test_silence_has_none(samples: int) -> None:
    silence = Waveform(np.zeros(samples, np.float32), 48000)
    assert integrated_lufs(silence) == -np.inf
    assert np.array_equal(normalize_loudness(silence).samples, silence.samples)


def test_what_is_under_the_gate_is_silence() -> None:
    assert integrated_lufs(tone(1.0, 1e-5)) == -np.inf


@pytest.mark.parametrize("target", [-30.0, -23.0, -16.0])
def test_target_is_met(target: float) -> None:
    assert integrated_lufs(normalize_loudness(tone(2.0, 0.3), target)) == pytest.approx(target, abs=0.01)


def test_the_peak_limit_is_a_gain_not_a_clip() -> None:
    waveform = tone(2.0, 0.3)
    loud = normalize_loudness(waveform, target_lufs=0.0, peak_limit=0.9)
    assert np.abs(loud.samples).max() == pytest.approx(0.9, abs=1e-6)
    assert np.abs(loud.samples - waveform.samples * 3.0).max() < 1e-5


@given(waveform=waveforms, target=st.floats(-40, 0), limit=st.floats(0.1, 1.0))
@quick
def test_any_waveform_keeps_shape_and_limit(waveform: Waveform, target: float, limit: float) -> None:
    result = normalize_loudness(waveform, target, limit)
    assert result.samples.dtype == np.float32
    assert result.sample_rate == waveform.sample_rate
    assert np.isfinite(result.samples).all()
    assert np.abs(result.samples).max(initial=0.0) <= np.float32(limit)
    peak = np.abs(waveform.samples).max(initial=0.0)
    if peak > 1e-20:  # one gain for all samples; below that it falls out of float32
        gain = np.abs(result.samples).max() / peak
        assert np.allclose(result.samples, waveform.samples * gain, atol=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_infinity(value: float) -> None:
    for function in (integrated_lufs, normalize_loudness):
        with pytest.raises(AudioError, match="NaN"):
            function(Waveform(np.array([0.1, value], np.float32), 22050))


@pytest.mark.parametrize(("target", "limit"), [(np.nan, 0.9), (-23.0, 0.0), (-23.0, 1.5)])
def test_limits_out_of_range(target: float, limit: float) -> None:
    with pytest.raises(AudioError, match="peak_limit"):
        normalize_loudness(tone(1.0, 0.1), target, limit)


def test_without_pyloudnorm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyloudnorm", None)
    with pytest.raises(MissingExtra, match=r"moksori\[train\]"):
        integrated_lufs(tone(1.0, 0.1))
