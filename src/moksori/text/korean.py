"""Korean: numbers as words. Counters of things and hours take native numbers (세 개, 열 시), the rest Sino-Korean."""

import re

from moksori.text import numbers

_ONES = ("", "한", "두", "세", "네", "다섯", "여섯", "일곱", "여덟", "아홉")
_TENS = ("", "열", "스물", "서른", "마흔", "쉰", "예순", "일흔", "여든", "아흔")
_COUNTERS = "개월|개|명|사람|살|시간|시|마리|권|잔|병|번째|대|장|채|켤레|송이|그루"
_SINO_COUNTERS = ("개월",)
_SIGNS = {"%": "퍼센트", "$": "달러", "€": "유로", "₩": "원", "&": "그리고", "+": "더하기", "=": "은", "°C": "도",
          "°": "도", "km": "킬로미터", "kg": "킬로그램", "cm": "센티미터", "m": "미터", "g": "그램"}  # fmt: skip
_NUMBER = r"(?:\d{1,3}(?:,\d{3}){1,5}(?!\d)|\d{1,15}(?!\d))(?:\.\d{1,15}(?!\d))?"
_START = r"(?<![\d.,])"
_CLOCK = re.compile(r"(?<![\d.,:])(\d{1,2}):(\d{2})(?![\d:])")
_COUNTED = re.compile(rf"{_START}(\d{{1,2}}) ?({_COUNTERS})")
_MONEY = re.compile(rf"([$€₩]) ?({_NUMBER})")
_UNIT = re.compile(rf"{_START}({_NUMBER}) ?(km|kg|cm|m|g|°C|°|%)(?![A-Za-z])")
_RANGE = re.compile(rf"{_START}(\d{{1,4}}) ?[~–-] ?(\d{{1,4}})(?![\d-]|[.,]\d)")
_MINUS = re.compile(r"(?:(?<=^)|(?<=\s))-(?=\d)")
_NUMBERS = re.compile(rf"{_START}{_NUMBER}")
_DIGITS = re.compile(r"\d+")
_SIGN = re.compile(r"[%$€₩&+=°]")


def expand_korean(text: str) -> str:
    """Text with numbers and signs as words; expects clean Unicode."""
    text = _CLOCK.sub(_clock, text)
    text = _COUNTED.sub(_counted, text)
    text = _MONEY.sub(lambda m: f"{_number(m[2])} {_SIGNS[m[1]]}", text)
    text = _UNIT.sub(lambda m: f"{_number(m[1])} {_SIGNS[m[2]]}", text)
    text = _RANGE.sub(lambda m: f"{_number(m[1])}에서 {_number(m[2])}", text)
    text = _MINUS.sub("마이너스 ", text)
    text = _NUMBERS.sub(lambda m: _number(m[0]), text)
    text = _DIGITS.sub(lambda m: numbers.cardinal(m[0], "ko"), text)
    return _SIGN.sub(lambda m: f" {_SIGNS[m[0]]} ", text)


def native(number: int) -> str:
    """1-99 in native Korean, in the form before a counter: 한, 두, 스무."""
    if number == 20:
        return "스무"
    return _TENS[number // 10] + _ONES[number % 10]


def _number(text: str) -> str:
    whole, point, fraction = text.replace(",", "").partition(".")
    return numbers.decimal(whole, fraction, "ko", "점") if point else numbers.cardinal(whole, "ko")


def _counted(match: re.Match[str]) -> str:
    number, counter = int(match[1]), match[2]
    if number == 0 or counter in _SINO_COUNTERS:
        return f"{numbers.cardinal(str(number), 'ko')} {counter}"
    return f"{native(number)} {counter}"


def _clock(match: re.Match[str]) -> str:
    hour, minute = int(match[1]), int(match[2])
    if hour > 24 or minute > 59:
        return match[0]
    spoken = f"{native(hour) if hour else '영'} 시"
    return spoken + (f" {numbers.cardinal(str(minute), 'ko')}분" if minute else "")
