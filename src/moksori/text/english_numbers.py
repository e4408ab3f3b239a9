"""English telephone numbers, ranges, fractions, ordinals and bare numbers as words."""

import re

from moksori.text import numbers
from moksori.text.english_rules import (
    DASH,
    NUMBER,
    START,
    Rule,
    is_year,
    number,
    plain,
    plural,
    rule,
    year,
    year_or_number,
)

_FRACTIONS = {"½": "half", "¼": "quarter", "¾": "three quarters"}
_NAMED_PARTS = {32, 64, 100, 1000, *range(30, 100, 10)}
"""Denominators beyond twenty that are said as ordinals: seven thirty-seconds, but one twenty over eighty-one."""
_STATES = (
    "A[KLRZ]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|PA|RI|S[CD]|T[NX]|UT|V[AT]|W[AIVY]"
)
_DIGITS = re.compile(r"\d+")


def _spelled_groups(text: str, language: str) -> str:
    """Groups of digits read digit by digit, a comma between them."""
    return ", ".join(numbers.spelled(group, language) for group in _DIGITS.findall(text))


def _say_telephone(match: re.Match[str], language: str) -> str:
    return ("plus " if match[0][0] == "+" else "") + _spelled_groups(match[0], language)


def _say_lettered_telephone(match: re.Match[str], language: str) -> str:
    return f"{_spelled_groups(match[1], language)}, {match[2].replace('-', ' ')}"


def _say_called(match: re.Match[str], language: str) -> str:
    """ "call 911", "ext. 204", "CA 90210": what comes first, then the digits."""
    return f"{match[1]} {_spelled_groups(match[2], language)}"


def _say_extension(match: re.Match[str], language: str) -> str:
    return f"extension {numbers.spelled(match[1], language)}"


def _say_range(match: re.Match[str], language: str) -> str:
    return f"{year_or_number(match[1], language)} to {year_or_number(match[2], language)}"


def _say_mixed_sign(match: re.Match[str], language: str) -> str:
    part = _FRACTIONS[match[2]]
    return f"{numbers.cardinal(match[1], language)} and {part if part.startswith('three') else 'a ' + part}"


def _say_mixed(match: re.Match[str], language: str) -> str:
    whole, over, under = match.groups()
    return match[0] if int(over) >= int(under) or int(over) == 0 else mixed(whole, over, under, language)


def _say_fraction(match: re.Match[str], language: str) -> str:
    return fraction(match[1], match[2], language)


def mixed(whole: str, over: str, under: str, language: str) -> str:
    """ "5", "1", "2" -> five and a half."""
    part = fraction(over, under, language)
    part = {"one half": "a half", "one quarter": "a quarter"}.get(part, part)
    return f"{numbers.cardinal(whole, language)} and {part}"


def fraction(over: str, under: str, language: str) -> str:
    """ "3", "4" -> three quarters; "120", "80" -> one hundred twenty over eighty."""
    if (over, under) in (("24", "7"), ("9", "11")):
        return f"{numbers.cardinal(over, language)} {numbers.cardinal(under, language)}"
    top = numbers.cardinal(over, language)
    if under in ("2", "4"):
        name = {"2": ("half", "halves"), "4": ("quarter", "quarters")}[under]
        return f"{top} {name[over != '1']}"
    small = 3 <= int(under) <= 20 or (int(under) in _NAMED_PARTS and int(over) < int(under))
    if small and under[0] != "0":
        part = numbers.ordinal(under, language)
        return f"{top} {part if over == '1' else plural(part)}"
    return f"{top} over {numbers.cardinal(under, language)}"


def _say_ordinal(match: re.Match[str], language: str) -> str:
    return numbers.ordinal(plain(match[1]), language)


def _say_version(match: re.Match[str], language: str) -> str:
    return _apart(match, " point ".join(numbers.cardinal(part, language) for part in match[0].split(".")))


def _say_short_version(match: re.Match[str], language: str) -> str:
    """ "v2.0" -> version two point zero."""
    return "version " + " point ".join(numbers.cardinal(part, language) for part in match[1].split("."))


def _say_internet_address(match: re.Match[str], language: str) -> str:
    parts = match[0].split(".")
    if any(int(part) > 255 for part in parts):
        return match[0]
    return " dot ".join(numbers.spelled(part, language) for part in parts)


