"""Seldom speakers are heard more often, and the same step always hears the same recordings."""

from collections import Counter

import pytest

from moksori.corpus.sampler import BalancedSampler
from moksori.errors import CorpusError

GROUPS = [0] * 90 + list(range(1, 11))  # one speaker of 90 recordings, ten of one


def heard(balance: float, steps: int = 400) -> Counter[bool]:
    sampler = BalancedSampler(GROUPS, 8, seed=3, balance=balance)
    return Counter(GROUPS[item] == 0 for step in range(steps) for item in sampler.indices(step))


def test_seldom_speakers_are_heard_more_often_the_more_balance() -> None:
    shares = [heard(balance)[True] / 3200 for balance in (0.0, 0.5, 1.0)]
    assert shares[0] == pytest.approx(0.9, abs=0.03)
    # Chances 90^-0.5 and 1: 9.49 against 10. A batch without repetition comes near them, not quite to them.
    assert shares[1] == pytest.approx(9.49 / 19.49, abs=0.12)
    assert shares[2] < shares[1] < shares[0]


def test_a_step_is_a_pure_function_of_the_seed() -> None:
    first, second = (BalancedSampler(GROUPS, 8, seed=3, balance=0.5) for _ in range(2))
    assert [first.indices(step) for step in (5, 0, 9)] == [second.indices(step) for step in (5, 0, 9)]
    assert first.indices(0) != first.indices(1)
    assert first.indices(0) != BalancedSampler(GROUPS, 8, seed=4, balance=0.5).indices(0)


def test_no_recording_twice_in_a_batch_and_no_more_than_there_are() -> None:
    sampler = BalancedSampler([0, 0, 1], 16, seed=0, balance=1.0)
    assert sorted(sampler.indices(0)) == [0, 1, 2]
    assert sampler.batches_per_epoch == 1


def test_nothing_to_draw_from_is_an_error() -> None:
    with pytest.raises(CorpusError, match="no examples"):
        BalancedSampler([], 4, 0, 1.0)
    with pytest.raises(CorpusError, match="batch size 0"):
        BalancedSampler([0], 0, 0, 1.0)
