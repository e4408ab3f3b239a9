"""The bootstrap: seeded, of the right width, and over sentences."""

import math

import numpy as np
import pytest

from moksori.evaluation.statistics import mean_estimate, ratio_estimate


def test_the_interval_is_about_two_standard_errors_each_side():
    values = np.random.default_rng(0).normal(3.0, 0.5, 400)
    estimate = mean_estimate(values)
    assert estimate.n == 400
    assert estimate.value == pytest.approx(values.mean())
    half = 1.96 * values.std() / math.sqrt(400)
    assert estimate.high - estimate.value == pytest.approx(half, rel=0.12)
    assert estimate.value - estimate.low == pytest.approx(half, rel=0.12)


def test_intervals_hold_the_truth_nineteen_times_in_twenty():
    draw = np.random.default_rng(1)
    held = 0
    for seed in range(200):
        estimate = mean_estimate(draw.normal(size=60), seed, resamples=400)
        held += estimate.low <= 0.0 <= estimate.high
    assert 180 <= held <= 198


def test_the_same_seed_gives_the_same_interval_and_another_a_near_one():
    values = list(range(30))
    assert mean_estimate(values, 5) == mean_estimate(values, 5)
    assert mean_estimate(values, 5) != mean_estimate(values, 6)


def test_long_sentences_weigh_more_in_a_ratio():
    estimate = ratio_estimate([1, 0], [1, 9])
    assert estimate.value == pytest.approx(0.1)
    assert (estimate.low, estimate.high) == (0.0, 1.0)


def test_what_does_not_apply_is_left_out():
    assert mean_estimate([1.0, float("nan"), 3.0]).n == 2
    assert mean_estimate([1.0, float("nan"), 3.0]).value == 2.0
    nothing = mean_estimate([float("nan")])
    assert nothing.n == 0
    assert math.isnan(nothing.value)
    assert ratio_estimate([], []).n == 0