def _say_number(match: re.Match[str], language: str) -> str:
    digits = match[0]
    return _apart(match, year(digits, language) if is_year(digits) else number(digits, language))


def _say_digits(match: re.Match[str], language: str) -> str:
    return _apart(match, numbers.cardinal(match[0], language))


def _apart(match: re.Match[str], spoken: str) -> str:
    """A space where the number touches a letter: MP3 -> MP three."""
    before, after = match.string[max(0, match.start() - 1) : match.start()], match.string[match.end() : match.end() + 1]
    return (" " if before.isalnum() else "") + spoken + (" " if after.isalnum() else "")


TELEPHONES: tuple[Rule, ...] = (
    rule(r"(?<![\w.+])\+\d{1,3}(?:[ .-]\(?\d{1,8}\)?){2,6}(?![\w-]|[.,]\d)", _say_telephone),
    rule(r"(?<!\w)(?:\d-)?\(\d{3}\) ?\d{3}[-. ]\d{4}(?![\w-])", _say_telephone),
    rule(r"(?<![\w.,/-])\d{3}\.\d{3}\.\d{4}(?![\w-]|[.,]\d)", _say_telephone),
    rule(r"(?<![\w.,/-])0\d{2,4} \d{3,4} \d{3,4}(?![\w-]|[.,]\d)", _say_telephone),
    rule(r"(?<![\w./,-])(1-\d{3})-([A-Z][A-Z-]{2,9}[A-Z])(?![\w-])", _say_lettered_telephone),
    rule(r"(?<![\w./,-])(?:(?:\d{3}-)?\d{3}-\d{4}|\d{1,12}(?:-\d{1,12}){2,8})(?![\w-])", _say_telephone),
    rule(r"\b([Cc]all(?:ed|ing|s)?|[Dd]ial(?:ed|led|ing|ling|s)?) ([2-9]11|999|112|000)(?![\w,.-]?[\w%])", _say_called),
    rule(r"(?<![\w.])[Ee]xt\. ?(\d{1,6})(?!\w)", _say_extension),
    rule(rf"(?<=[a-z], )({_STATES}) (\d{{5}}(?:-\d{{4}})?)(?![\w,.-]?\d)", _say_called),
)

HYPHENS: tuple[Rule, ...] = (rule(r"(?<=[A-Za-z])-(?=\d)", " "),)
"""Between letters and digits a hyphen is silent: covid-19, pre-1914."""

FRACTIONS: tuple[Rule, ...] = (
    rule(rf"{START}(\d{{1,6}}) ?([½¼¾])", _say_mixed_sign),
    rule(r"(?<![\w.,/])(\d{1,3}) {1,2}(\d{1,3})/(\d{1,4})(?![\w/]|[.,]\d)", _say_mixed),
    rule(r"(?<![\w.,/])(\d{1,4})/(\d{1,4})(?![\w/]|[.,]\d)", _say_fraction),
)

RANGES: tuple[Rule, ...] = (
    rule(r"(?<=\d):(?=\d)", " to "),
    rule(rf"{START}(\d{{1,4}}){DASH}(\d{{1,4}})(?![\w-]|[.,]\d)", _say_range),
)

ORDINALS: tuple[Rule, ...] = (
    rule(r"(?<![\w.])(\d{1,3}(?:,\d{3}){1,5}|\d{1,15})(?:st|nd|rd|th)\b", _say_ordinal, re.IGNORECASE),
)

PLAIN_NUMBERS: tuple[Rule, ...] = (
    rule(r"(?:(?<=^)|(?<=[\s(\"]))-(?=\.?\d)", "minus "),
    rule(r"(?<![\w.,])\d{1,3}(?:\.\d{1,3}){3}(?![\w.]\w|\d)", _say_internet_address),
    rule(r"(?<![\w.,])[vV](\d{1,4}(?:\.\d{1,4}){1,4})(?![\w.]\w)", _say_short_version),
    rule(r"(?<![\d.,])\d{1,6}(?:\.\d{1,6}){2,6}(?![\w.]\w)", _say_version),
    rule(rf"(?<![\d.,]){NUMBER}", _say_number),
    rule(r"\d+", _say_digits),
)
