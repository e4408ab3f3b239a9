"""SSML's say-as: a written form whose meaning the writer names, in words."""

import re

from moksori.text import numbers
from moksori.text.english_dates import MONTHS
from moksori.text.korean_numbers import number as korean_number
from moksori.text.korean_numbers import spelled as korean_digits

_DIGITS = re.compile(r"\d+")
_SIGNED_INTEGER = re.compile(r"([+-]?)((?:\d{1,3}(?:,\d{3}){1,5})|\d{1,15})")
_DECIMAL = re.compile(r"([+-]?)(\d{0,15})\.(\d{1,15})")
_ORDINAL = re.compile(r"(\d{1,15})(?:st|nd|rd|th|\.)?", re.IGNORECASE)
_DATE_PARTS = re.compile(r"\d{1,4}")
_SIGN_NAMES = {
    ".": "dot", ",": "comma", "-": "dash", "_": "underscore", "/": "slash", "@": "at", "+": "plus", "&": "and",
    "#": "hash", "*": "star", "%": "percent", "$": "dollar", "=": "equals", "?": "question mark",
    "!": "exclamation mark", ":": "colon", ";": "semicolon", "'": "apostrophe", '"': "quote",
    "(": "open parenthesis", ")": "close parenthesis",
}  # fmt: skip
_POINTS = {"en": "point", "de": "Komma", "nl": "komma"}
_KOREAN_PLAIN = {"cardinal", "number", "telephone", "ordinal"}
_PLAIN = {"time", "fraction", "currency", "unit", "address", "name", ""}
"""Kinds that the language's own rules read well."""
_LONGEST_SPELLED = 200


def words_as(written: str, kind: str, order: str, language: str) -> str | None:
    """Words for a written form, to be normalised like any text; None where the kind is unknown or does not fit.

    kind: SSML's interpret-as: cardinal, ordinal, characters, digits, date, time, telephone, fraction, currency.
    order: the format of a date: mdy, dmy, ymd, md, dm, ym, my, y.
    """
    if language.startswith("ko") and kind in _KOREAN_PLAIN:
        return _korean(written, kind)
    if kind in ("cardinal", "number"):
        return _cardinal(written, language)
    if kind == "ordinal":
        match = _ORDINAL.fullmatch(written)
        return numbers.ordinal(str(int(match[1])), language) if match else None
    if kind in ("characters", "spell-out", "verbatim"):
        return _spelled(written, language) if len(written) <= _LONGEST_SPELLED else None
    if kind == "digits":
        digits = "".join(_DIGITS.findall(written))
        return numbers.spelled(digits, language) if digits else None
    if kind == "telephone":
        groups = [numbers.spelled(group, language) for group in _DIGITS.findall(written)]
        return ("plus " if written.startswith("+") else "") + ", ".join(groups) if groups else None
    if kind == "date":
        return _date(written, order.lower(), language)
    return written if kind in _PLAIN else None


def is_order(order: str) -> bool:
    """Whether a date's format names day, month and year, each at most once."""
    return bool(order) and not set(order) - set("dmy") and len(set(order)) == len(order)


def _cardinal(written: str, language: str) -> str | None:
    point = _POINTS.get(language.split("-")[0], "point")
    minus = {"de": "minus ", "nl": "min "}.get(language.split("-")[0], "minus ")
    if match := _SIGNED_INTEGER.fullmatch(written):
        return (minus if match[1] == "-" else "") + numbers.cardinal(str(int(match[2].replace(",", ""))), language)
    if match := _DECIMAL.fullmatch(written):
        return (minus if match[1] == "-" else "") + numbers.decimal(match[2] or "0", match[3], language, point)
    return None


def _korean(written: str, kind: str) -> str | None:
    """Korean, whose numerals depend on what they are for: 삼 alone, 세 번째 as an ordinal, 공일공 of a telephone."""
    if kind == "telephone":
        groups = _DIGITS.findall(written)
        return ("플러스 " if written.startswith("+") else "") + ", ".join(
            korean_digits(group, "공") for group in groups
        )
    if kind == "ordinal":
        return f"{int(written)}번째" if written.isdigit() and len(written) < 6 else None
    match = _SIGNED_INTEGER.fullmatch(written) or _DECIMAL.fullmatch(written)
    return ("마이너스 " if match[1] == "-" else "") + korean_number(written.lstrip("+-")) if match else None


def _spelled(written: str, language: str) -> str:
    """Letter by letter; capitals, so that a letter is not taken for a word."""
    named: list[str] = []
    english = language.startswith("en")
    for character in written:
        if character.isspace():
            continue
        if character.isdigit():
            named.append(numbers.spelled(character, language) if character.isascii() else character)
        elif character.isalpha():
            named.append(character.upper())
        elif english and character in _SIGN_NAMES:
            named.append(_SIGN_NAMES[character])
    return " ".join(named)


def _date(written: str, order: str, language: str) -> str | None:
    """A date of numbers in the order that the writer names; other dates are left to the language's rules."""
    parts = _DATE_PARTS.findall(written)
    if not order or not language.startswith("en") or set(order) - set("dmy") or len(parts) != len(order):
        return written
    values = dict(zip(order, parts, strict=True))
    if len(values) != len(order):
        return None
    month, day, of_year = values.get("m"), values.get("d"), values.get("y")
    if (month and not 1 <= int(month) <= 12) or (day and not 1 <= int(day) <= 31):
        return None
    year = of_year if of_year is None or len(of_year) != 2 else f"'{of_year}"
    if month and day:
        return f"{MONTHS[int(month) - 1]} {int(day)}" + (f", {year}" if year else "")
    if month:
        return f"{MONTHS[int(month) - 1]}" + (f" {year}" if year else "")
    return f"the {numbers.ordinal(str(int(day)), language)}" if day else year
