"""Melodies: right, transposed, an octave off, silent."""

import numpy as np
import pytest

from moksori.errors import AudioError
from moksori.evaluation.melody import compare_melodies

HOP = 0.005


def tune():
    """Two seconds: half a second of silence, then notes with vibrato."""
    time = np.arange(400) * HOP
    notes = 220.0 * 2.0 ** (np.repeat([0, 4, 7, 12], 100) / 12)
    f0 = notes * 2.0 ** (0.3 / 12 * np.sin(2 * np.pi * 5 * time))
    f0[:100] = 0.0
    return f0


def test_the_same_tune_is_right():
    found = compare_melodies(tune(), tune(), HOP)
    assert (found.raw_pitch_accuracy, found.octave_errors, found.voicing_recall) == (1.0, 0.0, 1.0)
    assert found.voicing_false_alarm == 0.0
    assert found.correlation == pytest.approx(1.0)


@pytest.mark.parametrize(("cents", "accuracy"), [(30, 1.0), (-30, 1.0), (70, 0.0)])
def test_fifty_cents_decide(cents, accuracy):
    assert compare_melodies(tune(), tune() * 2.0 ** (cents / 1200), HOP).raw_pitch_accuracy == accuracy


def test_octaves_are_errors_of_their_own():
    wrong = tune()
    wrong[200:300] *= 2.0
    found = compare_melodies(tune(), wrong, HOP)
    assert found.raw_chroma_accuracy == 1.0
    assert found.octave_errors == pytest.approx(1 / 3, abs=0.01)


def test_a_transposed_tune_is_right_where_that_is_allowed():
    moved = tune() * 2.0 ** (-5 / 12)
    assert compare_melodies(tune(), moved, HOP).raw_pitch_accuracy == 0.0
    found = compare_melodies(tune(), moved, HOP, transposed=True)
    assert found.raw_pitch_accuracy == 1.0
    assert found.transposition == pytest.approx(-5.0)


def test_missing_voice_and_missing_ends_are_counted():
    short = tune()[:250]
    found = compare_melodies(tune(), short, HOP)
    assert found.raw_pitch_accuracy == pytest.approx(0.5, abs=0.01)
    assert found.voicing_recall == pytest.approx(0.5, abs=0.01)
    loud = np.where(tune() > 0, tune(), 100.0)
    assert compare_melodies(tune(), loud, HOP).voicing_false_alarm == 1.0
    nothing = compare_melodies(tune(), np.zeros(400), HOP)
    assert (nothing.raw_pitch_accuracy, nothing.voicing_recall) == (0.0, 0.0)
    assert np.isnan(nothing.correlation)
    with pytest.raises(AudioError, match="no voiced frame"):
        compare_melodies(np.zeros(100), tune(), HOP)
