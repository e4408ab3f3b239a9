"""Korean: numbers, dates, times, telephones, money, units, Latin letters and signs as words.

Native numerals stand before counters of things (세 개), hours of the clock and years of age, Sino-Korean ones
elsewhere; which take which follows the Standard Korean Language Dictionary. The order of the rules is the order of
`_RULES`: what holds more goes first. Expressions start behind a lookbehind that fails inside a run of their own
characters and repeat a bounded number of times. How much is right is measured on `tests/golden/normalization_ko.tsv`.
"""

import re
from collections.abc import Callable

from moksori.text.hangul import decompose, syllables_alone
from moksori.text.korean_loanwords import letters_named
from moksori.text.korean_numbers import native, number, sino, spelled

_NATIVE_COUNTERS = (
    r"번째|사람|시간|마리|켤레|송이|그루|가지|군데|그릇|조각|포기|다발|봉지|상자|박스|차례|바퀴|방울|자루|숟가락|스푼|"
    r"개(?!월|국|년|소|정|혁|발|항|조)|명(?!령|절)|살(?!인)|시(?!즌|리|장|대)|권(?!역)|잔(?!액)|병(?!원|동)|"
    r"대(?!학|통령|기업|로|륙)|장(?!관|소|조)|채(?!널)|벌(?!점)|배(?!럴)|달(?!러|성)|쌍|곳|끼|척|통(?!신|화)|판(?!매)|줄|알|컵|"
    r"팀|건(?!물)|골(?!프|목)|모(?!델|둠)|번(?!호|지)|손님|아이|여자|남자"
)
_NUMBERED = (
    "출구|버스|문제|홈|타자|선수|게이트|창구|국도|트랙|채널|방|좌석|승강장|시드|포트|문항|마을|척추|테이블|코스|레인"
)
_GREAT = (
    "과제|원칙|요소|도시|명절|강국|의무|권리|핵심|성인|문명|발명|축제|사건|뉴스|항목|왕|대통령|국회|총장|회장|사장|감독|영양소|"
    "비극|기업|은행|통신|리그|불가사의|의혹|재앙|공약|전략|분야|종교|고전"
)
"""What has a number of 대 (大, 代) before it; machines and vehicles are counted in native numerals."""
_UNITS = {
    "km/h": "킬로미터", "kWh": "킬로와트시", "mAh": "밀리암페어시", "kcal": "킬로칼로리", "km2": "제곱킬로미터",
    "km²": "제곱킬로미터",
    "cm2": "제곱센티미터", "cm²": "제곱센티미터", "m2": "제곱미터", "m²": "제곱미터", "m3": "세제곱미터",
    "m³": "세제곱미터",
    "cm3": "세제곱센티미터", "cm³": "세제곱센티미터", "km": "킬로미터", "cm": "센티미터", "mm": "밀리미터",
    "nm": "나노미터",
    "kg": "킬로그램", "mg": "밀리그램", "ml": "밀리리터", "mL": "밀리리터", "dl": "데시리터", "cal": "칼로리",
    "GB": "기가바이트", "MB": "메가바이트", "KB": "킬로바이트", "TB": "테라바이트", "Mbps": "메가비피에스",
    "Gbps": "기가비피에스",
    "GHz": "기가헤르츠", "MHz": "메가헤르츠", "kHz": "킬로헤르츠", "Hz": "헤르츠", "kW": "킬로와트",
    "MW": "메가와트", "W": "와트",
    "hPa": "헥토파스칼", "dB": "데시벨", "ha": "헥타르", "°C": "도", "°F": "화씨 도", "°": "도", "m": "미터",
    "g": "그램",
    "t": "톤", "L": "리터", "l": "리터", "V": "볼트", "%p": "퍼센트포인트", "%": "퍼센트", "‰": "퍼밀",
}  # fmt: skip
_CURRENCIES = {"$": " 달러", "€": " 유로", "£": " 파운드", "¥": " 엔", "₩": "원"}
_SIGNS = {
    "%": "퍼센트", "&": "앤드", "+": "더하기", "×": "곱하기", "÷": "나누기", "@": "골뱅이", "#": "샵", "°": "도",
    "$": "달러", "€": "유로",
    "£": "파운드", "¥": "엔", "₩": "원", "±": "플러스마이너스", "→": "", "≠": "같지 않음", "≤": "이하", "≥": "이상",
    "√": "루트",
    "½": "이분의 일", "¼": "사분의 일", "¾": "사분의 삼", "²": "제곱", "³": "세제곱",
}  # fmt: skip
_ADDRESS_SIGNS = {".": " 점 ", "@": " 골뱅이 ", "/": " 슬래시 ", "-": " 대시 ", "_": " 밑줄 "}

