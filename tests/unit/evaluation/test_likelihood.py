"""Differences of log-likelihoods, and the texts that speech is set against."""

import math

from moksori.evaluation.likelihood import likelihood_ratio, other_texts, shuffled_words, text_margin


def test_the_ratio_is_against_the_recording() -> None:
    assert likelihood_ratio(-12.0, -10.0) == -2.0
    assert likelihood_ratio(-10.0, -10.0) == 0.0


def test_the_margin_is_over_the_mean_of_other_texts() -> None:
    assert text_margin(-10.0, [-14.0, -12.0]) == 3.0
    assert text_margin(-10.0, [-14.0, math.nan]) == 4.0
    assert math.isnan(text_margin(-10.0, []))
    assert math.isnan(text_margin(-10.0, [math.nan]))
    assert math.isnan(text_margin(math.nan, [-14.0]))


def test_other_texts_are_alike_long_and_never_the_text_itself() -> None:
    texts = ["a" * 9, "b" * 3, "c" * 8, "c" * 8, "d" * 20, "e" * 10]
    assert other_texts(texts, "c" * 8, 2) == ["a" * 9, "e" * 10]
    assert other_texts(["one"], "one") == []


def test_shuffled_words_are_the_same_words_in_another_order() -> None:
    text = "the cat sat on the mat"
    for seed in range(20):
        shuffled = shuffled_words(text, seed)
        assert shuffled != text
        assert sorted(shuffled.split()) == sorted(text.split())
    assert shuffled_words(text, 3) == shuffled_words(text, 3)
    for text in ("one", "no no no", ""):
        assert shuffled_words(text, 0) == text
