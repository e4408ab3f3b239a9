"""Pitch and length of phonemes, by hand and against scipy's moments."""

import math

import numpy as np
import pytest

from moksori.evaluation.durations import TimedWord
from moksori.evaluation.prosody import (
    Moments,
    PhonemeProsody,
    phoneme_prosody,
    prosody_distance,
    prosody_errors,
    usual_f0,
)

HOP = 0.0125


def prosody(pitch, frames):
    return PhonemeProsody(np.array(pitch, float), HOP * np.array(frames, float))


def test_moments_are_scipys():
    stats = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(0).gamma(2.0, 30.0, 40)
    found = Moments.of(values)
    assert found.mean == pytest.approx(values.mean())
    assert found.deviation == pytest.approx(values.std())
    assert found.skewness == pytest.approx(stats.skew(values))
    assert found.kurtosis == pytest.approx(stats.kurtosis(values))
    alike = Moments.of(np.full(6, 120.0))
    assert (alike.mean, alike.deviation) == (120.0, 0.0)
    assert math.isnan(alike.skewness)
    assert math.isnan(alike.kurtosis)


def test_a_phonemes_pitch_is_the_mean_of_its_voiced_frames():
    words = [TimedWord(("a", "b"), (0.0, 4 * HOP, 6 * HOP)), TimedWord(("c", "d"), (8 * HOP, 8 * HOP, 11 * HOP))]
    f0 = np.array([100, 110, 0, 120, 0, 0, 300, 300, 200, 0, 220, 999], np.float32)
    found = phoneme_prosody(words, f0, HOP)
    np.testing.assert_allclose(found.pitch, [110.0, np.nan, 210.0])  # c has no time, and 300 Hz lies between words
    np.testing.assert_allclose(found.seconds, [4 * HOP, 2 * HOP, 3 * HOP])
    assert found.voiced == 2
    assert not found.enough


def test_missed_octaves_are_left_out():
    track = np.array([0, 100, 110, 105, 95, 220, 104, 48, 0, 150], np.float32)
    found = usual_f0(track)
    np.testing.assert_array_equal(found, [0, 100, 110, 105, 95, 0, 104, 0, 0, 150])
    assert found.dtype == np.float32
    assert not usual_f0(np.zeros(5, np.float32)).any()


def test_distances_count_hertz_and_frames():
    prompt = prosody([100, 120, 140, 160, 180, np.nan], [4, 6, 8, 10, 12, 2])
    spoken = prosody([110, 130, 150, 170, 190], [8, 8, 8, 8, 10])
    found = prosody_distance(prompt, spoken)
    assert found["prosody_pitch_mean"] == pytest.approx(10.0)
    assert found["prosody_pitch_deviation"] == pytest.approx(0.0, abs=1e-9)
    assert found["prosody_duration_mean"] == pytest.approx(8.4 - 7.0)
    assert found["prosody_duration_mean_ms"] == pytest.approx(12.5 * 1.4)
    assert found["prosody_duration_deviation"] == pytest.approx(np.std([4, 6, 8, 10, 12, 2]) - np.std([8, 8, 8, 8, 10]))
    assert len(found) == 10
    assert all(value == pytest.approx(0.0) for value in prosody_distance(prompt, prompt).values())


def test_few_voiced_phonemes_are_left_out():
    enough, few = prosody([100] * 4 + [120], [3] * 5), prosody([100] * 4 + [np.nan] * 9, [3] * 13)
    assert prosody_distance(enough, few) == prosody_distance(few, enough) == {}
    assert prosody_errors(few, few) == {}
    assert prosody_distance(enough, enough)


def test_the_same_text_is_compared_phoneme_by_phoneme():
    recorded = prosody([100, 120, 140, 160, 180, 150, np.nan], [4, 6, 8, 10, 12, 3, 5])
    higher = prosody([130, 150, 170, 190, 210, np.nan, 99], [6, 8, 10, 12, 14, 5, 7])
    found = prosody_errors(recorded, higher)
    assert found["phoneme_pitch_correlation"] == pytest.approx(1.0)
    assert found["phoneme_pitch_rmse"] == pytest.approx(30.0)
    assert found["phoneme_duration_correlation"] == pytest.approx(1.0)
    assert found["phoneme_duration_rmse"] == pytest.approx(2.0)
    assert prosody_errors(recorded, prosody([100] * 6, [3] * 6)) == {}
    flat = prosody_errors(recorded, prosody([100.0] * 7, [3] * 7))
    assert math.isnan(flat["phoneme_pitch_correlation"])
