"""German and Dutch: numbers, the commonest abbreviations, units and signs as words."""

import re
from functools import lru_cache

from moksori.text import numbers

_WORDS = {
    "de": {
        "point": "Komma", "%": "Prozent", "€": "Euro", "$": "Dollar", "£": "Pfund", "&": "und", "§": "Paragraf",
        "+": "plus",
        "=": "gleich", "°C": "Grad Celsius", "°": "Grad", "km/h": "Kilometer pro Stunde", "km": "Kilometer",
        "cm": "Zentimeter",
        "mm": "Millimeter", "m": "Meter", "kg": "Kilogramm", "g": "Gramm", "l": "Liter", "hour": "Uhr",
        "minus": "minus",
        "m²": "Quadratmeter", "km²": "Quadratkilometer", "Mio.": "Millionen", "Mrd.": "Milliarden", "to": "bis",
    },
    "nl": {
        "point": "komma", "%": "procent", "€": "euro", "$": "dollar", "£": "pond", "&": "en", "§": "paragraaf",
        "+": "plus",
        "=": "is", "°C": "graden Celsius", "°": "graden", "km/u": "kilometer per uur", "km": "kilometer",
        "cm": "centimeter",
        "mm": "millimeter", "m": "meter", "kg": "kilogram", "g": "gram", "l": "liter", "hour": "uur", "minus": "min",
        "m²": "vierkante meter", "km²": "vierkante kilometer", "mln.": "miljoen", "mld.": "miljard", "to": "tot",
    },
}  # fmt: skip
_UNITS = ("km/h", "km/u", "km²", "m²", "°C", "°", "km", "cm", "mm", "kg", "m", "g", "l", "Mio.", "Mrd.", "mln.", "mld.")
_ABBREVIATIONS = {
    "de": {
        "z. B.": "zum Beispiel", "z.B.": "zum Beispiel", "d. h.": "das heißt", "d.h.": "das heißt",
        "u. a.": "unter anderem",
        "u.a.": "unter anderem", "usw.": "und so weiter", "bzw.": "beziehungsweise", "ca.": "circa", "Dr.": "Doktor",
        "Prof.": "Professor", "Nr.": "Nummer", "Str.": "Straße", "St.": "Sankt", "Hr.": "Herr", "Fr.": "Frau",
        "evtl.": "eventuell", "vgl.": "vergleiche", "etc.": "et cetera", "n. Chr.": "nach Christus",
        "v. Chr.": "vor Christus",
        "Jh.": "Jahrhundert", "inkl.": "inklusive", "max.": "maximal", "min.": "minimal",
    },
    "nl": {
        "dhr.": "de heer", "mevr.": "mevrouw", "mw.": "mevrouw", "bijv.": "bijvoorbeeld", "bv.": "bijvoorbeeld",
        "d.w.z.": "dat wil zeggen", "enz.": "enzovoort", "nr.": "nummer", "dr.": "dokter", "prof.": "professor",
        "ca.": "circa", "o.a.": "onder andere", "m.a.w.": "met andere woorden", "a.u.b.": "alstublieft",
        "etc.": "et cetera",
        "St.": "Sint", "ing.": "ingenieur", "ir.": "ingenieur", "n.v.t.": "niet van toepassing", "max.": "maximaal",
    },
}  # fmt: skip
_MONTHS = {
    "de": "Januar|Februar|März|April|Mai|Juni|Juli|August|September|Oktober|November|Dezember",
    "nl": "januari|februari|maart|april|mei|juni|juli|augustus|september|oktober|november|december",
}
_NUMBER = r"(?:\d{1,3}(?:\.\d{3}){1,4}(?!\d)|\d{1,15}(?!\d))(?:,\d{1,15}(?!\d))?"
_START = r"(?<![\w.,])"
_GERMAN_DATE = re.compile(rf"(?<!\w)(?:(am|vom|zum|dem|den|im|beim|seit dem) )?(\d{{1,2}})\. (?=(?:{_MONTHS['de']})\b)")
_DUTCH_ORDINAL = re.compile(r"(?<![\w.,])(\d{1,6})(?:e|de|ste)\b")
_TIME = re.compile(r"(?<![\w.,:])(\d{1,2})[:.](\d{2})(?: (?:Uhr|uur)\b)", re.IGNORECASE)
_COLON_TIME = re.compile(r"(?<![\w.,:])(\d{1,2}):(\d{2})(?![\d:])")
_MONEY = re.compile(rf"(?<![\w.,])([€$£]) ?({_NUMBER})")
_MONEY_AFTER = re.compile(rf"{_START}({_NUMBER}) ?([€$£])")
_PERCENT = re.compile(rf"{_START}({_NUMBER}) ?%")
_UNIT = re.compile(rf"{_START}({_NUMBER}) ?({'|'.join(map(re.escape, _UNITS))})(?![\w²])")
_RANGE = re.compile(rf"{_START}(\d{{1,4}}) ?[–-] ?(\d{{1,4}})(?![\w-]|[.,]\d)")
# behind a number it is a range, inside a word a hyphen
_SIGNED = re.compile(r"(?:(?<=^)|(?<=[\s(\"=:;]))(?<![\d%€$£] )-(?=[€$£]? ?\d)")
_SIGN_BEFORE_MINUS = re.compile(r"(?<![\w.,-])(?<!\d )([€$£])-(?=\d)")
_MINUS = re.compile(r"(?:(?<=^)|(?<=\s))-(?=\d)")
_NUMBERS = re.compile(rf"(?<![\d.,]){_NUMBER}")
_DIGITS = re.compile(r"\d+")
_SIGN = re.compile(r"[&%€$£§+=°]")


