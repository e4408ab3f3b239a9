"""English dates, days, decades and times of day as words."""

import re

from moksori.text import numbers
from moksori.text.english_rules import UK, Rule, ends_sentence, one_of, plural, rule, two_digits, year, year_or_number

MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
MONTH_ABBREVIATIONS = {m[:3]: m for m in MONTHS if m != "May"} | {"Sept": "September"}
_DAYS = {
    "Mon": "Monday", "Tue": "Tuesday", "Tues": "Tuesday", "Wed": "Wednesday", "Thu": "Thursday", "Thur": "Thursday",
    "Thurs": "Thursday", "Fri": "Friday", "Sat": "Saturday", "Sun": "Sunday",
}  # fmt: skip
_MONTH = "|".join([*MONTHS, *(rf"{a}\b\.?" for a in sorted(MONTH_ABBREVIATIONS, key=len, reverse=True))])
_HALF = r"(?:[AaPp]\.[Mm]\.|[AaPp][Mm]\b)"


def _say_day(match: re.Match[str], language: str) -> str:
    return _DAYS[match[1]]


def _month_name(text: str) -> str:
    text = text.rstrip(".")
    return MONTH_ABBREVIATIONS.get(text, text)


def _say_month_day(match: re.Match[str], language: str) -> str:
    month, day, last, of_year = match.groups()
    if not (1 <= int(day) <= 31 and (last is None or 1 <= int(last) <= 31)):
        return match[0]
    spoken = f"{_month_name(month)} {numbers.ordinal(day, language)}"
    spoken += f" to {numbers.ordinal(last, language)}" if last else ""
    return spoken + (f", {year_or_number(of_year, language)}" if of_year else "")


def _say_day_month(match: re.Match[str], language: str) -> str:
    day, month, of_year = match.groups()
    if not 1 <= int(day) <= 31:
        return match[0]
    spoken = f"the {numbers.ordinal(day, language)} of {_month_name(month)}"
    return spoken + (f" {year_or_number(of_year, language)}" if of_year else "")


def _date(match: re.Match[str], of_year: str, month: str, day: str, language: str) -> str:
    if not (1 <= int(month) <= 12 and 1 <= int(day) <= 31):
        return match[0]
    if len(of_year) == 2:
        said = "two thousand" if of_year == "00" else two_digits(of_year, language)
    else:
        said = year_or_number(of_year, language)
    return f"{MONTHS[int(month) - 1]} {numbers.ordinal(day, language)}, {said}"


def _say_iso_date(match: re.Match[str], language: str) -> str:
    return _date(match, match[1], match[2], match[3], language)


def _say_slash_date(match: re.Match[str], language: str) -> str:
    first, second, of_year = match.groups()
    if language == UK or int(first) > 12 >= int(second):
        first, second = second, first
    return _date(match, of_year, first, second, language)


def _say_time(match: re.Match[str], language: str) -> str:
    hour, minute, second, half = match.groups()
    if int(hour) > 24 or int(minute) > 59:
        return match[0]
    spoken = numbers.cardinal(str(int(hour)), language)
    if minute == "00":
        spoken += "" if half else " hundred" if int(hour) > 12 or hour == "00" else " o'clock"
    else:
        spoken += " " + two_digits(minute, language)
    if second and int(second):
        spoken += f" and {numbers.cardinal(str(int(second)), language)} second{'' if second == '01' else 's'}"
    return spoken + (_half(match, half) if half else "")


def _say_military(match: re.Match[str], language: str) -> str:
    """ "08:00 hours" -> "oh eight hundred hours"."""
    hour, minute = match.groups()
    return f"{two_digits(hour, language)} {'hundred' if minute == '00' else two_digits(minute, language)}"


def _say_hour(match: re.Match[str], language: str) -> str:
    return numbers.cardinal(str(int(match[1])), language) + _half(match, match[2])


def _half(match: re.Match[str], half: str) -> str:
    stop = "." if half.endswith(".") and ends_sentence(match) else ""
    return f" {half[0].upper()} M{stop}"


def _say_decade(match: re.Match[str], language: str) -> str:
    digits = match[1]
    if len(digits) == 4:
        return plural(numbers.cardinal(digits, language) if digits[1:] == "000" else year(digits, language))
    return plural(numbers.cardinal(digits, language))


def _say_short_year(match: re.Match[str], language: str) -> str:
    return two_digits(match[1], language)


TIMES: tuple[Rule, ...] = (
    rule(rf"(?<=\d)[–-](?=\d{{1,2}}(?::\d\d)?\s?{_HALF})", " to "),
    rule(r"(?<=\d:\d\d) ?[–-] ?(?=\d{1,2}:\d\d)", " to "),
    rule(r"(?:(?<=[\d ][AaPp]\.[Mm]\.)|(?<=[\d ][AaPp][Mm])) ?[–-] ?(?=\d{1,2}(?!\d))", " to "),
    rule(r"(?<![\w.,:])([01]\d|2[0-4]):([0-5]\d)(?= (?:hours|hrs)\b)", _say_military),
    rule(rf"(?<![\w.,:])(\d{{1,2}}):(\d{{2}})(?::(\d{{2}}))?(?![\d:])(?:\s?({_HALF}))?", _say_time),
    rule(rf"(?<![\w.,:])(\d{{1,2}})\s?({_HALF})", _say_hour),
)
"""They come before initialisms, whose dots they share."""

DATES: tuple[Rule, ...] = (
    rule(rf"(?<![\w.'])({one_of(_DAYS)})\.(?=,| (?:[a-z\d]|(?:{_MONTH})\b))", _say_day),
    rule(r"(?<![\w./-])(\d{4})[-/](\d{1,2})[-/](\d{1,2})(?![\w/-])", _say_iso_date),
    rule(r"(?<![\w./-])(\d{1,2})/(\d{1,2})/(\d{4}|\d{2})(?![\w/-])", _say_slash_date),
    rule(
        rf"\b({_MONTH}) (\d{{1,2}})(?:st|nd|rd|th)?(?: ?[–-] ?(\d{{1,2}})(?:st|nd|rd|th)?)?(?![\w:]|[.,]\d)"
        r"(?:,? (\d{4})(?!\w|[.,]\d))?",
        _say_month_day,
    ),
    rule(
        rf"(?<![\w.,/:-])(?:[Tt]he )?(\d{{1,2}})(?:st|nd|rd|th)?(?: of)? ({_MONTH})(?![a-z])"
        r"(?:,? (\d{4})(?!\w|[.,]\d))?",
        _say_day_month,
    ),
)

DECADES: tuple[Rule, ...] = (
    rule(r"(?<!\w)'?(\d{1,3}0)'?s\b", _say_decade),
    rule(r"(?<![\w'])'(\d\d)(?![\w'\"]|[.,]\d)", _say_short_year),
)
