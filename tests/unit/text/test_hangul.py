"""Syllables and their letters, lone and archaic ones too."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moksori.text.hangul import Syllable, compose, decompose, syllables_alone

SYLLABLES = st.integers(0xAC00, 0xD7A3).map(chr)


@given(SYLLABLES)
def test_letters_make_the_syllable_again(character: str) -> None:
    letters = decompose(character)
    assert letters is not None
    assert str(letters) == character


@pytest.mark.parametrize(
    ("character", "letters"),
    [("가", ("ㄱ", "ㅏ", "")), ("힣", ("ㅎ", "ㅣ", "ㅎ")), ("값", ("ㄱ", "ㅏ", "ㅄ")), ("뷁", ("ㅂ", "ㅞ", "ㄺ"))],
)
def test_known_syllables(character: str, letters: tuple[str, str, str]) -> None:
    assert decompose(character) == Syllable(*letters)
    assert compose(*letters) == character


@pytest.mark.parametrize("character", ["a", "ㄱ", "\u1100", "漢", " ", "\ud7a4"])
def test_other_characters_are_no_syllables(character: str) -> None:
    assert decompose(character) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("한글 abc", "한글 abc"),
        ("ㄱㄴ", "기역니은"),
        ("ㅏㅑ", "아야"),
        ("ㅋㅋㅋ ㅎㅎ", "크크크 흐흐"),
        ("ㅋ", "키읔"),
        (unicodedata.normalize("NFD", "닭갈비"), "닭갈비"),
        (unicodedata.normalize("NFKC", "ㅋㅋ ㅠㅠ"), "크크 유유"),
        ("\u1112\u119e\u11ab글", "한글"),  # with ㆍ
        ("\u1140\u1161", "사"),  # ㅿ
        ("\u110e\u1174\u11f0", "칑"),  # a coda that is now ㅇ
        ("\u115f\u1160", ""),  # fillers
        ("ㆍ", "아"),
    ],
)
def test_letters_alone(text: str, expected: str) -> None:
    assert syllables_alone(text) == expected


@given(st.text(alphabet=st.characters(min_codepoint=0x1100, max_codepoint=0x11FF), max_size=12))
def test_any_conjoining_letters_become_syllables(text: str) -> None:
    assert all(decompose(character) for character in syllables_alone(text))
