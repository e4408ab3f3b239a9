"""The trigram: probabilities that sum to one, the closed form by hand, and an ARPA file that says the same."""

import math
import re

import pytest

from moksori.errors import TextError
from moksori.evaluation.language_model import END, START, perplexity, witten_bell_trigram

SENTENCES = [s.split() for s in ("the cat sat", "the cat ran away", "a dog sat", "the dog ran", "sat", "a a a")]


@pytest.fixture(scope="module")
def model():
    return witten_bell_trigram(SENTENCES)


def histories(model):
    seen = {gram[:-1] for gram in model.probabilities}
    return [*seen, ("never", "heard"), ("cat", "dog"), ("the", "the"), (START, "ran")]


def test_the_probabilities_of_every_history_sum_to_one(model):
    checked = histories(model)
    assert len(checked) > 20
    for history in checked:
        total = sum(model.probability(word, history) for word in model.vocabulary)
        assert total == pytest.approx(1.0, abs=1e-12), history


def test_it_is_witten_bells_formula(model):
    # Unigrams: 19 predicted words, 7 words and the end; "cat" twice: (2 + 8 / 8) / (19 + 8) ... counted by hand.
    predicted = sum(len(s) + 1 for s in SENTENCES)
    kinds = len({w for s in SENTENCES for w in s} | {END})
    unigram_cat = (2 + kinds / kinds) / (predicted + kinds)
    assert model.probability("cat", ()) == pytest.approx(unigram_cat)
    # "the" is followed by cat, cat, dog: 3 times, by 2 kinds.
    bigram = (2 + 2 * unigram_cat) / (3 + 2)
    assert model.probability("cat", ("the",)) == pytest.approx(bigram)
    # "<s> the" likewise: cat, cat, dog.
    assert model.probability("cat", (START, "the")) == pytest.approx((2 + 2 * bigram) / 5)


def read_arpa(text):
    """Probabilities and back-off factors of an ARPA file, by an own reader."""
    probabilities, factors = {}, {}
    order = 0
    for line in text.splitlines():
        if found := re.fullmatch(r"\\(\d)-grams:", line):
            order = int(found[1])
        elif order and line and not line.startswith("\\"):
            fields = line.split("\t")
            gram = tuple(fields[1].split(" "))
            assert len(gram) == order
            probabilities[gram] = 10 ** float(fields[0])
            if len(fields) == 3:
                factors[gram] = 10 ** float(fields[2])
    return probabilities, factors


def test_the_arpa_file_holds_the_same_model(model):
    text = model.to_arpa()
    probabilities, factors = read_arpa(text)

    def backed_off(word, history):
        if (*history, word) in probabilities:
            return probabilities[(*history, word)]
        return factors.get(history, 1.0) * backed_off(word, history[1:])

    for history in histories(model):
        total = sum(backed_off(word, history) for word in model.vocabulary)
        assert total == pytest.approx(1.0, abs=1e-5), history
        for word in model.vocabulary:
            assert backed_off(word, history) == pytest.approx(model.probability(word, history), rel=1e-5)
    counts = {int(k): int(v) for k, v in re.findall(r"ngram (\d)=(\d+)", text)}
    assert counts == {n: sum(len(gram) == n for gram in probabilities) for n in (1, 2, 3)}
    assert probabilities[(START,)] < 1e-90  # the start is never predicted


def test_perplexity_is_low_on_its_own_sentences_and_infinite_on_unknown_words(model):
    assert 1.0 < perplexity(model, SENTENCES) < perplexity(model, [["away", "away", "cat", "a"]]) < math.inf
    assert perplexity(model, [["zebra"]]) == math.inf


def test_no_sentence_is_an_error():
    with pytest.raises(TextError, match="no sentence"):
        witten_bell_trigram([[], []])
