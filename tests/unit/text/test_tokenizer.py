"""Phones and tokens of four languages, word spans, raw phonemes, and both modes."""

import builtins
import csv
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moksori.config import validate
from moksori.errors import ConfigError, MissingExtra, UnknownName
from moksori.text import phonemes
from moksori.text.phonemes import Pause, Phonemizer, SpokenWord, align_words, split_phones
from moksori.text.symbols import OFFICIAL_SYMBOLS, SYMBOL_IDS, SYMBOLS
from moksori.text.tokenizer import Encoded, TextConfig, Tokenizer


def _has_espeak() -> bool:
    try:
        import espeakng_loader  # noqa: F401
        import phonemizer  # noqa: F401
    except ImportError:
        return False
    return True


needs_espeak = pytest.mark.skipif(not _has_espeak(), reason="the extra 'espeak' is not installed")
OFFICIAL = TextConfig(mode="characters", ends=False, blanks=False, symbols=OFFICIAL_SYMBOLS)


def spelled(encoded: Encoded, symbols: tuple[str, ...] = SYMBOLS) -> str:
    return " ".join(symbols[t] if symbols[t] != " " else "_" for t in encoded.tokens)


def spoken_words(encoded: Encoded) -> list[tuple[str, str]]:
    return [
        (word.text, "".join(SYMBOLS[t] for t in encoded.tokens[word.start_token : word.end_token]))
        for word in encoded.words
    ]


@needs_espeak
def test_a_known_sentence() -> None:
    encoded = Tokenizer().encode("Author of the danger trail, Philip Steels, etc.")
    assert spelled(encoded) == (
        "^ ɔː θ ɚ ɹ _ ʌ v ð ə _ d eɪ n dʒ ɚ _ t ɹ eɪ l , f ɪ l ɪ p _ s t iː l z , ɛ t _ s ɛ ɾ ɚ ɹ ə . $"
    )
    assert spoken_words(encoded)[:5] == [
        ("Author", "ɔːθɚɹ"),
        ("of", "ʌv"),
        ("the", "ðə"),
        ("danger", "deɪndʒɚ"),
        ("trail", "tɹeɪl"),
    ]
    stressed = [SYMBOLS[t] for t, s in zip(encoded.tokens, encoded.stress, strict=True) if s == 1]
    assert stressed[:3] == ["ɔː", "eɪ", "eɪ"]
    assert encoded.tokens.dtype == encoded.stress.dtype == np.int64
    assert encoded.unknown == ()


@needs_espeak
def test_secondary_stress() -> None:
    encoded = Tokenizer().encode("pronunciation")
    assert [(SYMBOLS[t], int(s)) for t, s in zip(encoded.tokens, encoded.stress, strict=True) if s] == [
        ("ʌ", 2),
        ("eɪ", 1),
    ]


@needs_espeak
@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("de", "Das Mädchen spricht.", "^ d a s _ m ɛː d ç ə n _ ʃ p ɾ ɪ ç t . $"),
        ("de", "Zeit", "^ ts aɪ t $"),
        ("nl", "Een kat, huis", "^ ə n _ k ɑ t , h œy s $"),
        ("ko", "안녕하세요", "^ ɐ n n j ʌ ŋ h ɐ s e j o $"),
    ],
)
def test_other_languages(language: str, text: str, expected: str) -> None:
    encoded = Tokenizer(TextConfig(language=language)).encode(text)
    assert spelled(encoded) == expected
    assert encoded.unknown == ()
    assert np.array_equal(Tokenizer().encode(text, language).tokens, encoded.tokens)


@needs_espeak
def test_changes_of_language_leave_no_flags() -> None:
    assert spelled(Tokenizer().encode("weekend", "nl")) == "^ w iː k ɛ n d $"


@needs_espeak
def test_merged_words_are_split() -> None:
    words = "there was a man who had been in the army for a year at the time of the war"
    assert spoken_words(Tokenizer().encode(words)) == [
        ("there", "ðɛɹ"), ("was", "wʌz"), ("a", "ɐ"), ("man", "mæn"), ("who", "huː"), ("had", "hɐd"), ("been", "bɪn"),
        ("in", "ɪn"), ("the", "ðɪ"), ("army", "ɑːɹmi"), ("for", "fɚɹ"), ("a", "ə"), ("year", "jɪɹ"), ("at", "æt"),
        ("the", "ðə"), ("time", "taɪm"), ("of", "ʌv"), ("the", "ðə"), ("war", "wɔːɹ"),
    ]  # fmt: skip


