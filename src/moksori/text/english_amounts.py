"""English money and measures as words.

Units of the SI by the names of the SI brochure (9th edition, tables 2 to 8), customary ones by NIST SP 811.
"""

import re

from moksori.text import numbers
from moksori.text.english_numbers import fraction, mixed
from moksori.text.english_rules import (
    DASH,
    NUMBER,
    START,
    Rule,
    ends_sentence,
    is_adjective,
    number,
    one_of,
    plain,
    rule,
)

_CURRENCIES = {
    "$": ("dollar", "dollars", "cent", "cents"), "€": ("euro", "euros", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"), "¥": ("yen", "yen", "sen", "sen"), "₩": ("won", "won", "jeon", "jeon"),
    "₹": ("rupee", "rupees", "paisa", "paise"),
}  # fmt: skip
_DOLLARS = {
    "US": "US", "C": "Canadian", "CA": "Canadian", "A": "Australian", "AU": "Australian", "NZ": "New Zealand",
    "HK": "Hong Kong", "S": "Singapore",
}  # fmt: skip
_CODES = {
    "USD": ("US dollar", "US dollars"), "EUR": ("euro", "euros"), "GBP": ("pound", "pounds"), "JPY": ("yen", "yen"),
    "CAD": ("Canadian dollar", "Canadian dollars"), "AUD": ("Australian dollar", "Australian dollars"),
    "CHF": ("Swiss franc", "Swiss francs"), "INR": ("rupee", "rupees"), "CNY": ("yuan", "yuan"),
    "KRW": ("won", "won"), "SEK": ("Swedish krona", "Swedish kronor"), "MXN": ("Mexican peso", "Mexican pesos"),
}  # fmt: skip
_MAGNITUDES = {"k": "thousand", "K": "thousand", "M": "million", "m": "million", "B": "billion", "bn": "billion"}
_MAGNITUDE = r"(?:\s?(thousand|million|billion|trillion)\b|(bn|[kKmMB])\b)"

_UNITS = {
    "mph": ("mile per hour", "miles per hour"), "kmh": ("kilometer per hour", "kilometers per hour"),
    "km": ("kilometer", "kilometers"), "cm": ("centimeter", "centimeters"), "mm": ("millimeter", "millimeters"),
    "m": ("meter", "meters"), "nm": ("nanometer", "nanometers"), "ft": ("foot", "feet"), "yd": ("yard", "yards"),
    "mi": ("mile", "miles"), "kg": ("kilogram", "kilograms"), "mg": ("milligram", "milligrams"), "g": ("gram", "grams"),
    "μm": ("micrometer", "micrometers"), "μg": ("microgram", "micrograms"), "mcg": ("microgram", "micrograms"),
    "lb": ("pound", "pounds"), "lbs": ("pound", "pounds"), "oz": ("ounce", "ounces"),
    "fl oz": ("fluid ounce", "fluid ounces"), "gal": ("gallon", "gallons"), "qt": ("quart", "quarts"),
    "tbsp": ("tablespoon", "tablespoons"), "tsp": ("teaspoon", "teaspoons"),
    "ml": ("milliliter", "milliliters"), "mL": ("milliliter", "milliliters"), "cl": ("centiliter", "centiliters"),
    "dL": ("deciliter", "deciliters"), "L": ("liter", "liters"), "l": ("liter", "liters"),
    "ha": ("hectare", "hectares"),
    "kHz": ("kilohertz", "kilohertz"), "Hz": ("hertz", "hertz"),
    "MHz": ("megahertz", "megahertz"), "GHz": ("gigahertz", "gigahertz"), "KB": ("kilobyte", "kilobytes"),
    "kB": ("kilobyte", "kilobytes"), "MB": ("megabyte", "megabytes"), "GB": ("gigabyte", "gigabytes"),
    "TB": ("terabyte", "terabytes"), "kbps": ("kilobit per second", "kilobits per second"),
    "Mbps": ("megabit per second", "megabits per second"), "Gbps": ("gigabit per second", "gigabits per second"),
    "fps": ("frame per second", "frames per second"), "dpi": ("dot per inch", "dots per inch"),
    "rpm": ("revolution per minute", "revolutions per minute"), "bpm": ("beat per minute", "beats per minute"),
    "ms": ("millisecond", "milliseconds"), "μs": ("microsecond", "microseconds"), "ns": ("nanosecond", "nanoseconds"),
    "min": ("minute", "minutes"), "mins": ("minute", "minutes"), "hr": ("hour", "hours"), "hrs": ("hour", "hours"),
    "sec": ("second", "seconds"), "secs": ("second", "seconds"), "mW": ("milliwatt", "milliwatts"),
    "kW": ("kilowatt", "kilowatts"), "MW": ("megawatt", "megawatts"), "GW": ("gigawatt", "gigawatts"),
    "kWh": ("kilowatt hour", "kilowatt hours"), "mAh": ("milliampere hour", "milliampere hours"),
    "W": ("watt", "watts"),
    "kV": ("kilovolt", "kilovolts"), "mV": ("millivolt", "millivolts"), "V": ("volt", "volts"),
    "mA": ("milliampere", "milliamperes"), "Ω": ("ohm", "ohms"), "kΩ": ("kiloohm", "kiloohms"),
    "Pa": ("pascal", "pascals"), "hPa": ("hectopascal", "hectopascals"), "kPa": ("kilopascal", "kilopascals"),
    "MPa": ("megapascal", "megapascals"), "psi": ("pound per square inch", "pounds per square inch"),
    "kJ": ("kilojoule", "kilojoules"), "MJ": ("megajoule", "megajoules"), "kcal": ("kilocalorie", "kilocalories"),
    "mol": ("mole", "moles"), "dB": ("decibel", "decibels"),
    "°C": ("degree Celsius", "degrees Celsius"), "°F": ("degree Fahrenheit", "degrees Fahrenheit"),
    "°": ("degree", "degrees"),
}  # fmt: skip
_LENGTHS = {"m", "km", "cm", "mm", "μm", "nm", "ft", "yd", "mi"}
_SINGLE_LETTERS = {
    "K": ("kelvin", "kelvins"), "A": ("ampere", "amperes"), "h": ("hour", "hours"), "s": ("second", "seconds"),
}  # fmt: skip
"""Units only where a value is complete: "300 K.", but not "2 A grades"."""
_PER = {
    "s": "second", "h": "hour", "d": "day", "day": "day", "week": "week", "wk": "week", "month": "month", "mo": "month",
    "year": "year", "yr": "year", "hour": "hour", "minute": "minute", "person": "person", "night": "night",
    "unit": "unit", "mile": "mile", "gallon": "gallon", "pound": "pound",
}  # fmt: skip
_UNIT = one_of(_UNITS)
_LENGTH = "|".join(sorted(_LENGTHS, key=len, reverse=True))
_POWERED = rf"(?:{_UNIT})(?:[²³]|(?<=m)[23](?=[/\s.,;:!?)]|$))?"
_DENOMINATOR = rf"(?:(?:{_UNIT}|{one_of(_PER)})[²³]?)"
_SIGNS = re.escape("".join(_CURRENCIES))


def _named(unit: str) -> tuple[str, str]:
    """A unit with its power, for one and for many: "m²" -> square meter, square meters."""
    power = {"²": 2, "³": 3, "2": 2, "3": 3}.get(unit[-1], 1)
    symbol = unit[:-1] if power > 1 else unit
    one, many = _UNITS.get(symbol) or (_PER[symbol], _PER[symbol] + "s")
    if power == 1:
        return one, many
    if symbol in _LENGTHS:
        name = {2: "square", 3: "cubic"}[power]
        return f"{name} {one}", f"{name} {many}"
    name = {2: "squared", 3: "cubed"}[power]
    return f"{one} {name}", f"{many} {name}"


def _say_money(match: re.Match[str], language: str) -> str:
    minus, country, sign, amount, up_to, magnitude, short, per = match.groups()
    one, many, cent, cents = _CURRENCIES[sign]
    if country:
        one, many = f"{_DOLLARS[country]} {one}", f"{_DOLLARS[country]} {many}"
    many = one if is_adjective(match) else many
    start = "minus " if minus else ""
    end = f" per {_named(per)[0]}" if per else ""
    magnitude = magnitude or _MAGNITUDES.get(short or "")
    if amount[-3:-2] == ",":  # cents behind a comma, as in Europe
        amount = f"{amount[:-3]}.{amount[-2:]}"
    whole, _, fraction = plain(amount).partition(".")
    if up_to:
        both = f"{number(amount, language)} to {number(up_to, language)}"
        return f"{start}{both} {magnitude + ' ' if magnitude else ''}{many}{end}"
    if magnitude or (fraction and len(fraction) != 2):
        return f"{start}{number(amount, language)} {magnitude + ' ' if magnitude else ''}{many}{end}"
    parts = []
    if int(whole or 0) or not int(fraction or 0):
        parts.append(f"{numbers.cardinal(whole, language)} {one if whole == '1' else many}")
    if int(fraction or 0):
        small = str(int(fraction))
        parts.append(f"{numbers.cardinal(small, language)} {cent if small == '1' else cents}")
    return start + " and ".join(parts) + end


def _say_code(match: re.Match[str], language: str) -> str:
    amount, code = (match[1], match[2]) if match[1] else (match[4], match[3])
    one, many = _CODES[code]
    return f"{number(amount, language)} {one if amount == '1' else many}"


def _say_cents(match: re.Match[str], language: str) -> str:
    single = match[1] == "1" or is_adjective(match)
    return f"{numbers.cardinal(match[1], language)} {'cent' if single else 'cents'}"


def _say_percent(match: re.Match[str], language: str) -> str:
    return f"{number(match[1], language)} percent"


def _say_unit(match: re.Match[str], language: str) -> str:
    minus, first, up_to, unit, per = match.groups()
    one, many = _named(unit)
    spoken = ("minus " if minus else "") + number(first, language)
    if up_to:
        spoken += f" to {number(up_to, language)}"
    single = (first == "1" and not up_to) or is_adjective(match)
    return f"{spoken} {one if single else many}" + (f" per {_named(per)[0]}" if per else "")


def _say_single_letter(match: re.Match[str], language: str) -> str:
    one, many = _SINGLE_LETTERS[match[2]]
    return f"{number(match[1], language)} {one if match[1] == '1' else many}"


def _say_inches(match: re.Match[str], language: str) -> str:
    stop = "." if match[2] and ends_sentence(match) else ""
    return f"{number(match[1], language)} {'inch' if match[1] == '1' else 'inches'}{stop}"


def _say_fraction_of_unit(match: re.Match[str], language: str) -> str:
    """ "1/2 lb" -> one half pound; "3/4 mi" -> three quarters of a mile; "3 1/2 ft" -> three and a half feet."""
    whole, over, under, unit = match.groups()
    if int(over) >= int(under) or int(over) == 0:
        return match[0]
    one, many = _named(unit)
    if whole:
        return f"{mixed(whole, over, under, language)} {one if is_adjective(match) else many}"
    part = fraction(over, under, language)
    return f"{part} {one}" if over == "1" else f"{part} of {'an' if one[0] in 'aeiou' else 'a'} {one}"


def _say_size(match: re.Match[str], language: str) -> str:
    one, many = _UNITS["ft"] if match[2] == "'" else ("inch", "inches")
    return f"{number(match[1], language)} {one if match[1] == '1' else many}"


def _say_height(match: re.Match[str], language: str) -> str:
    return f"{numbers.cardinal(match[1], language)} foot {numbers.cardinal(match[2], language)}"


MONEY: tuple[Rule, ...] = (
    rule(rf"(?<=\d){DASH}(?=[{_SIGNS}]\d)", " to "),
    # a minus behind the sign of the currency goes before it; "5 $-10" is a range
    rule(rf"(?<![\w.,-])(?<!\d )((?:{one_of(_DOLLARS)})?[{_SIGNS}])-(?=\.?\d)", lambda match, _: f"-{match[1]}"),
    rule(
        rf"(?<![\w.,])(-?)(?:({one_of(_DOLLARS)})(?=\$))?([{_SIGNS}])\s?(\d{{1,15}},\d\d(?![\d,])|{NUMBER})"
        rf"(?:[–-]({NUMBER}))?(?:{_MAGNITUDE})?(?:/({_DENOMINATOR})\b)?",
        _say_money,
    ),
    rule(rf"(?<=\d%){DASH}(?=\d)|(?<=\d%) ?– ?(?=-\d)|(?<=\d){DASH}(?=\d{{1,3}}(?:\.\d{{1,6}})? ?%)", " to "),
    # what the rules below say without a sign; behind a number it is a range, inside a word a hyphen
    rule(
        rf"(?:(?<=^)|(?<=[\s(\"=:;,]))(?<![\d%] )-(?={NUMBER} ?(?:[%¢½¼¾]|(?:{one_of(_CODES)})\b)|[½¼¾]"
        rf"|(?:{one_of(_CODES)}) ?\d|{NUMBER} [{''.join(_SINGLE_LETTERS)}](?=$|[.,;:!?)])"
        r"|(?:\d{1,3} )?\d{1,4}/\d{1,4}(?![\w/]|[.,]\d))",
        "minus ",
    ),
    rule(rf"{START}(?:({NUMBER}) ?({one_of(_CODES)})|({one_of(_CODES)}) ?({NUMBER}))\b", _say_code),
    rule(rf"{START}(\d{{1,15}}) ?¢", _say_cents),
    rule(rf"{START}({NUMBER}) ?%", _say_percent),
)

MEASURES: tuple[Rule, ...] = (
    rule(r"(?<!\w)(\d)' ?(\d{1,2})(?:\"|(?!\w))", _say_height),
    rule(r"(?<!\w)(\d{1,4})(['\"])(?= (?:tall|long|high|wide|deep|thick|screen)\b)", _say_size),
    rule(rf"(?<![\w.,/])(?:(\d{{1,3}}) )?(\d{{1,3}})/(\d{{1,3}}) ?({_UNIT})(?![\w²³/'])", _say_fraction_of_unit),
    rule(rf"(?<=[\dmtn]) [x×] (?=\d{{1,6}}(?:\.\d{{1,6}})? ?(?:{_LENGTH}|in)\b)", " by "),
    rule(
        rf"(?<![\w.,/])(-?)({NUMBER})(?:{DASH}({NUMBER}))? ?({_POWERED})(?:/({_DENOMINATOR}))?(?![\w²³/'])"
        r"(?:\.(?=,| [a-z\d]))?",
        _say_unit,
    ),
    rule(rf"(?<=(?:foot|feet) )({NUMBER}) in(\.?)(?!\w)", _say_inches),
    rule(rf"{START}({NUMBER}) ?in(\.)(?!\w)", _say_inches),
    rule(
        rf"{START}({NUMBER}) ([{''.join(_SINGLE_LETTERS)}])(?=$|[.,;:!?)]| (?:and|or|to|at|is|of)\b)",
        _say_single_letter,
    ),
)