_N = r"(?:\d{1,3}(?:,\d{3}){1,5}(?!\d)|\d{1,24}(?!\d))(?:\.\d{1,15}(?!\d))?"
"""A number; longer runs of digits are left to the last rule."""
_NO_ADDRESS = r"(?<![A-Za-z0-9_.@/-])"
_NAME = r"[A-Za-z0-9_-]{1,40}"
_PATH = r"(?:/[A-Za-z0-9_./-]{0,80})?(?![A-Za-z0-9@])"
_START = r"(?<![\d.,])"
_DOT = re.compile("[·ㆍ‧・･]")
_ANNIVERSARY = re.compile(r"(?<![\d·ㆍ‧・･])(\d{1,2})[·ㆍ‧・･](\d{1,2})(?![\d·ㆍ‧・･])", re.ASCII)
_DOT_BETWEEN = re.compile("(?<=[가-힣A-Za-z])[·ㆍ‧・･](?=[가-힣A-Za-z])")
_CAPITALS = r"(?<![A-Za-z])"


def expand_korean(text: str) -> str:
    """Text with numbers, signs, initials and lone letters as words; expects clean Unicode."""
    text = syllables_alone(text)
    for pattern, speak in _RULES:
        text = pattern.sub(speak, text)
    return text


def read_middle_dots(text: str) -> str:
    """Days that are known by month and day (6·25, 3·1절), and dots between words; before Unicode is cleaned up."""
    if not _DOT.search(text):
        return text
    text = _ANNIVERSARY.sub(_anniversary, text)
    return _DOT_BETWEEN.sub(", ", text)


def _address(match: re.Match[str]) -> str:
    text = re.sub(r"^https?://", "", match[0])
    return "".join(_ADDRESS_SIGNS.get(character, character) for character in text.removeprefix("www."))


def _telephone(match: re.Match[str]) -> str:
    groups = re.findall(r"\d+", match[0])
    if len(groups) == 1:
        digits = groups[0]
        groups = [digits[:3], digits[3:-4], digits[-4:]]
    return ("플러스 " if match[0][0] == "+" else "") + ", ".join(spelled(group, "공") for group in groups)


def _date(match: re.Match[str]) -> str:
    year, month, day = match["year"], int(match["month"]), int(match["day"])
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return match[0]
    return f"{sino(year)}년 {_month(month)}월 {sino(str(day))}일"


def _month(month: int) -> str:
    return {6: "유", 10: "시"}.get(month) or sino(str(month))


def _anniversary(match: re.Match[str]) -> str:
    """6·25 is 육이오, 10·26 십이육, 12·12 십이십이."""
    first, second = match[1], match[2]
    return sino(first) + (sino(second) if first == second else spelled(second))


def _hour(hour: int) -> str:
    return native(hour) if 1 <= hour <= 12 else sino(str(hour))


def _clock(match: re.Match[str]) -> str:
    hour, minute, second = int(match[1]), int(match[2]), match[3]
    if hour > 24 or minute > 59:
        return match[0]
    parts = [f"{_hour(hour)} 시"]
    if minute or second:
        parts.append(f"{sino(str(minute))}분")
    if second:
        parts.append(f"{sino(str(int(second)))}초")
    return " ".join(parts)


def _counted_words(digits: str, counter: str, after: str) -> str:
    """A number and its counter: native up to 99 with a space between, except where the counter only numbers."""
    value = int(digits.replace(",", ""))
    if counter == "시":
        return f"{_hour(value)} 시"
    if counter == "번째":
        return "첫 번째" if value == 1 else f"{_native_or_sino(value)} 번째"
    if counter == "번" and (value >= 20 or re.match(rf" ?(?:{_NUMBERED})", after)):
        return f"{sino(digits)}번"
    if counter == "대" and ((10 <= value < 100 and value % 10 == 0) or re.match(f" ?(?:{_GREAT})", after)):
        return f"{sino(digits)}대"
    if counter == "시간" and value >= 20:
        return f"{sino(digits)} 시간"
    return f"{_native_or_sino(value)} {counter}"


def _native_or_sino(value: int) -> str:
    return native(value) if 1 <= value <= 99 else sino(str(value))


def _counted(match: re.Match[str]) -> str:
    return _counted_words(match[1], match[2], match.string[match.end() : match.end() + 6])


def _counted_range(match: re.Match[str]) -> str:
    after = match.string[match.end() : match.end() + 6]
    first, last = (_counted_words(match[group], match[3], after) for group in (1, 2))
    if " " not in first:
        return f"{number(match[1])}에서 {last}"
    return f"{first}에서 {last}"


def _money(match: re.Match[str]) -> str:
    return number(match[2]) + (match[3] or "") + _CURRENCIES[match[1]]


def _measure(match: re.Match[str]) -> str:
    value, unit = number(match[1]), match[2]
    if unit == "km/h":
        return f"시속 {value} 킬로미터"
    return f"화씨 {value} 도" if unit == "°F" else f"{value} {_UNITS[unit]}"


def _fraction(match: re.Match[str]) -> str:
    if int(match[1]) >= int(match[2]) or len(match[2]) > 3:
        return f"{sino(match[1])} {sino(match[2])}"
    return f"{sino(match[2])}분의 {sino(match[1])}"


def _equals(match: re.Match[str]) -> str:
    before = decompose(match[1])
    return f"{match[1]}{'은' if before and before.coda else '는'} "