def test_alignment_prefers_the_borders_of_groups() -> None:
    phones = ["a", "b", "c", "d", "e"]
    assert align_words(phones, frozenset({0, 3, 5}), [["a", "b", "c"], ["d", "e"]]) == [0, 3, 5]
    assert align_words(phones, frozenset({0, 5}), [["a", "b"], ["c", "d", "e"]]) == [0, 2, 5]
    # a word that vanished takes a phone of its longer neighbour
    assert align_words(["t", "a", "k"], frozenset({0, 3}), [["t", "a", "k"], []]) == [0, 2, 3]
    assert align_words([], frozenset({0}), [["a"], ["b"]]) == [0, 0, 0]


@needs_espeak
def test_punctuation_replaces_the_gap() -> None:
    encoded = Tokenizer().encode('"Well," she said -- "really?!" (yes)... no;')
    marks = [SYMBOLS[t] for t in encoded.tokens if SYMBOLS[t] in ' ;:,.!?¡¿—…"']
    assert marks == ['"', ",", " ", "—", "?", "…", ";"]


@needs_espeak
@settings(max_examples=60, deadline=None)
@given(st.text(alphabet=st.sampled_from("the of a cat I'm don't 12 é한字ß.,!? \"[]()😀-—"), max_size=60), st.booleans())
def test_spans_cover_what_is_said(text: str, blanks: bool) -> None:
    encoded = Tokenizer(TextConfig(blanks=blanks)).encode(text)
    covered = np.zeros(len(encoded.tokens), dtype=int)
    end = 0
    for word in encoded.words:
        assert end <= word.start_token <= word.end_token <= len(encoded.tokens)
        covered[word.start_token : word.end_token] += 1
        end = word.end_token
    outside = {SYMBOLS[t] for t in encoded.tokens[covered == 0]}
    assert outside <= set(' _^$;:,.!?¡¿—…"«»“”')
    assert len(encoded.stress) == len(encoded.tokens)
    if text.isascii():  # espeak says nothing at all for some words of several alphabets
        assert all(word.end_token > word.start_token for word in encoded.words)


@needs_espeak
def test_same_text_same_tokens() -> None:
    first = Tokenizer().encode("It was the best of times, 5 times.")
    phonemes._groups.cache_clear()
    phonemes._spoken.cache_clear()
    second = Tokenizer().encode("It was the best of times, 5 times.")
    assert np.array_equal(first.tokens, second.tokens)
    assert first.words == second.words


@needs_espeak
def test_characters_are_the_official_ids() -> None:
    tokenizer = Tokenizer(OFFICIAL)
    encoded = tokenizer.encode("Hello, world. It's good!")
    assert encoded.phonemes == "həlˈoʊ, wˈɜːld. ɪts ɡˈʊd!"
    assert "".join(OFFICIAL_SYMBOLS[t] for t in encoded.tokens) == encoded.phonemes
    assert [OFFICIAL_SYMBOLS[t] for t in encoded.tokens[:4]] == ["h", "ə", "l", "ˈ"]
    assert tokenizer.vocabulary_size == 178
    assert not encoded.stress.any()


@needs_espeak
@pytest.mark.parametrize("mode", ["phones", "characters"])
def test_blanks_make_2n_plus_1(mode: str) -> None:
    text = "A lot of the time."
    plain = Tokenizer(TextConfig(mode=mode, blanks=False)).encode(text)
    spaced = Tokenizer(TextConfig(mode=mode, blanks=True)).encode(text)
    assert len(spaced.tokens) == 2 * len(plain.tokens) + 1
    assert np.array_equal(spaced.tokens[1::2], plain.tokens)
    assert not spaced.tokens[0::2].any()
    assert np.array_equal(spaced.stress[1::2], plain.stress)
    for before, after in zip(plain.words, spaced.words, strict=True):
        inside = spaced.tokens[after.start_token : after.end_token]
        assert np.array_equal(inside[inside != 0], plain.tokens[before.start_token : before.end_token])


