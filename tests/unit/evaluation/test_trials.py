"""Verification trials: which pairs there are, and the error rate with its interval over speakers."""

import math
from itertools import pairwise

import numpy as np
import pytest

from moksori.evaluation.speaker import equal_error_rate
from moksori.evaluation.trials import (
    Segment,
    across_files,
    cut_segments,
    equal_error_threshold,
    segments_of,
    trial_error_rate,
    weighted_error_rate,
    within_files,
)
from moksori.types import Waveform

RATE = 1000


def noise(seconds, level=0.1, seed=0):
    draws = np.random.default_rng(seed).standard_normal(round(seconds * RATE))
    return Waveform((level * draws).astype(np.float32), RATE)


def test_segments_do_not_overlap_and_pauses_are_left_out():
    recording = noise(20)
    silent = recording.samples.copy()
    silent[3000:6000] = 0.0
    found = cut_segments(Waveform(silent, RATE), seconds=3.0, count=4)
    assert [len(segment.samples) for segment in found] == [3000] * 4
    starts = [int(np.flatnonzero(silent == segment.samples[0])[0]) for segment in found]
    assert starts == sorted(starts)
    assert 3000 not in starts
    assert all(b - a >= 3000 for a, b in pairwise(starts))
    assert cut_segments(noise(2.9)) == []
    assert cut_segments(Waveform(np.zeros(9000, np.float32), RATE)) == []


def segments():
    people = [("ann", "F", "a1"), ("ann", "F", "a2"), ("bea", "F", "b1"), ("cid", "M", "c1"), ("dan", "M", "d1")]
    return segments_of((name, sex, file, noise(6.5, seed=k)) for k, (name, sex, file) in enumerate(people))


def named(trials, found):
    pairs = zip(trials.first, trials.second, trials.same, strict=True)
    return {(found[a].file, found[b].file, bool(same)) for a, b, same in pairs}


def test_trials_are_of_one_sex_and_of_one_file_or_two():
    found = segments()
    assert len(found) == 10
    within = within_files(found)
    assert named(within, found) == {
        *((file, file, True) for file in ("a1", "a2", "b1", "c1", "d1")),
        *{("a1", "b1", False), ("a2", "b1", False), ("c1", "d1", False)},
    }
    assert (within.targets, within.impostors) == (5, 12)
    across = across_files(found)
    assert named(across, found) == {("a1", "a2", True)}  # the others have one file each
    assert (across.targets, across.impostors) == (4, 0)
    assert math.isnan(trial_error_rate(np.ones((10, 2)), across).value)


def test_perfect_codes_make_no_errors_and_equal_ones_half():
    found = segments()
    people = {name: k for k, name in enumerate(("ann", "bea", "cid", "dan"))}
    perfect = np.eye(4)[[people[segment.speaker] for segment in found]]
    rate = trial_error_rate(perfect, within_files(found))
    assert (rate.value, rate.low, rate.high, rate.n) == (0.0, 0.0, 0.0, 17)
    drawn = np.random.default_rng(0)
    many = [Segment(f"s{k // 8}", "F", f"s{k // 8}", noise(0.01)) for k in range(160)]
    chance = trial_error_rate(drawn.standard_normal((160, 16)), within_files(many), seed=1)
    assert chance.value == pytest.approx(0.5, abs=0.05)
    assert chance.low < chance.value < chance.high
    assert chance == trial_error_rate(np.random.default_rng(0).standard_normal((160, 16)), within_files(many), seed=1)
    assert chance.high - chance.low < 0.2


def test_weights_of_one_give_the_plain_error_rate_and_others_that_of_repeated_trials():
    draws = np.random.default_rng(3)
    scores = np.round(np.concatenate([draws.normal(1.5, 1, 60), draws.normal(0, 1, 90)]), 2)
    same = np.arange(150) < 60
    plain = equal_error_rate(scores[same], scores[~same])
    assert weighted_error_rate(scores, same, np.ones(150)) == pytest.approx(plain, abs=1e-12)
    counts = draws.integers(0, 3, 150)
    repeated = np.repeat(np.arange(150), counts)
    by_hand = equal_error_rate(scores[repeated][same[repeated]], scores[repeated][~same[repeated]])
    assert weighted_error_rate(scores, same, counts.astype(float)) == pytest.approx(by_hand, abs=1e-12)
    assert math.isnan(weighted_error_rate(scores, same, same.astype(float)))


def test_the_threshold_of_equal_errors():
    assert 0.3 < equal_error_threshold([0.8, 0.9], [0.1, 0.2, 0.3]) <= 0.8
    assert math.isnan(equal_error_threshold([], [0.1]))