def _named(match: re.Match[str]) -> str:
    return letters_named(match[0])


Rule = tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]

_RULES: tuple[Rule, ...] = (
    # addresses
    (
        re.compile(
            rf"{_NO_ADDRESS}(?:https?://)?{_NAME}(?:[.@]{_NAME}){{0,5}}[.@]{_NAME}\.[a-z]{{2,6}}{_PATH}"
            rf"|{_NO_ADDRESS}(?:https?://)?{_NAME}\.(?:com|net|org|kr|io|ai|dev){_PATH}"
        ),
        _address,
    ),
    # telephones
    (re.compile(r"(?<![\d+.-])\+\d{1,3}[- ]\d{1,3}[- ]\d{3,4}-\d{4}(?![\d-])"), _telephone),
    (re.compile(r"(?<![\d+.-])\(?0\d{1,2}(?:\) ?|[- ])\d{3,4}-\d{4}(?![\d-])"), _telephone),
    (re.compile(r"(?<![\d+.-])1[568]\d\d-\d{4}(?![\d-])"), _telephone),
    (re.compile(r"(?<![\d+.-])01[016789]\d{7,8}(?!\d)"), _telephone),
    (re.compile(r"(?<!\d)1[1-3]\d(?=(?:에|로|번에|번으로) (?:신고|전화|연락|문의))"), lambda m: spelled(m[0], "공")),
    # dates
    (
        re.compile(
            r"(?<![\d.-])(?P<year>[12]\d{3})[-./] ?(?P<month>\d{1,2})[-./] ?(?P<day>\d{1,2})(?!\d)(?:\.(?!\d))?"
        ),
        _date,
    ),
    (re.compile(r"(?<!\d)0?(\d{1,2})월(?=[ ,.은이을에의도부까과생]|$|[^가-힣])"), lambda m: f"{_month(int(m[1]))}월"),
    (re.compile(r"(?<![\d:.,])0(\d)(?=[일시분초](?![가-힣]{2}))"), r"\1"),
    (re.compile(r"'(?=\d\d ?년)"), ""),
    # clock and scores
    (re.compile(r"(?<![\d:.,])(\d{1,2}):(\d{2})(?::(\d{2}))?(?![\d:])"), _clock),
    (re.compile(r"(?<![\d:.,])(\d{1,3}):(\d{1,3})(?![\d:])"), lambda m: f"{sino(m[1])} 대 {sino(m[2])}"),
    (re.compile(r"(?<![가-힣])제 ?(\d{1,4})(?![\d.,]\d)"), lambda m: f"제{sino(m[1])}"),
    # ranges
    (re.compile(rf"{_START}(\d{{1,2}}) ?[~∼–-] ?(\d{{1,2}}) ?({_NATIVE_COUNTERS})"), _counted_range),
    (re.compile(rf"{_START}({_N}) ?[~∼–] ?(?=\d)"), lambda m: f"{number(m[1])}에서 "),
    (re.compile(r"(?<=[가-힣%A-Za-z])[~∼](?=\d|오전|오후)"), "에서 "),
    (re.compile(r"(?<=\d)[~∼](?=[가-힣])"), "에서 "),
    (re.compile(r"(?<![가-힣])([월화수목금토일])[~∼](?=[월화수목금토일](?![가-힣]))"), r"\1에서 "),
    # amounts
    (re.compile(rf"([$€£¥₩]) ?({_N}) ?([천백]?[만억조])?"), _money),
    (re.compile(rf"{_START}(\d{{1,3}})/(\d{{1,4}})(?![\d/])"), _fraction),
    (re.compile(r"(?:(?<=^)|(?<=[\s(]))[-−](?=\d)"), "마이너스 "),
    (
        re.compile(rf"{_START}({_N}) ?({'|'.join(map(re.escape, sorted(_UNITS, key=len, reverse=True)))})(?![A-Za-z])"),
        _measure,
    ),
    (re.compile(rf"{_START}(\d{{1,3}}(?:,\d{{3}}){{0,3}}) ?({_NATIVE_COUNTERS})"), _counted),
    # letters
    (re.compile(rf"{_CAPITALS}[A-Z](?:\.[A-Z]){{1,8}}\.?(?![A-Za-z])"), _named),
    (re.compile(rf"{_CAPITALS}[A-Z]{{1,4}}(?![A-Za-z])"), _named),
    (re.compile(rf"{_CAPITALS}[B-DF-HJ-NP-TV-Z]{{5,12}}(?![A-Za-z])"), _named),
    # what is left
    (re.compile(r"#(?=[\w가-힣])"), "샵 "),
    (re.compile(rf"{_START}{_N}"), lambda m: number(m[0])),
    (re.compile(r"\d{1,24}"), lambda m: sino(m[0])),
    (re.compile(r"([가-힣]) ?= ?"), _equals),
    (re.compile(f"[{re.escape(''.join(_SIGNS))}]"), lambda m: f" {_SIGNS[m[0]]} "),
)
