"""English normalisation on a table whose answers were written before the code ran (tests/golden)."""

import re
from collections import Counter
from pathlib import Path

import pytest

from moksori.text.english_abbreviations import roman_value
from moksori.text.normalize import normalize

TABLE = Path(__file__).parents[2] / "golden" / "normalization_en.tsv"
CATEGORIES = {
    "cardinal", "ordinal", "year", "money", "decimal", "fraction", "time", "date", "unit", "telephone",
    "abbreviation", "initialism", "roman", "url", "email", "hyphenation", "quote", "verbatim",
}  # fmt: skip


def _rows() -> list[list[str]]:
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    return [line.split("\t") for line in lines if line and not line.startswith("# ")]


ROWS = _rows()
KNOWN_WRONG = {
    "9 V battery",  # a measure before its noun is told by its article alone
}


def test_the_table_is_large_cited_and_without_repeats() -> None:
    head = [line for line in TABLE.read_text(encoding="utf-8").splitlines() if line.startswith("# ")]
    assert len(ROWS) >= 300
    assert all(len(row) == 4 and all(row) for row in ROWS)
    assert len({row[0] for row in ROWS}) == len(ROWS)
    count = Counter(row[2] for row in ROWS)
    assert set(count) == CATEGORIES
    assert min(count.values()) >= 8
    for source in {row[3] for row in ROWS}:
        assert source.split(".")[0].split("-")[0] in " ".join(head)


@pytest.mark.parametrize("row", ROWS, ids=[f"{row[2]}-{row[0][:24]}" for row in ROWS])
def test_row(row: list[str]) -> None:
    written, expected, _, _ = row
    assert (normalize(written, "en-us") == expected) != (written in KNOWN_WRONG)


def test_few_rows_are_wrong() -> None:
    assert len(KNOWN_WRONG) < 0.005 * len(ROWS)


def test_answers_hold_no_digit_and_are_settled() -> None:
    for written, expected, _, _ in ROWS:
        assert not re.search(r"\d", expected), written
        if written not in ("I am.", "It was I."):
            assert normalize(expected, "en-us") == expected, written


@pytest.mark.parametrize(("numeral", "value"), [("IV", 4), ("XLII", 42), ("LIV", 54), ("CXC", 190), ("CCCXCIX", 399)])
def test_roman_numerals(numeral: str, value: int) -> None:
    assert roman_value(numeral) == value


@pytest.mark.parametrize("text", ["", "IIII", "VX", "IC", "MIX", "CIVIL", "iv"])
def test_what_is_no_roman_numeral(text: str) -> None:
    assert roman_value(text) is None
