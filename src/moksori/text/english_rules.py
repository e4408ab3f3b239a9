"""What the rules for English share: the shape of a rule, how a number looks, and where a sentence ends."""

import re
from collections.abc import Callable, Iterable

from moksori.text import numbers

US = "en-us"
UK = "en-gb"

Speak = Callable[[re.Match[str], str], str]
Rule = tuple[re.Pattern[str], Speak]
"""What to find, and how to say it in "en-us" or "en-gb"."""

# a number starts neither inside a word nor inside another number
START = r"(?<![\w.,])"
INTEGER = r"(?:\d{1,3}(?:,\d{3}){1,5}(?![\d])|\d{1,15}(?!\d))"
NUMBER = rf"(?:{INTEGER}(?:\.\d{{1,15}}(?!\d|\.\d))?|\.\d{{1,15}}(?!\d))"
DASH = r" ?[–-] ?"
"""Between the ends of a range."""

OPENERS = {
    "A", "An", "And", "As", "At", "But", "For", "He", "Her", "His", "How", "I", "If", "In", "Is", "It", "My", "No",
    "Not", "On", "Our", "She", "So", "That", "The", "Then", "There", "They", "This", "To", "We", "What", "When",
    "Where", "Who", "Why", "You",
}  # fmt: skip
"""Capitalised words after which nobody is named: they open sentences."""


def rule(pattern: str, speak: Speak | str, flags: int = 0) -> Rule:
    """A rule; `speak` is a function of the match and the language, or the words themselves."""
    if isinstance(speak, str):
        words = speak
        return re.compile(pattern, flags), lambda match, language: words
    return re.compile(pattern, flags), speak


def one_of(words: Iterable[str]) -> str:
    """The words as alternatives of an expression, the longest first."""
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


def ends_sentence(match: re.Match[str]) -> bool:
    """Whether an abbreviation's full stop also ends the sentence: nothing or a new sentence follows."""
    rest = match.string[match.end() : match.end() + 3]
    return not rest.strip("\"')") or bool(re.match(r"[\"')]? [\"'(]?[A-Z]", rest))


def opens_sentence(text: str, position: int) -> bool:
    """Whether a word that opens sentences stands at this position."""
    following = re.match(r"[\"')]* ([A-Z][a-z]*)\b", text[position : position + 24])
    return bool(following and following[1] in OPENERS)


def is_adjective(match: re.Match[str]) -> bool:
    """Whether an amount stands before a noun, "a 5 km run", where its unit is singular."""
    before = match.string[max(0, match.start() - 4) : match.start()]
    return bool(re.search(r"(?:^|\W)[Aa]n? $", before) and re.match(r" [a-z]", match.string[match.end() :][:2]))


def plain(number: str) -> str:
    """A number without the commas between thousands."""
    return number.replace(",", "")


def number(written: str, language: str) -> str:
    """A whole or decimal number in words."""
    whole, point, fraction = plain(written).partition(".")
    return numbers.decimal(whole, fraction, language, "point") if point else numbers.cardinal(whole, language)


def year(digits: str, language: str) -> str:
    """A year of four digits as it is said: nineteen oh five, two thousand seven, twenty twenty-four."""
    century, rest = int(digits[:2]), int(digits[2:])
    if digits[1:3] == "00" and int(digits) >= 1000:
        return numbers.cardinal(digits, language)
    start = numbers.cardinal(str(century), language)
    if rest == 0:
        return f"{start} hundred"
    return f"{start} {two_digits(digits[2:], language)}"


def two_digits(digits: str, language: str) -> str:
    """The end of a year: oh five, sixty-nine."""
    return f"oh {numbers.cardinal(digits[1], language)}" if digits[0] == "0" else numbers.cardinal(digits, language)


def is_year(digits: str) -> bool:
    """Whether four digits are read in two halves."""
    return len(digits) == 4 and digits.isdigit() and 1010 <= int(digits) <= 2099


def year_or_number(digits: str, language: str) -> str:
    return year(digits, language) if is_year(digits) else numbers.cardinal(digits, language)


def plural(words: str) -> str:
    """ "fifty" -> "fifties"."""
    return words[:-1] + "ies" if words.endswith("y") else words + ("es" if words.endswith("x") else "s")
