"""Korean numerals: Sino-Korean by groups of ten thousand, native ones before counters, digits one by one."""

from functools import lru_cache

_DIGITS = "영일이삼사오육칠팔구"
_PLACES = ("", "십", "백", "천")
_GROUPS = ("", "만", "억", "조", "경")
_ONES = ("", "한", "두", "세", "네", "다섯", "여섯", "일곱", "여덟", "아홉")
_TENS = ("", "열", "스물", "서른", "마흔", "쉰", "예순", "일흔", "여든", "아흔")

LONGEST = 16
"""Integers of more digits are read digit by digit."""


@lru_cache(maxsize=1 << 12)
def sino(digits: str) -> str:
    """A whole number in Sino-Korean, a space after each group of ten thousand (한글 맞춤법, article 44).

    With a leading zero, or longer than 16 digits, digit by digit.
    """
    digits = digits.replace(",", "")
    if len(digits) > LONGEST or (len(digits) > 1 and digits[0] == "0"):
        return spelled(digits)
    if digits.strip("0") == "":
        return _DIGITS[0]
    groups = []
    for index in range(0, (len(digits) + 3) // 4):
        group = digits[max(0, len(digits) - 4 * index - 4) : len(digits) - 4 * index]
        words = _below_ten_thousand(group)
        if index == 1 and words == "일" and len(digits) == 5:
            words = ""  # 10,000 is 만, 100,000,000 is 일억
        if group.strip("0"):
            groups.append(words + _GROUPS[index])
    return " ".join(reversed(groups))


def native(number: int) -> str:
    """1 to 99 in native Korean, in the form before a counter: 한, 두, 스무."""
    return "스무" if number == 20 else _TENS[number // 10] + _ONES[number % 10]


def spelled(digits: str, zero: str = "영") -> str:
    """Digit by digit; zero: 영, or 공 in telephone numbers."""
    return "".join(zero if digit == "0" else _DIGITS[int(digit)] for digit in digits)


def number(text: str) -> str:
    """A number with thousands parted by commas and a decimal point: 1,234.5 -> 천이백삼십사점오."""
    whole, point, fraction = text.replace(",", "").partition(".")
    return f"{sino(whole)}점{spelled(fraction)}" if point else sino(whole)


def _below_ten_thousand(group: str) -> str:
    words = ""
    for place, digit in zip(range(len(group) - 1, -1, -1), group, strict=True):
        if digit != "0":
            words += ("" if digit == "1" and place else _DIGITS[int(digit)]) + _PLACES[place]
    return words
