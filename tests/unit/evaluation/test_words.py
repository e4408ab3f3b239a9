"""Text on both sides of the word error rate, and the recogniser's vocabulary."""

import builtins

import numpy as np
import pytest

from moksori.errors import MissingExtra, TextError
from moksori.evaluation import intelligibility
from moksori.evaluation.intelligibility import (
    ClosedRecogniser,
    Recogniser,
    count_errors,
    dictionary_lines,
    split_by_dictionary,
    spoken_words,
)
from moksori.types import Waveform


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Author of the danger trail, Philip Steels, etc.", "author of the danger trail philip steels et cetera"),
        ("It's 3 o’clock!", "it's three o'clock"),
        ("a well-known — 'quoted' word", "a well known quoted word"),
        ("", ""),
        ("...!", ""),
    ],
)
def test_spoken_words(text, words):
    assert " ".join(spoken_words(text)) == words


def test_errors_are_counted_in_words_and_characters():
    found = count_errors("The cat sat down.", "the cat sang down now")
    assert (found.word_errors, found.words) == (2, 4)
    assert (found.character_errors, found.characters) == (6, 16)  # t -> ng, and " now"
    nothing = count_errors("The cat sat.", "")
    assert (nothing.word_errors, nothing.words, nothing.character_errors) == (3, 3, 11)
    assert count_errors("Twenty-two cats!", "TWENTY TWO CATS").word_errors == 0
    with pytest.raises(TextError, match="no words"):
        count_errors("?!", "hello")


def test_sentences_with_unknown_words_are_left_out_and_named():
    found = split_by_dictionary(["The dog ran.", "A zzyzxq ran.", "The dog ran!"])
    assert found.kept == (("the", "dog", "ran"),)
    assert found.left_out == {"A zzyzxq ran.": ("zzyzxq",)}
    with pytest.raises(TextError, match="English"):
        Recogniser(["Zwölf Boxkämpfer jagen"])


@pytest.mark.parametrize(
    ("word", "phones"),
    [
        ("factor's", "F AE K T ER Z"),
        ("pascal's", "P AE S K AE L Z"),
        ("springy", "S P R IH NG IY"),
        ("epoch's", "EH P AH K S"),
        ("larch's", "L AA R CH IH Z"),
    ],
)
def test_regular_endings_of_known_words_are_known(word, phones):
    assert f"{word} {phones}" in dictionary_lines(word)


def test_only_regular_endings_of_known_words(monkeypatch):
    monkeypatch.setattr(intelligibility, "_dictionary", lambda: {"lead": ["lead L EH D", "lead(2) L IY D"]})
    assert dictionary_lines("lead's") == ["lead's L EH D Z", "lead's(2) L IY D Z"]
    assert dictionary_lines("zzyzx's") == dictionary_lines("zzyzxy") == dictionary_lines("leads'") == []


def test_the_recogniser_hears_nothing_in_silence_and_says_what_it_knows():
    recogniser = Recogniser(["The dog ran away.", "Seven cats sat down.", "A zzyzxq ran."])
    assert recogniser.covers("The dog ran away.")
    assert not recogniser.covers("A zzyzxq ran.")
    assert not recogniser.covers("...")
    assert "2 test sentences" in recogniser.description
    assert "1 sentences left out" in recogniser.description
    for samples in (np.zeros(0, np.float32), np.zeros(16000, np.float32)):
        assert recogniser.errors("The dog ran away.", Waveform(samples, 22050)).word_errors == 4


@pytest.mark.parametrize("count", [1, 2])
def test_a_closed_recogniser_can_hear_its_words_alone(count):
    words = ("seven", "water", "letter", "record")
    recogniser = ClosedRecogniser(words, count)
    assert recogniser.transcribe(Waveform(np.zeros(16000, np.float32), 16000)) == ""
    noise = 0.1 * np.random.default_rng(0).standard_normal(12000).astype(np.float32)
    heard = recogniser.transcribe(Waveform(noise, 16000)).split()
    assert len(heard) in (0, count)
    assert set(heard) <= set(words)
    with pytest.raises(TextError, match="the word 'zzyzxq' is not in its dictionary"):
        ClosedRecogniser(["seven", "zzyzxq"])


def test_a_closed_recogniser_hears_the_bundled_voice():
    from moksori.pipeline.say import load

    words = ("seven", "water", "letter", "hospital", "sister", "music")
    recogniser, voice = ClosedRecogniser(words), load("kathleen")
    heard = [recogniser.transcribe(voice.say(f"{word}.", seed=1).waveform) for word in words]
    assert sum(a == b for a, b in zip(words, heard, strict=True)) >= 5


def test_without_the_package_the_extra_is_named(monkeypatch):
    real = builtins.__import__

    def refusing(name, *rest, **more):
        if name in ("pocketsphinx", "jiwer"):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", refusing)
    intelligibility._dictionary.cache_clear()
    with pytest.raises(MissingExtra, match=r"pip install 'moksori\[evaluate\]'"):
        Recogniser(["The dog ran."])
    with pytest.raises(MissingExtra, match="jiwer"):
        count_errors("a", "b")
