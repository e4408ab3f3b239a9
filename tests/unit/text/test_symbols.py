"""The symbol table: the official ids, and an order that only grows."""

import hashlib

import pytest

from moksori.text.symbols import (
    END,
    GAP_ID,
    LANGUAGES,
    OFFICIAL_SYMBOLS,
    PAD_ID,
    START,
    SYMBOL_IDS,
    SYMBOLS,
    is_vowel,
    symbol_ids,
)


def test_official_part() -> None:
    assert len(OFFICIAL_SYMBOLS) == 178
    assert SYMBOLS[:178] == OFFICIAL_SYMBOLS
    assert PAD_ID == 0
    assert GAP_ID == 16
    assert OFFICIAL_SYMBOLS[174] == OFFICIAL_SYMBOLS[176] == "'"
    assert SYMBOL_IDS["'"] == 176
    # ids known from released checkpoints of the English models
    assert {s: SYMBOL_IDS[s] for s in ";.AZazɑəˈˌːᵻ"} == {
        ";": 1, ".": 4, "A": 17, "Z": 42, "a": 43, "z": 68, "ɑ": 69, "ə": 83, "ˈ": 156, "ˌ": 157, "ː": 158, "ᵻ": 177,
    }  # fmt: skip


@pytest.mark.parametrize(("count", "digest"), [(243, "744dba80137d4747"), (253, "8d27f968ad322a1b")])
def test_order_never_changes(count: int, digest: str) -> None:
    """Models that exist hold ids: append to the table, and this digest of its first entries stays."""
    assert hashlib.sha256("\n".join(SYMBOLS[:count]).encode()).hexdigest()[:16] == digest
    assert len(SYMBOLS) >= count


def test_entries_after_the_official_ones_are_unique() -> None:
    added = SYMBOLS[178:]
    assert len(set(added)) == len(added)
    assert not set(added) & set(OFFICIAL_SYMBOLS)
    assert {START, END, *(f"<{language}>" for language in LANGUAGES)} <= set(added)
    assert {"iː", "eɪ", "aɪ", "oʊ", "tʃ", "dʒ", "ɔːɹ", "aɪɚ", "n\u0329", "œy", "ts", "tɕ", "\u0303", "-"} <= set(added)


def test_last_of_doubled_symbols_wins() -> None:
    assert symbol_ids(("a", "b", "a")) == {"a": 2, "b": 1}


@pytest.mark.parametrize(
    ("phone", "expected"), [("ɑː", True), ("n\u0329", True), ("aɪɚ", True), ("t", False), ("", False)]
)
def test_vowels(phone: str, expected: bool) -> None:
    assert is_vowel(phone) is expected
