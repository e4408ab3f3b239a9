"""How codes are used and how they follow phones, on codes whose answer is known."""

import math

import numpy as np
import pytest

from moksori.errors import BadInput
from moksori.evaluation.codes import code_use, phone_purity


def test_use_of_codes() -> None:
    even = code_use([np.arange(8), np.arange(8)], 16, 50.0)
    assert (even.used, even.codes, even.used_share, even.changes) == (8, 16, 0.5, 1.0)
    assert even.perplexity == pytest.approx(8.0)
    assert even.bits_per_second == pytest.approx(150.0)
    one = code_use([np.zeros(9, np.int64)], 16, 50.0)
    assert (one.used, one.perplexity, one.bits_per_second, one.changes) == (1, 1.0, 0.0, 0.0)
    skewed = code_use([np.array([0, 0, 0, 1])], 2, 1.0)
    assert skewed.entropy_bits == pytest.approx(-(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25)))
    assert skewed.changes == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("codes", "words"), [([], "no codes"), ([np.array([3])], "a code of 3: expected codes from 0 to 2")]
)
def test_codes_that_cannot_be_counted(codes, words) -> None:
    with pytest.raises(BadInput, match=words):
        code_use(codes, 3, 50.0)


def spoken(right: float, count: int = 20, phones: int = 8, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Two codes to a phone; each code is its phone's with a given probability, else anything."""
    draw = np.random.default_rng(seed)
    pairs = []
    for _ in range(count):
        labels = draw.integers(0, phones, 200)
        own = 2 * labels + draw.integers(0, 2, 200)
        codes = np.where(draw.random(200) < right, own, draw.integers(0, 2 * phones, 200))
        pairs.append((codes, labels))
    return pairs


def test_purity_is_what_was_put_in() -> None:
    sure = phone_purity(spoken(1.0), 16)
    assert (sure.accuracy, sure.phones, sure.codes) == (1.0, 8, 4000)
    assert sure.information == pytest.approx(1.0)
    assert sure.shuffled == pytest.approx(1 / 8, abs=0.03)
    half = phone_purity(spoken(0.5), 16)
    assert half.accuracy == pytest.approx(0.5 + 0.5 / 8, abs=0.03)
    none = phone_purity(spoken(0.0), 16)
    assert none.accuracy == pytest.approx(none.shuffled, abs=0.03)
    assert none.information < 0.05


def test_votes_are_not_tried_on_the_voters() -> None:
    """With a code for each frame every phone could be told by heart; on the other half it cannot."""
    draw = np.random.default_rng(0)
    pairs = [(100 * place + np.arange(100), draw.integers(0, 5, 100)) for place in range(4)]
    assert phone_purity(pairs, 400).accuracy < 0.35


def test_frames_without_a_phone_do_not_count() -> None:
    pairs = [(np.concatenate([codes, [0] * 50]), np.concatenate([labels, [-1] * 50])) for codes, labels in spoken(1.0)]
    assert phone_purity(pairs, 16) == phone_purity(spoken(1.0), 16)
    with pytest.raises(BadInput, match="1 recordings with phones"):
        phone_purity([(np.zeros(3, np.int64), np.full(3, -1)), (np.zeros(3, np.int64), np.zeros(3, np.int64))], 4)
