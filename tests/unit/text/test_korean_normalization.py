"""Korean normalisation on a table whose answers were written before the code ran (tests/golden)."""

import re
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moksori.text.korean_numbers import native, number, sino, spelled
from moksori.text.normalize import normalize
from moksori.text.say_as import words_as

TABLE = Path(__file__).parents[2] / "golden" / "normalization_ko.tsv"
LINES = TABLE.read_text(encoding="utf-8").splitlines()
ROWS = [line.split("\t") for line in LINES if line and not line.startswith("# ")]


def test_the_table_is_large_cited_and_without_repeats() -> None:
    head = " ".join(line for line in LINES if line.startswith("# "))
    assert len(ROWS) >= 240
    assert all(len(row) == 4 and all(row) for row in ROWS)
    assert len({row[0] for row in ROWS}) == len(ROWS)
    assert min(Counter(row[2] for row in ROWS).values()) >= 5
    for source in {row[3] for row in ROWS}:
        assert source.split(".")[0].removesuffix("-44") in head


@pytest.mark.parametrize("row", ROWS, ids=[f"{row[2]}-{row[0][:24]}" for row in ROWS])
def test_row(row: list[str]) -> None:
    assert normalize(row[0], "ko") == row[1]


def test_answers_hold_no_digit_and_are_settled() -> None:
    for written, expected, category, _ in ROWS:
        assert not re.search(r"\d", expected), written
        if category != "sign":
            assert normalize(expected, "ko") == expected, written


@pytest.mark.parametrize(
    ("digits", "words"),
    [
        ("0", "영"), ("10000", "만"), ("11000", "만 천"), ("100010000", "일억 일만"), ("20000000", "이천만"),
        ("1000000000000", "일조"), ("1010", "천십"), ("110000", "십일만"), ("05", "영오"),
        ("12345678901234567", "일이삼사오육칠팔구영일이삼사오육칠"),
    ],
)  # fmt: skip
def test_sino_numbers(digits: str, words: str) -> None:
    assert sino(digits) == words


def test_other_numerals() -> None:
    assert [native(n) for n in (1, 10, 20, 21, 99)] == ["한", "열", "스무", "스물한", "아흔아홉"]
    assert spelled("105", "공") == "일공오"
    assert number("1,234.50") == "천이백삼십사점오영"


@pytest.mark.parametrize(
    ("written", "kind", "words"),
    [
        ("-3.14", "cardinal", "마이너스 삼점일사"),
        ("1,200", "number", "천이백"),
        ("010-1234-5678", "telephone", "공일공, 일이삼사, 오육칠팔"),
        ("3", "ordinal", "3번째"),
        ("105", "digits", "일 영 오"),
        ("x", "cardinal", None),
    ],
)
def test_say_as(written: str, kind: str, words: str | None) -> None:
    assert words_as(written, kind, "", "ko") == words


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="0123456789.,:/-~$%#&+=·ㆍ 가개명시년월일번ㄱㅏabAB'()[]@㎡", max_size=50))
def test_any_shape_leaves_no_digit(text: str) -> None:
    result = normalize(text, "ko")
    assert not any(c.isdigit() for c in result.replace("[[", "").replace("]]", "")) or "[[" in text


@pytest.mark.parametrize(
    "unit", ["1~", "가1", "1-", "ab@", "·1", "ㅋ", "1:", "10개", "http://a.", "A.", "010-", "\u1112\u119e"]
)
def test_time_is_linear(unit: str) -> None:
    """Ten times the text may take a hundred times as long where an expression is quadratic."""
    text = unit * (60_000 // len(unit))
    small = text[: len(text) // 10]
    normalize(small, "ko")
    started = time.process_time()
    normalize(small, "ko")
    middle = time.process_time()
    normalize(text, "ko")
    assert time.process_time() - middle < 30 * (middle - started) + 0.2
