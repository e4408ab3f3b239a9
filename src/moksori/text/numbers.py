"""Number words by num2words, in the form that is spoken rather than written."""

from functools import lru_cache

LONGEST = 15
"""Integers of more digits are read digit by digit."""


@lru_cache(maxsize=1 << 14)
def cardinal(digits: str, language: str) -> str:
    """A whole number in words; numbers with a leading zero, or of more than 15 digits, digit by digit."""
    from num2words import num2words

    digits = digits if digits.isascii() else str(int(digits))
    if len(digits) > LONGEST or (len(digits) > 1 and digits[0] == "0"):
        return spelled(digits, language)
    return _spoken(num2words(int(digits), lang=_base(language)), language)


@lru_cache(maxsize=1 << 12)
def ordinal(digits: str, language: str) -> str:
    """ "3" -> "third"."""
    from num2words import num2words

    if len(digits) > LONGEST:
        return spelled(digits, language)
    return _spoken(num2words(int(digits), lang=_base(language), to="ordinal"), language)


def spelled(digits: str, language: str) -> str:
    """Digit by digit."""
    return " ".join(_digit(digit, language) for digit in digits)


def decimal(whole: str, fraction: str, language: str, point: str) -> str:
    """ "3", "14" -> "three point one four"."""
    start = cardinal(whole, language) + " " if whole else ""
    return f"{start}{point} {spelled(fraction, language)}"


@lru_cache(maxsize=1 << 10)
def _digit(digit: str, language: str) -> str:
    from num2words import num2words

    return str(num2words(int(digit), lang=_base(language)))


def _base(language: str) -> str:
    return language.split("-")[0]


def _spoken(words: str, language: str) -> str:
    words = words.replace(",", "")
    # British English says "one hundred and ten", American English does not
    return words.replace(" and ", " ") if language == "en-us" else words