def expand_european(text: str, language: str) -> str:
    """Text with numbers, signs and abbreviations as words. language: "de" or "nl"; expects clean Unicode."""
    words = _WORDS[language]
    abbreviations = _ABBREVIATIONS[language]
    text = _abbreviation(language).sub(lambda m: abbreviations[m[0]], text)
    text = _TIME.sub(lambda m: _clock(m, language), text)
    text = _COLON_TIME.sub(lambda m: _clock(m, language), text)
    if language == "de":
        text = _GERMAN_DATE.sub(_german_day, text)
    else:
        text = _DUTCH_ORDINAL.sub(lambda m: numbers.ordinal(m[1], language), text)
    text = _SIGNED.sub(words["minus"] + " ", _SIGN_BEFORE_MINUS.sub(r"-\1", text))
    text = _MONEY.sub(lambda m: _amount(m[2], m[1], language), text)
    text = _MONEY_AFTER.sub(lambda m: _amount(m[1], m[2], language), text)
    text = _PERCENT.sub(lambda m: f"{_number(m[1], language)} {words['%']}", text)
    text = _UNIT.sub(lambda m: f"{_number(m[1], language)} {words.get(m[2], m[2])}", text)
    text = _RANGE.sub(lambda m: f"{_number(m[1], language)} {words['to']} {_number(m[2], language)}", text)
    text = _MINUS.sub(words["minus"] + " ", text)
    text = _NUMBERS.sub(lambda m: _apart(m, _number(m[0], language)), text)
    text = _DIGITS.sub(lambda m: _apart(m, numbers.cardinal(m[0], language)), text)
    return _SIGN.sub(lambda m: f" {words[m[0]]} ", text)


@lru_cache(maxsize=4)
def _abbreviation(language: str) -> re.Pattern[str]:
    known = sorted(_ABBREVIATIONS[language], key=len, reverse=True)
    return re.compile(rf"(?<![\w.])(?:{'|'.join(map(re.escape, known))})(?!\w)")


def _number(text: str, language: str) -> str:
    whole, comma, fraction = text.replace(".", "").partition(",")
    if comma:
        return numbers.decimal(whole, fraction, language, _WORDS[language]["point"])
    if len(text) == 4 and 1100 <= int(text) <= 1999:
        from num2words import num2words

        return str(num2words(int(text), lang=language, to="year"))
    return numbers.cardinal(whole, language)


def _amount(number: str, sign: str, language: str) -> str:
    whole, comma, fraction = number.partition(",")
    name = _WORDS[language][sign]
    if comma and len(fraction) == 2:
        cents = f" {numbers.cardinal(str(int(fraction)), language)}" if int(fraction) else ""
        return f"{_one(_number(whole, language))} {name}{cents}"
    return f"{_one(_number(number, language))} {name}"


def _one(words: str) -> str:
    """German counts "eins" but says "ein Euro"."""
    return "ein" if words == "eins" else words


def _german_day(match: re.Match[str]) -> str:
    before, day = match.groups()
    words = numbers.ordinal(day, "de")
    return f"{before} {words}n " if before else f"{words} "


def _clock(match: re.Match[str], language: str) -> str:
    hour, minute = int(match[1]), int(match[2])
    if hour > 24 or minute > 59:
        return match[0]
    spoken = f"{_one(numbers.cardinal(str(hour), language))} {_WORDS[language]['hour']}"
    return spoken + (f" {numbers.cardinal(str(minute), language)}" if minute else "")


def _apart(match: re.Match[str], spoken: str) -> str:
    before, after = match.string[max(0, match.start() - 1) : match.start()], match.string[match.end() : match.end() + 1]
    return (" " if before.isalpha() else "") + spoken + (" " if after.isalpha() else "")
