"""Where the silence is."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from moksori.audio.io import read
from moksori.audio.trim import pauses, trim_silence
from moksori.errors import AudioError
from moksori.types import Waveform

RATE = 16000
quick = settings(max_examples=50, deadline=None)
waveforms = st.builds(
    Waveform,
    arrays(np.float32, st.integers(0, 3000), elements=st.floats(-1, 1, width=32)),
    st.sampled_from([100, 1000, 8000]),
)


def sound(*pieces: tuple[float, float]) -> Waveform:
    """Noise in pieces of (seconds, gain)."""
    random = np.random.default_rng(0)
    parts = [gain * random.uniform(-1, 1, round(seconds * RATE)) for seconds, gain in pieces]
    return Waveform(np.concatenate(parts).astype(np.float32), RATE)


@pytest.mark.parametrize("floor", [0.0, 0.002])
def test_ends_go_and_the_middle_stays(floor: float) -> None:
    waveform = sound((1.0, floor), (0.5, 0.5), (0.8, floor), (0.5, 0.4), (0.7, floor))
    trimmed = trim_silence(waveform)
    assert trimmed.duration_seconds == pytest.approx(1.8 + 2 * 0.07, abs=0.06)
    speech = waveform.samples[RATE : round(2.8 * RATE)]
    assert speech.tobytes() in trimmed.samples.tobytes()


def test_threshold_decides() -> None:
    waveform = sound((1.0, 0.5 * 10 ** (-30 / 20)), (1.0, 0.5), (1.0, 0.5 * 10 ** (-30 / 20)))
    assert trim_silence(waveform, threshold_db=38.0).duration_seconds == 3.0
    assert trim_silence(waveform, threshold_db=25.0).duration_seconds == pytest.approx(1.14, abs=0.06)


def test_keeps_what_is_asked() -> None:
    waveform = sound((1.0, 0.0), (1.0, 0.5), (1.0, 0.0))
    difference = trim_silence(waveform, keep_seconds=0.3).duration_seconds
    difference -= trim_silence(waveform, keep_seconds=0.0).duration_seconds
    assert difference == pytest.approx(0.6, abs=1e-3)
    assert trim_silence(waveform, keep_seconds=9.0).duration_seconds == 3.0


def test_a_click_is_not_the_level_of_speech() -> None:
    waveform = sound((0.5, 0.0), (2.0, 0.004), (0.5, 0.0))
    waveform.samples[RATE] = 1.0
    assert trim_silence(waveform).duration_seconds > 2.0


def test_a_word_in_a_long_silence_is_found() -> None:
    waveform = sound((20.0, 0.0), (0.3, 0.5), (20.0, 0.0))
    assert trim_silence(waveform).duration_seconds == pytest.approx(0.44, abs=0.06)


@pytest.mark.parametrize("samples", [0, 1, 399, 16000])
def test_silence_comes_back_whole(samples: int) -> None:
    waveform = Waveform(np.zeros(samples, np.float32), RATE)
    assert len(trim_silence(waveform).samples) == samples
    assert pauses(waveform) == ([(0.0, 1.0)] if samples == RATE else [])


def test_pauses_are_where_they_were_put() -> None:
    waveform = sound((0.3, 0.0), (0.5, 0.5), (0.6, 0.001), (0.5, 0.5), (0.1, 0.0), (0.5, 0.5), (0.4, 0.0))
    found = pauses(waveform)
    assert np.allclose(found, [(0.0, 0.3), (0.8, 1.4), (2.5, 2.9)], atol=0.03)
    assert len(pauses(waveform, minimum_seconds=0.05)) == 4
    assert len(pauses(waveform, minimum_seconds=0.5)) == 1


@given(waveform=waveforms, threshold=st.floats(0, 80), keep=st.floats(0, 1))
@quick
def test_any_waveform_is_cut_to_a_part_of_itself(waveform: Waveform, threshold: float, keep: float) -> None:
    trimmed = trim_silence(waveform, threshold, keep)
    assert trimmed.samples.dtype == np.float32
    assert trimmed.samples.tobytes() in waveform.samples.tobytes()
    if waveform.samples.any():
        assert trimmed.samples.any()


@given(waveform=waveforms, minimum=st.floats(0.001, 1))
@quick
def test_any_pauses_are_ordered_and_apart(waveform: Waveform, minimum: float) -> None:
    edges = np.array(pauses(waveform, minimum)).reshape(-1)
    assert (np.diff(edges) >= 0.0).all()
    assert (np.diff(edges.reshape(-1, 2), axis=1) >= minimum - 1e-9).all()
    assert ((edges >= 0.0) & (edges <= waveform.duration_seconds)).all()


def test_bad_values() -> None:
    bad = Waveform(np.array([0.1, np.nan], np.float32), RATE)
    for function in (trim_silence, pauses):
        with pytest.raises(AudioError, match="NaN"):
            function(bad)
        with pytest.raises(AudioError, match="-1"):
            function(sound((0.1, 0.5)), threshold_db=-1.0)
    with pytest.raises(AudioError, match=r"keep_seconds -0\.1"):
        trim_silence(sound((0.1, 0.5)), keep_seconds=-0.1)


@pytest.mark.data
def test_a_recording_loses_its_ends_only(recordings: Path) -> None:
    path = sorted((recordings / "kathleen").glob("*.flac"))[0]
    waveform = read(path)
    trimmed = trim_silence(waveform)
    assert 0.5 * waveform.duration_seconds < trimmed.duration_seconds <= waveform.duration_seconds
    padded = Waveform(np.pad(waveform.samples, RATE), waveform.sample_rate)
    assert abs(trim_silence(padded).duration_seconds - trimmed.duration_seconds) < 0.3
