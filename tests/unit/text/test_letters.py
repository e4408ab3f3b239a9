"""Voices without phonemes read the written letters, as their own front ends do."""

import pytest

from moksori.errors import ConfigError
from moksori.text.letters import spelled
from moksori.text.phonemes import Pause
from moksori.text.tokenizer import TextConfig, Tokenizer

TABLE = frozenset("abcdefghijklmnopqrstuvwxyz' -")


def shown(text: str, language: str = "xyz", known: frozenset[str] = TABLE) -> str:
    """The letters with `|` for gaps."""
    items = spelled(text, language, known)
    return "".join("|" if isinstance(i, Pause) and i.text == " " else getattr(i, "ipa", i.text) for i in items)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello, World!", "hello|world"),
        ("  two   spaces\n", "two|spaces"),
        ("it's well-known", "it's|well-known"),
        ("a - b", "a|-|b"),
        ("a , b", "a|b"),
        ("«quoted»", "quoted"),
        ("", ""),
        ("?!", ""),
    ],
)
def test_signs_that_the_table_lacks_fall_away(text, expected):
    assert shown(text) == expected


def test_numbers_are_read_out_where_there_are_rules():
    assert shown("Room 12.", "en-us") == "room|twelve"
    assert shown("12", "xyz", TABLE | {"1", "2"}) == "12"


def test_capitals_stay_where_the_table_has_them():
    assert shown("Ab", known=TABLE | {"A"}) == "Ab"


def test_marks_are_kept_and_taken_apart_only_where_the_table_does():
    assert shown("É", known=frozenset("é")) == "é"
    assert shown("É", known=frozenset("e\u0301")) == "e\u0301"
    assert shown("ọ\u0301", known=frozenset("ọ\u0301")) == "ọ\u0301"


def test_the_romanian_t_is_that_of_the_training():
    assert shown("Țară și", "ron", frozenset("ţaărși ")) == "ţară|și"


def test_unknown_letters_are_reported_and_left_out():
    tokenizer = Tokenizer(TextConfig(mode="letters", language="xyz", ends=False, symbols=("a", "b", " ")))
    encoded = tokenizer.encode("ab ж c!")
    assert encoded.tokens.tolist() == [0, 1, 2, 2]
    assert encoded.unknown == ("ж", "c")


def test_blanks_have_their_own_symbol_and_places():
    symbols = ("_", "a", "b", "^", "$", "#")
    settings = {"mode": "letters", "language": "xyz", "blanks": True, "symbols": symbols}
    around = Tokenizer(TextConfig(**settings, ends=False, blank="#")).encode("ab")
    assert around.tokens.tolist() == [5, 1, 5, 2, 5]
    between = Tokenizer(TextConfig(**settings, blank_places="between")).encode("ab")
    assert between.tokens.tolist() == [3, 0, 1, 0, 2, 0, 4]
    for encoded, start, end in ((around, 1, 4), (between, 2, 5)):
        assert (encoded.words[0].start_token, encoded.words[0].end_token) == (start, end)
    with pytest.raises(ConfigError, match="blanks=true"):
        Tokenizer(TextConfig(**settings, ends=False, blank="%"))
