"""English: numbers, money, dates, times, units, abbreviations and signs as words.

The order of the rules is the order of `_RULES`: what holds more (addresses, dates, money) goes before bare numbers.
Every expression starts behind a lookbehind that fails inside a run of its own characters and repeats a bounded number
of times, so that no text makes it slow. How much of it is right is measured on `tests/golden/normalization_en.tsv`.
"""

import re
from functools import partial

from moksori.text.english_abbreviations import ABBREVIATIONS, INITIALS, ROMAN
from moksori.text.english_addresses import expand_addresses
from moksori.text.english_amounts import MEASURES, MONEY
from moksori.text.english_dates import DATES, DECADES, TIMES
from moksori.text.english_numbers import FRACTIONS, HYPHENS, ORDINALS, PLAIN_NUMBERS, RANGES, TELEPHONES
from moksori.text.english_rules import UK, US, Rule, Speak, rule

_SIGNS = {
    "&": "and", "%": "percent", "+": "plus", "=": "equals", "@": "at", "×": "times", "÷": "divided by",
    "±": "plus or minus",
    "²": "squared", "³": "cubed", "°": "degrees", "§": "section", "#": "number", "/": "slash", "½": "one half",
    "¼": "one quarter", "¾": "three quarters", "≈": "about", "≤": "at most", "≥": "at least", "≠": "is not",
    "√": "root",
    "$": "dollars", "€": "euros", "£": "pounds", "¥": "yen", "₩": "won", "₹": "rupees", "¢": "cents", "→": "to",
}  # fmt: skip


def expand_english(text: str, british: bool = False) -> str:
    """Text with numbers, signs and abbreviations as words; expects clean Unicode and single spaces."""
    language = UK if british else US
    text = expand_addresses(text)
    for pattern, speak in _RULES:
        text = pattern.sub(partial(_call, speak, language), text)
    return text


def _call(speak: Speak, language: str, match: re.Match[str]) -> str:
    return speak(match, language)


def _say_sharp(match: re.Match[str], language: str) -> str:
    return f"{match[1]} sharp"


def _say_sign(match: re.Match[str], language: str) -> str:
    return f" {_SIGNS[match[0]]} "


_NAMES_OF_SIGNS: tuple[Rule, ...] = (
    rule(r"\b([CF])#(?!\w)", _say_sharp),
    rule(r"#(?=\d)", "number "),
    rule(r"#(?=[A-Za-z])", "hashtag "),
)

_RULES: tuple[Rule, ...] = (
    *ABBREVIATIONS,
    *TIMES,
    *INITIALS,
    *ROMAN,
    *DATES,
    *TELEPHONES,
    *MONEY,
    *HYPHENS,
    *DECADES,
    *MEASURES,
    *FRACTIONS,
    *RANGES,
    *ORDINALS,
    *_NAMES_OF_SIGNS,
    *PLAIN_NUMBERS,
    rule(f"[{re.escape(''.join(_SIGNS))}]", _say_sign),
)
