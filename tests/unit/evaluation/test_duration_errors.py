"""Lengths of phones and pauses beside those of a recording."""

import math

import pytest

from moksori.evaluation.durations import TimedWord, duration_errors


def word(phones, start, *lengths):
    borders = [start]
    for length in lengths:
        borders.append(borders[-1] + length)
    return TimedWord(tuple(phones), tuple(borders))


SPOKEN = [word("hə", 0.1, 0.08, 0.05), word("ka", 0.3, 0.1, 0.2), word("s", 0.7, 0.15)]


def test_equal_lengths_have_no_error_wherever_they_are_heard() -> None:
    later = [TimedWord(w.phones, tuple(border + 3.0 for border in w.borders)) for w in SPOKEN]
    errors = duration_errors(later, SPOKEN)
    assert (errors.mae, errors.rmse, errors.pause_mae) == pytest.approx((0.0, 0.0, 0.0), abs=1e-6)
    assert errors.compared == 1.0


def test_errors_are_milliseconds_a_phone_and_pauses_apart() -> None:
    slower = [word("hə", 0.1, 0.08, 0.05), word("ka", 0.4, 0.14, 0.2), word("s", 0.84, 0.15)]
    errors = duration_errors(slower, SPOKEN)
    assert errors.mae == pytest.approx(40 / 5)
    assert errors.rmse == pytest.approx(math.sqrt(40**2 / 5))
    assert errors.pause_mae == pytest.approx(100 / 2)  # the first pause is 0.1 s longer, the second as long
    assert duration_errors(SPOKEN, slower).mae == pytest.approx(errors.mae)


def test_words_read_otherwise_are_left_out() -> None:
    other = [SPOKEN[0], word("kɑ", 0.3, 0.5, 0.5), word("s", 1.5, 0.25)]
    errors = duration_errors(other, SPOKEN)
    assert errors.mae == pytest.approx(100 / 3)
    assert errors.compared == pytest.approx(3 / 5)
    assert math.isnan(errors.pause_mae)  # none of the two pauses lies between neighbours that were compared
    fewer = duration_errors(SPOKEN[1:], SPOKEN)
    assert fewer.mae == pytest.approx(0.0, abs=1e-6)
    assert fewer.compared == pytest.approx(3 / 5)


def test_nothing_in_common_is_no_number() -> None:
    for spoken in ([], [word("x", 0.0, 0.1)], [TimedWord((), (0.5,))]):
        errors = duration_errors(spoken, SPOKEN)
        assert math.isnan(errors.mae)
        assert math.isnan(errors.rmse)
        assert errors.compared == 0.0
    assert duration_errors([], []).compared == 0.0
