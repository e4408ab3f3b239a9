"""English: numbers, money, dates, times, units, abbreviations and signs as words.

The order of the rules is the order of `_RULES`: what holds more (addresses, dates, money) goes before bare numbers.
Every expression starts behind a lookbehind that fails inside a run of its own characters and repeats a bounded number
of times, so that no text makes it slow.
"""

import re
from collections.abc import Callable
from functools import partial

from moksori.text import numbers

_US = "en-us"
_UK = "en-gb"

_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_MONTH_ABBREVIATIONS = {m[:3]: m for m in _MONTHS if m != "May"} | {"Sept": "September"}
_MONTH = "|".join([*_MONTHS, *(rf"{a}\b\.?" for a in sorted(_MONTH_ABBREVIATIONS, key=len, reverse=True))])

_TITLES = {
    "mr": "Mister", "mrs": "Missus", "ms": "Miz", "dr": "Doctor", "st": "Saint", "prof": "Professor", "rev": "Reverend",
    "gen": "General", "col": "Colonel", "capt": "Captain", "lt": "Lieutenant", "sgt": "Sergeant", "maj": "Major",
    "hon": "Honorable", "gov": "Governor", "sen": "Senator", "rep": "Representative", "pres": "President",
    "mt": "Mount",
    "ft": "Fort", "drs": "Doctors", "cmdr": "Commander", "adm": "Admiral", "fr": "Father",
}  # fmt: skip
_ENDINGS = {
    "etc": "et cetera", "jr": "Junior", "sr": "Senior", "inc": "Incorporated", "ltd": "Limited", "co": "Company",
    "corp": "Corporation", "esq": "Esquire", "ave": "Avenue", "blvd": "Boulevard", "rd": "Road", "hwy": "Highway",
    "dept": "Department", "univ": "University",
}  # fmt: skip
_OPENERS = {
    "A", "An", "And", "As", "At", "But", "For", "He", "Her", "His", "How", "I", "If", "In", "Is", "It", "My", "No",
    "Not", "On", "Our", "She", "So", "That", "The", "Then", "There", "They", "This", "To", "We", "What", "When",
    "Where", "Who", "Why", "You",
}  # fmt: skip
"""Capitalised words after which nobody is named: they open sentences."""
_INSIDE = {
    "e.g.": "for example", "i.e.": "that is", "vs.": "versus", "approx.": "approximately", "cf.": "compare",
    "viz.": "namely", "al.": "alii", "p.s.": "P S", "ph.d.": "P H D", "misc.": "miscellaneous", "govt.": "government",
}  # fmt: skip
_UNITS = {
    "km/h": ("kilometer per hour", "kilometers per hour"), "kmh": ("kilometer per hour", "kilometers per hour"),
    "m/s": ("meter per second", "meters per second"), "mph": ("mile per hour", "miles per hour"),
    "km²": ("square kilometer", "square kilometers"), "m²": ("square meter", "square meters"),
    "m³": ("cubic meter", "cubic meters"), "cm²": ("square centimeter", "square centimeters"),
    "km": ("kilometer", "kilometers"), "cm": ("centimeter", "centimeters"), "mm": ("millimeter", "millimeters"),
    "m": ("meter", "meters"), "nm": ("nanometer", "nanometers"), "ft": ("foot", "feet"), "yd": ("yard", "yards"),
    "mi": ("mile", "miles"), "kg": ("kilogram", "kilograms"), "mg": ("milligram", "milligrams"), "g": ("gram", "grams"),
    "lb": ("pound", "pounds"), "lbs": ("pound", "pounds"), "oz": ("ounce", "ounces"),
    "ml": ("milliliter", "milliliters"),
    "L": ("liter", "liters"), "l": ("liter", "liters"), "kHz": ("kilohertz", "kilohertz"), "Hz": ("hertz", "hertz"),
    "MHz": ("megahertz", "megahertz"), "GHz": ("gigahertz", "gigahertz"), "KB": ("kilobyte", "kilobytes"),
    "kB": ("kilobyte", "kilobytes"), "MB": ("megabyte", "megabytes"), "GB": ("gigabyte", "gigabytes"),
    "TB": ("terabyte", "terabytes"), "ms": ("millisecond", "milliseconds"), "min": ("minute", "minutes"),
    "hr": ("hour", "hours"), "hrs": ("hour", "hours"), "sec": ("second", "seconds"), "kW": ("kilowatt", "kilowatts"),
    "kWh": ("kilowatt hour", "kilowatt hours"), "W": ("watt", "watts"), "V": ("volt", "volts"),
    "dB": ("decibel", "decibels"),
    "°C": ("degree Celsius", "degrees Celsius"), "°F": ("degree Fahrenheit", "degrees Fahrenheit"),
    "°": ("degrees", "degrees"),
}  # fmt: skip
_CURRENCIES = {
    "$": ("dollar", "dollars", "cent", "cents"), "€": ("euro", "euros", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"), "¥": ("yen", "yen", "sen", "sen"), "₩": ("won", "won", "jeon", "jeon"),
    "₹": ("rupee", "rupees", "paisa", "paise"),
}  # fmt: skip
_MAGNITUDES = {"k": "thousand", "K": "thousand", "M": "million", "m": "million", "B": "billion", "bn": "billion"}
_ROMAN = {
    "I": 1, "II": 2, "III": 3, "IV": 4, "V": 5, "VI": 6, "VII": 7, "VIII": 8, "IX": 9, "X": 10, "XI": 11, "XII": 12,
    "XIII": 13, "XIV": 14, "XV": 15, "XVI": 16, "XVII": 17, "XVIII": 18, "XIX": 19, "XX": 20,
}  # fmt: skip
_FRACTIONS = {"½": "half", "¼": "quarter", "¾": "three quarters"}
_SIGNS = {
    "&": "and", "%": "percent", "+": "plus", "=": "equals", "@": "at", "×": "times", "÷": "divided by",
    "±": "plus or minus",
    "²": "squared", "³": "cubed", "°": "degrees", "§": "section", "#": "number", "/": "slash", "½": "one half",
    "¼": "one quarter", "¾": "three quarters", "≈": "about", "≤": "at most", "≥": "at least", "≠": "is not",
    "√": "root",
    "$": "dollars", "€": "euros", "£": "pounds", "¥": "yen", "₩": "won", "₹": "rupees", "¢": "cents", "→": "to",
}  # fmt: skip

# a number starts neither inside a word nor inside another number
_START = r"(?<![\w.,])"
_INTEGER = r"(?:\d{1,3}(?:,\d{3}){1,5}(?![\d])|\d{1,15}(?!\d))"
_NUMBER = rf"(?:{_INTEGER}(?:\.\d{{1,15}}(?!\d|\.\d))?|\.\d{{1,15}}(?!\d))"
_UNIT = "|".join(re.escape(u) for u in sorted(_UNITS, key=len, reverse=True))
_MAGNITUDE = r"(?:\s?(thousand|million|billion|trillion)\b|(bn|[kKmMB])\b)"

Rule = tuple[re.Pattern[str], Callable[[re.Match[str], str], str]]
"""What to find, and how to say it in "en-us" or "en-gb"."""


def expand_english(text: str, british: bool = False) -> str:
    """Text with numbers, signs and abbreviations as words; expects clean Unicode and single spaces."""
    language = _UK if british else _US
    if "@" in text or "://" in text or _DOTTED.search(text):
        text = " ".join(_address(token) for token in text.split(" "))
    for pattern, speak in _RULES:
        text = pattern.sub(partial(_call, speak, language), text)
    return text


def _call(speak: Callable[[re.Match[str], str], str], language: str, match: re.Match[str]) -> str:
    return speak(match, language)


_DOTTED = re.compile(r"(?<![a-z])(?:www\.|[a-z]{2}[./])|\.(?:com|org|net|edu|gov|io|info|co|uk|de|nl|kr|ai|dev)\b")
_HOST = re.compile(
    r"(?:[a-z]{2,6}://(?P<any>\S{1,300})|www\.(?P<www>\S{1,300})|(?P<mail>[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,5})"
    r"|(?P<bare>(?:[\w-]{1,63}\.){1,4}(?:com|org|net|edu|gov|io|info|ai|dev)(?:/\S{0,200})?))",
    re.IGNORECASE,
)
_ADDRESS_SIGNS = {".": " dot ", "/": " slash ", "-": " dash ", "_": " underscore ", "@": " at ", ":": " colon "}


def _address(token: str) -> str:
    """A web or mail address in words; anything else unchanged."""
    if len(token) > 400 or not ("." in token or "://" in token):
        return token
    core = token.strip(".,;:!?\"'()[]<>")
    match = _HOST.fullmatch(core)
    if not match:
        return token
    before, _, after = token.partition(core)
    address = next(part for part in match.groups() if part is not None)
    address = address.removeprefix("www.").rstrip("/")
    words = "".join(_ADDRESS_SIGNS.get(c, c if c.isalnum() else " ") for c in address)
    return before + " ".join(words.split()) + after


def _plain(number: str) -> str:
    return number.replace(",", "")


def _number(number: str, language: str) -> str:
    """A whole or decimal number in words."""
    whole, point, fraction = _plain(number).partition(".")
    return numbers.decimal(whole, fraction, language, "point") if point else numbers.cardinal(whole, language)


def year(digits: str, language: str) -> str:
    """A year of four digits as it is said: nineteen oh five, two thousand seven, twenty twenty-four."""
    century, rest = int(digits[:2]), int(digits[2:])
    if digits[1:3] == "00" and int(digits) >= 1000:
        return numbers.cardinal(digits, language)
    start = numbers.cardinal(str(century), language)
    if rest == 0:
        return f"{start} hundred"
    return (
        f"{start} oh {numbers.cardinal(str(rest), language)}"
        if rest < 10
        else f"{start} {numbers.cardinal(str(rest), language)}"
    )


def _is_year(digits: str) -> bool:
    return len(digits) == 4 and digits.isdigit() and 1010 <= int(digits) <= 2099


def _year_or_number(digits: str, language: str) -> str:
    return year(digits, language) if _is_year(digits) else numbers.cardinal(digits, language)


def _plural(words: str) -> str:
    return words[:-1] + "ies" if words.endswith("y") else words + ("es" if words.endswith("x") else "s")


def _say_inside(match: re.Match[str], language: str) -> str:
    return _INSIDE[match[0].lower()]


def _say_title(match: re.Match[str], language: str) -> str:
    return _TITLES[match[1].lower()] + ("" if match.string[match.end()] == " " else " ")


def _say_street(match: re.Match[str], language: str) -> str:
    stop = "." if match[0].endswith(".") and _ends_sentence(match) else ""
    return match[1] + ("Street" if match[2] == "St" else "Drive") + stop


def _ends_sentence(match: re.Match[str]) -> bool:
    """Whether an abbreviation's full stop also ends the sentence: nothing or a new sentence follows."""
    rest = match.string[match.end() : match.end() + 3]
    return not rest.strip("\"')") or bool(re.match(r"[\"')]? [\"'(]?[A-Z]", rest))


def _opens_sentence(text: str, position: int) -> bool:
    following = re.match(r"[\"')]* ([A-Z][a-z]*)\b", text[position : position + 24])
    return bool(following and following[1] in _OPENERS)


def _say_ending(match: re.Match[str], language: str) -> str:
    """What names end with is often followed by another capital, which is no new sentence."""
    name = match[1].lower()
    end = match.end()
    if name != "etc" and match.string[end : end + 3].strip() and not _opens_sentence(match.string, end):
        return _ENDINGS[name]
    return _ENDINGS[name] + ("." if _ends_sentence(match) else "")


def _say_month(match: re.Match[str], language: str) -> str:
    return _MONTH_ABBREVIATIONS[match[1]]


def _month_name(text: str) -> str:
    text = text.rstrip(".")
    return _MONTH_ABBREVIATIONS.get(text, text)


def _say_initials(match: re.Match[str], language: str) -> str:
    letters = " ".join(c.upper() for c in match[0] if c.isalpha())
    return letters + ("." if _ends_sentence(match) else "")


def _say_month_day(match: re.Match[str], language: str) -> str:
    month, day, of_year = match.groups()
    if not 1 <= int(day) <= 31:
        return match[0]
    spoken = f"{_month_name(month)} {numbers.ordinal(day, language)}"
    return spoken + (f", {_year_or_number(of_year, language)}" if of_year else "")


def _say_day_month(match: re.Match[str], language: str) -> str:
    day, month, of_year = match.groups()
    if not 1 <= int(day) <= 31:
        return match[0]
    spoken = f"the {numbers.ordinal(day, language)} of {_month_name(month)}"
    return spoken + (f" {_year_or_number(of_year, language)}" if of_year else "")


def _date(match: re.Match[str], of_year: str, month: str, day: str, language: str) -> str:
    if not (1 <= int(month) <= 12 and 1 <= int(day) <= 31):
        return match[0]
    return f"{_MONTHS[int(month) - 1]} {numbers.ordinal(day, language)}, {_year_or_number(of_year, language)}"


def _say_iso_date(match: re.Match[str], language: str) -> str:
    return _date(match, match[1], match[2], match[3], language)


def _say_slash_date(match: re.Match[str], language: str) -> str:
    first, second, of_year = match.groups()
    if language == _UK:
        first, second = second, first
    return _date(match, of_year, first, second, language)


def _say_time(match: re.Match[str], language: str) -> str:
    hour, minute, second, half = match.groups()
    if int(hour) > 24 or int(minute) > 59:
        return match[0]
    spoken = numbers.cardinal(str(int(hour)), language)
    if minute == "00":
        spoken += "" if half else " hundred" if int(hour) > 12 or hour == "00" else " o'clock"
    elif minute[0] == "0":
        spoken += " oh " + numbers.cardinal(minute[1], language)
    else:
        spoken += " " + numbers.cardinal(minute, language)
    if second and int(second):
        spoken += f" and {numbers.cardinal(str(int(second)), language)} second{'' if second == '01' else 's'}"
    return spoken + (_half(match, half) if half else "")


def _say_hour(match: re.Match[str], language: str) -> str:
    return numbers.cardinal(str(int(match[1])), language) + _half(match, match[2])


def _half(match: re.Match[str], half: str) -> str:
    stop = "." if half.endswith(".") and _ends_sentence(match) else ""
    return f" {half[0].upper()} M{stop}"


def _say_money(match: re.Match[str], language: str) -> str:
    minus, sign, amount, up_to, magnitude, short = match.groups()
    one, many, cent, cents = _CURRENCIES[sign]
    start = "minus " if minus else ""
    magnitude = magnitude or _MAGNITUDES.get(short or "")
    if amount[-3:-2] == ",":  # cents behind a comma, as in Europe
        amount = f"{amount[:-3]}.{amount[-2:]}"
    whole, _, fraction = _plain(amount).partition(".")
    if up_to:
        both = f"{_number(amount, language)} to {_number(up_to, language)}"
        return f"{start}{both} {magnitude + ' ' if magnitude else ''}{many}"
    if magnitude or (fraction and len(fraction) != 2):
        return f"{start}{_number(amount, language)} {magnitude + ' ' if magnitude else ''}{many}"
    parts = []
    if int(whole or 0) or not int(fraction or 0):
        parts.append(f"{numbers.cardinal(whole, language)} {one if whole == '1' else many}")
    if int(fraction or 0):
        small = str(int(fraction))
        parts.append(f"{numbers.cardinal(small, language)} {cent if small == '1' else cents}")
    return start + " and ".join(parts)


def _say_cents(match: re.Match[str], language: str) -> str:
    return f"{numbers.cardinal(match[1], language)} {'cent' if match[1] == '1' else 'cents'}"


def _say_percent(match: re.Match[str], language: str) -> str:
    return f"{_number(match[1], language)} percent"


def _say_unit(match: re.Match[str], language: str) -> str:
    one, many = _UNITS[match[2]]
    return f"{_number(match[1], language)} {one if match[1] == '1' else many}"


def _say_mixed_fraction(match: re.Match[str], language: str) -> str:
    part = _FRACTIONS[match[2]]
    return f"{numbers.cardinal(match[1], language)} and {part if part.startswith('three') else 'a ' + part}"


def _say_fraction(match: re.Match[str], language: str) -> str:
    over, under = match[1], match[2]
    if (over, under) in (("24", "7"), ("9", "11")):
        return f"{numbers.cardinal(over, language)} {numbers.cardinal(under, language)}"
    top = numbers.cardinal(over, language)
    if under in ("2", "4"):
        name = {"2": ("half", "halves"), "4": ("quarter", "quarters")}[under]
        return f"{top} {name[over != '1']}"
    if 3 <= int(under) <= 20 and under[0] != "0":
        name_of_part = numbers.ordinal(under, language)
        return f"{top} {name_of_part if over == '1' else _plural(name_of_part)}"
    return f"{top} over {numbers.cardinal(under, language)}"


def _say_decade(match: re.Match[str], language: str) -> str:
    digits = match[1]
    if len(digits) == 4:
        return _plural(numbers.cardinal(digits, language) if digits[1:] == "000" else year(digits, language))
    return _plural(numbers.cardinal(digits, language))


def _say_ordinal(match: re.Match[str], language: str) -> str:
    return numbers.ordinal(_plain(match[1]), language)


def _say_range(match: re.Match[str], language: str) -> str:
    return f"{_year_or_number(match[1], language)} to {_year_or_number(match[2], language)}"


def _say_telephone(match: re.Match[str], language: str) -> str:
    return ", ".join(numbers.spelled(part, language) for part in match[0].split("-"))


def _say_version(match: re.Match[str], language: str) -> str:
    return " point ".join(numbers.cardinal(part, language) for part in match[0].split("."))


def _say_numbered(match: re.Match[str], language: str) -> str:
    return "number "


def _say_page(match: re.Match[str], language: str) -> str:
    return "page " if match[1] == "p" else "pages "


def _say_and(match: re.Match[str], language: str) -> str:
    return "and"


def _say_to(match: re.Match[str], language: str) -> str:
    return " to "


def _say_sharp(match: re.Match[str], language: str) -> str:
    return f"{match[1]} sharp"


def _say_height(match: re.Match[str], language: str) -> str:
    return f"{numbers.cardinal(match[1], language)} foot {numbers.cardinal(match[2], language)}"


def _say_hashtag(match: re.Match[str], language: str) -> str:
    return "hashtag "


def _say_minus(match: re.Match[str], language: str) -> str:
    return "minus "


def _say_number(match: re.Match[str], language: str) -> str:
    digits = match[0]
    spoken = year(digits, language) if _is_year(digits) else _number(digits, language)
    return _apart(match, spoken)


def _say_digits(match: re.Match[str], language: str) -> str:
    return _apart(match, numbers.cardinal(match[0], language))


def _apart(match: re.Match[str], spoken: str) -> str:
    """A space where the number touches a letter: MP3 -> MP three."""
    before, after = match.string[max(0, match.start() - 1) : match.start()], match.string[match.end() : match.end() + 1]
    return (" " if before.isalnum() else "") + spoken + (" " if after.isalnum() else "")


def _say_roman_part(match: re.Match[str], language: str) -> str:
    return f"{match[1]} {numbers.cardinal(str(_ROMAN[match[2]]), language).title()}"


def _say_roman_ruler(match: re.Match[str], language: str) -> str:
    return f"{match[1]} the {numbers.ordinal(str(_ROMAN[match[2]]), language).title()}"


def _say_initial(match: re.Match[str], language: str) -> str:
    """An initial of a name; after a word without a capital, or before a word that opens sentences, it is none."""
    before = match.string[max(0, match.start() - 30) : match.start()].split()
    if (before and not before[-1][:1].isupper()) or _opens_sentence(match.string, match.end()):
        return match[0]
    return match[1]


def _say_sign(match: re.Match[str], language: str) -> str:
    return f" {_SIGNS[match[0]]} "


def _say_space(match: re.Match[str], language: str) -> str:
    return " "


def _one_of(words: dict[str, str]) -> str:
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


_ROMAN_NUMERAL = "|".join(sorted(_ROMAN, key=len, reverse=True))
_PARTS = "Chapter|Part|Volume|Book|Act|Scene|War|Section|Phase|Type|Article|Title|Appendix|Figure|Level|Stage|Class"
_RULERS = (
    "Henry|Louis|Charles|George|Edward|Richard|William|James|Elizabeth|Mary|Philip|Napoleon|Pius|Benedict|Leo|Paul|John"
    "|Frederick|Ferdinand|Alexander|Nicholas|Peter|Catherine|Francis|Joseph|Gustav|Innocent|Gregory|Clement|Ramesses"
)


def _rule(pattern: str, speak: Callable[[re.Match[str], str], str], flags: int = 0) -> Rule:
    return re.compile(pattern, flags), speak


_RULES: tuple[Rule, ...] = (
    # abbreviations
    _rule(rf"(?<![\w.])(?:{_one_of(_INSIDE)})(?!\w)", _say_inside, re.IGNORECASE),
    _rule(r"(?<!\w)(\d{1,5} [A-Z][a-z]{1,20} )(St|Dr)\b\.?(?! [A-Z][a-z]+ [A-Z])", _say_street),
    _rule(r"(?<![\w.'])(Mr|Mrs|Ms|Dr|Prof|St)(?:\.(?=\s?[A-Z\[])|(?= [A-Z]))", _say_title),
    _rule(rf"(?<![\w.'])({_one_of(_TITLES).title()})\.(?= [A-Z])", _say_title),
    _rule(r"\b([A-Z][\w']{0,30} )(St|Dr)\.(?= [a-z]|[,;]|$)", _say_street),
    _rule(rf"(?<![\w.'])({_one_of(_ENDINGS)})\.(?![\w.])", _say_ending, re.IGNORECASE),
    _rule(r"(?<![\w.'])[Nn]o\. ?(?=\d)", _say_numbered),
    _rule(r"(?<![\w.'])(pp?)\. ?(?=\d)", _say_page),
    _rule(r"(?<=\w )'n'(?= \w)", _say_and),
    _rule(rf"(?<![\w.'])({_one_of(_MONTH_ABBREVIATIONS)})\.(?= ?\d)", _say_month),
    # times before initialisms, whose dots they share
    _rule(r"(?<![\w.,:])(\d{1,2}):(\d{2})(?::(\d{2}))?(?![\d:])(?:\s?([AaPp]\.[Mm]\.|[AaPp][Mm]\b))?", _say_time),
    _rule(r"(?<![\w.,:])(\d{1,2})\s?([AaPp]\.[Mm]\.|[AaPp][Mm]\b)", _say_hour),
    _rule(r"(?<![\w.])(?:[A-Za-z]\.){2,8}(?!\w)", _say_initials),
    _rule(r"(?<![\w.'])([A-HJ-Z])\.(?= (?:[A-Z]\. ?){0,3}[A-Z][a-z])", _say_initial),
    _rule(rf"\b({_PARTS}) ({_ROMAN_NUMERAL})\b(?!\.\w)", _say_roman_part),
    _rule(rf"\b({_RULERS}) (?!I\b)({_ROMAN_NUMERAL})\b(?!\.\w)", _say_roman_ruler),
    # dates
    _rule(r"(?<![\w./-])(\d{4})[-/](\d{1,2})[-/](\d{1,2})(?![\w/-])", _say_iso_date),
    _rule(r"(?<![\w./-])(\d{1,2})/(\d{1,2})/(\d{4})(?![\w/-])", _say_slash_date),
    _rule(rf"\b({_MONTH}) (\d{{1,2}})(?:st|nd|rd|th)?(?![\w:]|[.,]\d)(?:,? (\d{{4}})(?!\w|[.,]\d))?", _say_month_day),
    _rule(
        rf"(?<![\w.,/:-])(?:[Tt]he )?(\d{{1,2}})(?:st|nd|rd|th)?(?: of)? ({_MONTH})(?![a-z])"
        r"(?:,? (\d{4})(?!\w|[.,]\d))?",
        _say_day_month,
    ),
    # amounts
    _rule(
        rf"(?<![\w.,])(-?)([{''.join(_CURRENCIES)}])\s?(\d{{1,15}},\d\d(?![\d,])|{_NUMBER})"
        rf"(?:[–-]({_NUMBER}))?(?:{_MAGNITUDE})?",
        _say_money,
    ),
    _rule(rf"{_START}(\d{{1,15}}) ?¢", _say_cents),
    _rule(r"(?<=\d%) ?[–-] ?(?=\d)", _say_to),
    _rule(rf"{_START}({_NUMBER}) ?%", _say_percent),
    _rule(r"(?<![\w./,-])(?:(?:\d{3}-)?\d{3}-\d{4}|\d{1,12}(?:-\d{1,12}){2,8})(?![\w-])", _say_telephone),
    _rule(r"(?<!\w)(\d)' ?(\d{1,2})(?:\"|(?!\w))", _say_height),
    _rule(r"(?<=\d):(?=\d)", _say_to),
    _rule(rf"{_START}(\d{{1,4}}) ?[–-] ?(\d{{1,4}})(?![\w-]|[.,]\d)", _say_range),
    _rule(rf"{_START}(\d{{1,6}}) ?([½¼¾])", _say_mixed_fraction),
    _rule(r"(?<![\w.,/])(\d{1,4})/(\d{1,4})(?![\w/]|[.,]\d)", _say_fraction),
    _rule(r"(?<!\w)'?(\d{1,3}0)'?s\b", _say_decade),
    _rule(r"(?<![\w.])(\d{1,3}(?:,\d{3}){1,5}|\d{1,15})(?:st|nd|rd|th)\b", _say_ordinal, re.IGNORECASE),
    _rule(r"(?:(?<=^)|(?<=[\s(\"]))-(?=\.?\d)", _say_minus),
    _rule(rf"{_START}({_NUMBER}) ?({_UNIT})(?![\w²³/'])", _say_unit),
    _rule(r"\b([CF])#(?!\w)", _say_sharp),
    _rule(r"#(?=\d)", _say_numbered),
    _rule(r"#(?=[A-Za-z])", _say_hashtag),
    _rule(r"(?<![\w.,])\d{1,6}(?:\.\d{1,6}){2,6}(?![\w.]\w)", _say_version),
    # letters-digits: covid-19, B2B
    _rule(r"(?<=[A-Za-z])-(?=\d)", _say_space),
    _rule(rf"(?<![\d.,]){_NUMBER}", _say_number),
    _rule(r"\d+", _say_digits),
    _rule(f"[{re.escape(''.join(_SIGNS))}]", _say_sign),
)