def test_raw_phonemes_need_no_espeak(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_espeak() -> None:
        raise AssertionError("espeak was asked")

    monkeypatch.setattr(phonemes, "_espeak_library", no_espeak)
    phonemes._engine.cache_clear()
    encoded = Tokenizer().encode("[[həˈloʊ]], [[ˌwɜːld]]!")
    assert spelled(encoded) == "^ h ə l oʊ , w ɜː l d ! $"
    # the mark stands before the syllable, the stress is on its vowel
    assert encoded.stress.tolist() == [0, 0, 0, 0, 1, 0, 0, 2, 0, 0, 0, 0]
    phonemes._engine.cache_clear()


@needs_espeak
def test_raw_phonemes_inside_a_sentence() -> None:
    encoded = Tokenizer().encode("I am a [[həˈloʊ]] person.")
    assert spoken_words(encoded) == [("I", "aɪ"), ("am", "ɐm"), ("a", "ɐ"), ("həˈloʊ", "həloʊ"), ("person", "pɜːsən")]


@needs_espeak
def test_lexicon_comes_first() -> None:
    tokenizer = Tokenizer(lexicon={"Moksori": "moʊksˈoːɹi"})
    assert spoken_words(tokenizer.encode("a moksori voice"))[:2] == [("a", "ɐ"), ("moksori", "moʊksoːɹi")]


@needs_espeak
def test_initials_are_letters() -> None:
    assert ("A", "eɪ") in spoken_words(Tokenizer().encode("the U.S.A. team"))
    assert spoken_words(Tokenizer().encode("a cat"))[0] == ("a", "ɐ")


def test_unknown_symbols_are_reported() -> None:
    small = TextConfig(symbols=("_", " ", "^", "$", "a", "t"))
    encoded = Tokenizer(small).encode("[[tat͜ʃa]]")
    assert [small.symbols[t] for t in encoded.tokens] == ["^", "t", "a", "t", "a", "$"]
    assert encoded.unknown == ("͜", "ʃ")


def test_unknown_phones_are_cut_by_the_longest_match() -> None:
    assert split_phones("tʃaɪəx", SYMBOL_IDS) == ["tʃ", "aɪə", "x"]
    assert split_phones("aɪ♥", frozenset({"a", "aɪ"})) == ["aɪ", "♥"]
    tokenizer = Tokenizer(TextConfig(symbols=OFFICIAL_SYMBOLS, ends=False))
    encoded = tokenizer.encode("[[ˈtʃaɪ]]")
    assert [OFFICIAL_SYMBOLS[t] for t in encoded.tokens] == ["t", "ʃ", "a", "ɪ"]
    assert encoded.stress.tolist() == [0, 0, 1, 0]


@needs_espeak
def test_language_token() -> None:
    encoded = Tokenizer(TextConfig(language_token=True)).encode("Zeit", "de")
    assert spelled(encoded) == "^ <de> ts aɪ t $"


@pytest.mark.parametrize("text", ["", "  ", "😀", "...", "[[]]"])
def test_nothing_to_speak_gives_the_ends(text: str) -> None:
    encoded = Tokenizer().encode(text)
    assert encoded.words == ()
    assert {SYMBOLS[t] for t in encoded.tokens} <= set("^$.…,")


@needs_espeak
def test_unknown_language_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"unknown language 'en-uss'.*'en-us'"):
        Tokenizer().encode("Hello.", "en-uss")


def test_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def without(name: str, *arguments: Any, **keywords: Any) -> Any:
        if name.startswith(("phonemizer", "espeakng_loader")):
            raise ImportError(name)
        return original(name, *arguments, **keywords)

    for cached in (phonemes._espeak_library, phonemes._engine, phonemes._groups, phonemes._spoken):
        cached.cache_clear()
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtra, match=r"pip install 'moksori\[espeak\]'"):
        Tokenizer().encode("Hello.")


def test_symbol_tables_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"lacks '\^'.*ends=true"):
        Tokenizer(TextConfig(symbols=OFFICIAL_SYMBOLS))
    with pytest.raises(ConfigError, match="mode"):
        validate(TextConfig, {"mode": "words"})


@needs_espeak
def test_items_and_strings() -> None:
    items = Phonemizer("en").phonemize("cat, sun")
    assert [type(item) for item in items] == [SpokenWord, Pause, SpokenWord]
    assert "".join(i.text if isinstance(i, Pause) else i.ipa for i in items) == "kˈæt, sˈʌn"


def test_imports_are_light() -> None:
    """Neither espeak nor num2words nor torch is loaded before it is needed: `say` has three seconds in all."""
    code = (
        "import sys, moksori.text.tokenizer, moksori.text.sentences;"
        "print([m for m in ('phonemizer', 'espeakng_loader', 'num2words', 'torch') if m in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"


@needs_espeak
@pytest.mark.data
@pytest.mark.parametrize(("corpus", "language"), [("kathleen", "en-us"), ("kerstin", "de"), ("nathalie", "nl")])
def test_every_sentence_of_a_corpus(recordings: Path, corpus: str, language: str) -> None:
    """All symbols are known and every written word has its tokens."""
    tokenizer = Tokenizer(TextConfig(language=language))
    with (recordings / corpus / "metadata.csv").open(encoding="utf-8") as file:
        texts = [row["text"] for row in csv.DictReader(file, delimiter="|", quoting=csv.QUOTE_NONE)][:300]
    assert texts
    for text in texts:
        encoded = tokenizer.encode(text)
        assert encoded.unknown == ()
        assert [word.text for word in encoded.words if word.start_token == word.end_token] == []
