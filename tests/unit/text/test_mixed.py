"""Letters and ARPAbet mixed: the table, the cleaning, and which words become sounds."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moksori.config import validate
from moksori.errors import ConfigError, TextError
from moksori.text.arpabet import packaged, read_dictionary, units_of
from moksori.text.heteronyms import heteronyms
from moksori.text.symbols import ARPABET, FLOWTRON_SYMBOLS
from moksori.text.tokenizer import Encoded, TextConfig, Tokenizer

CONFIG = TextConfig(mode="arpabet")
SENTENCE = "The quick brown fox jumps over the lazy dog, who was not at all pleased with it."
DICTIONARY = """;;; a comment
HELLO  HH AH0 L OW1
WORLD  W ER1 L D
TOMATO  T AH0 M EY1 T OW2
TOMATO(2)  T AH0 M AA1 T OW2
dog D AO1 G # an animal
READ  R EH1 D
A  AH0
"""


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer(CONFIG)


def encoded(text: str, **settings: object) -> Encoded:
    return Tokenizer(TextConfig.model_validate({"mode": "arpabet", **settings})).encode(text)


def test_the_table_is_that_of_the_published_models() -> None:
    assert len(FLOWTRON_SYMBOLS) == len(set(FLOWTRON_SYMBOLS)) == 185
    assert len(ARPABET) == 84
    places = {"!": 0, "'": 1, " ": 8, "#": 9, ")": 19, "_": 20, "$": 28, "á": 29, "ž": 38, "0": 39, "A": 49, "a": 75}
    places |= {"z": 100, "@AA": 101, "@AA0": 102, "@B": 125, "@CH": 126, "@ZH": 184}
    assert {symbol: FLOWTRON_SYMBOLS.index(symbol) for symbol in places} == places


def test_the_mode_brings_its_table_and_no_ends() -> None:
    assert CONFIG.symbols == FLOWTRON_SYMBOLS
    assert not CONFIG.ends
    assert TextConfig.model_validate(CONFIG.model_dump(mode="json")) == CONFIG
    assert Tokenizer(CONFIG).vocabulary_size == 185
    with pytest.raises(ConfigError, match="symbols lacks"):
        Tokenizer(TextConfig(mode="arpabet", ends=True))
    with pytest.raises(ConfigError, match="phoneme_share"):
        validate(TextConfig, {"mode": "arpabet", "phoneme_share": 1.5}, "text")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a  b\n c", "a b c."),
        ("a well-known man", "a well known man."),
        ("at 9:05 am.", "at nine oh five {EY1} {EH1 M}."),
        ("1,234 cats", "one thousand two hundred thirty-four cats."),
        ("£3.50 and $2", "three pounds and fifty pence and two dollars."),
        ("3.14", "three point one four."),
        ("the 3rd", "the third."),
        ("5 kg", "five kilograms."),
        ("in 1905", "in nineteen oh five."),
        ("No. 5", "number five."),
        ("I said no. 5 came.", "I said number five came."),
        ("I said no. Then I left.", "I said no. Then I left."),
        ("the XKQ", "the {EH1 K S K EY1 K Y UW1}."),
        ("two XKs", "two {EH1 K S K EY1 Z}."),
        ("Ünlü café", "Unlu café."),
        ("x~y_z", "xyz."),
        ("“Oh,” she said", '"Oh," she said.'),
        ("WHO SHOUTS", "WHO SHOUTS."),
        ("Stop!", "Stop!"),
    ],
)
def test_cleaning(text: str, said: str) -> None:
    assert encoded(text, phoneme_share=0).phonemes == said


def test_words_that_are_known_become_sounds(tokenizer: Tokenizer, tmp_path) -> None:
    (tmp_path / "dictionary").write_text(DICTIONARY, encoding="utf-8")
    path = str(tmp_path / "dictionary")
    found = encoded("Hello tomato, dog's world zorblax read.", dictionary=path)
    assert found.phonemes == "{HH AH0 L OW1} tomato, {D AO1 G Z} {W ER1 L D} zorblax read."
    assert encoded("tomato", dictionary=path, keep_ambiguous=True).phonemes == "{T AH0 M EY1 T OW2}."
    ids = Tokenizer(TextConfig(mode="arpabet", dictionary=path)).encode("dog")
    assert [FLOWTRON_SYMBOLS[token] for token in ids.tokens] == ["@D", "@AO1", "@G", "."]
    assert ids.words[0].text == "dog"
    assert (ids.words[0].start_token, ids.words[0].end_token) == (0, 3)
    assert not ids.stress.any()


def test_the_packaged_lexicon_is_the_default(tokenizer: Tokenizer) -> None:
    assert packaged("hello") == (("HH", "AH0", "L", "OW1"),)
    assert packaged("zorblax") == ()
    assert tokenizer.encode("Hello world").phonemes == "{HH AH0 L OW1} {W ER1 L D}."
    for word in ("read", "lead", "record", "wind", "close"):
        assert word in heteronyms()
        assert tokenizer.encode(word).phonemes == f"{word}."


def test_phones_with_no_equal_have_no_units() -> None:
    assert units_of(("h", "ɜː", "ɹ", "i"), (0, 1, 0, 0)) == ("HH", "ER1", "IY0")
    assert units_of(("aɪɚ",), (1,)) == ("AY1", "ER0")
    assert units_of(("ø",), (1,)) is None


def test_a_share_is_drawn_once_a_text_and_only_for_training() -> None:
    half = TextConfig(mode="arpabet", phoneme_share=0.5)
    trained = Tokenizer(half, training=True)
    first = trained.encode(SENTENCE)
    assert first.phonemes == trained.encode(SENTENCE).phonemes
    assert "{" in first.phonemes
    assert any(word in first.phonemes.split() for word in SENTENCE.split())
    assert Tokenizer(half).encode(SENTENCE).phonemes == encoded(SENTENCE).phonemes
    texts = (f"{'q' * n} {'dog tree apple water ' * 10}" for n in range(1, 21))
    assert 0.44 < sum(trained.encode(text).phonemes.count("{") for text in texts) / 800 < 0.56


def test_what_a_writer_gives_is_kept(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("{HH AH0 L OW1}, zorblax").phonemes == "{HH AH0 L OW1}, zorblax."
    assert tokenizer.encode("{not units}").phonemes == encoded("not units").phonemes
    assert tokenizer.encode("[[həlˈoʊ|hullo]] there").words[0].text == "hullo"
    assert tokenizer.encode("[[zˈɔːɹblæks|zorblax]].").phonemes == "{Z AO1 R B L AE0 K S}."
    lexicon = Tokenizer(CONFIG, {"zorblax": "zˈɔːɹblæks", "SQL": "see quell"})
    assert lexicon.encode("zorblax SQL").phonemes == "{Z AO1 R B L AE0 K S} {S IY1} {K W EH1 L}."
    tokenizer.check_sounds("[[həlˈoʊ]] [[HH AH0 L OW1|hello]]")
    with pytest.raises(TextError, match="'ø'"):
        tokenizer.check_sounds("[[bøl]]")


@pytest.mark.parametrize("text", ["a", "I", "Hi", "no", "x", "[[aɪ]]"])
def test_short_texts_are_long_enough_to_have_a_variance(tokenizer: Tokenizer, text: str) -> None:
    tokens = tokenizer.encode(text).tokens
    assert len(tokens) >= 4
    assert len(set(tokens.tolist())) >= 3


@pytest.mark.parametrize("text", ["", " \n", "?!", "...", "{}", "[[]]"])
def test_texts_without_a_word_have_no_tokens(tokenizer: Tokenizer, text: str) -> None:
    assert len(tokenizer.encode(text).tokens) == 0


def test_unknown_letters_are_reported(tokenizer: Tokenizer) -> None:
    found = tokenizer.encode("a ж b")
    assert found.unknown == ("ж",)
    assert np.all(found.tokens < 185)


def test_other_languages_keep_letters(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("Der Hund, 3", "de").phonemes == "Der Hund, drei."


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("HELLO\n", ":1: no sounds"),
        ("HELLO  HH AH0 L OW1\nWORLD  W QQ L D\n", ":2: 'QQ' is no ARPAbet unit"),
        ("\n;;; nothing\n", "holds no words"),
    ],
)
def test_broken_dictionaries_are_refused(tmp_path, content: str, message: str) -> None:
    (tmp_path / "d").write_text(content)
    with pytest.raises(TextError, match=message):
        encoded("Hello", dictionary=str(tmp_path / "d"))


def test_missing_and_endless_dictionaries_are_refused(tmp_path) -> None:
    with pytest.raises(TextError, match=r"cannot be read.*text\.dictionary"):
        encoded("Hello", dictionary=str(tmp_path / "none"))
    with pytest.raises(TextError, match="at most"):
        read_dictionary(tmp_path / "none", 0, 10**9)
    with pytest.raises(TextError, match="cannot be read"):
        read_dictionary(tmp_path, 0, 0)


def test_a_changed_dictionary_is_read_anew(tmp_path) -> None:
    path = tmp_path / "d"
    path.write_text("HELLO  HH AH0 L OW1\n")
    assert encoded("hello", dictionary=str(path)).phonemes == "{HH AH0 L OW1}."
    path.write_text("HELLO  HH EH0 L OW1 # of 1990\n", encoding="latin-1")
    assert encoded("hello", dictionary=str(path)).phonemes == "{HH EH0 L OW1}."


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60))
def test_any_text_can_be_read(text: str) -> None:
    found = encoded(text)
    assert np.all((found.tokens >= 0) & (found.tokens < 185))
    assert len(found.tokens) == 0 or len(found.tokens) >= 4


@pytest.mark.parametrize("unit", ["word ", "5", "a-", "{", "A", "ж", "'", "1:"])
def test_time_is_linear(tokenizer: Tokenizer, unit: str) -> None:
    start = time.process_time()
    tokenizer.encode(unit * (20_000 // len(unit)))
    assert time.process_time() - start < 5.0
