"""English abbreviations, initials and Roman numerals as words."""

import re

from moksori.text import numbers
from moksori.text.english_dates import MONTH_ABBREVIATIONS
from moksori.text.english_rules import Rule, ends_sentence, one_of, opens_sentence, rule

_TITLES = {
    "mr": "Mister", "mrs": "Missus", "ms": "Miz", "dr": "Doctor", "st": "Saint", "prof": "Professor", "rev": "Reverend",
    "gen": "General", "col": "Colonel", "capt": "Captain", "lt": "Lieutenant", "sgt": "Sergeant", "maj": "Major",
    "hon": "Honorable", "gov": "Governor", "sen": "Senator", "rep": "Representative", "pres": "President",
    "mt": "Mount", "ft": "Fort", "drs": "Doctors", "cmdr": "Commander", "adm": "Admiral", "fr": "Father",
    "messrs": "Messieurs", "mme": "Madame", "mlle": "Mademoiselle",
}  # fmt: skip
_ENDINGS = {
    "etc": "et cetera", "jr": "Junior", "sr": "Senior", "inc": "Incorporated", "ltd": "Limited", "co": "Company",
    "corp": "Corporation", "esq": "Esquire", "ave": "Avenue", "blvd": "Boulevard", "rd": "Road", "hwy": "Highway",
    "dept": "Department", "univ": "University", "bros": "Brothers",
}  # fmt: skip
_INSIDE = {
    "e.g.": "for example", "i.e.": "that is", "vs.": "versus", "approx.": "approximately", "cf.": "compare",
    "viz.": "namely", "al.": "alii", "p.s.": "P S", "ph.d.": "P H D", "misc.": "miscellaneous", "govt.": "government",
}  # fmt: skip
_BEFORE_NUMBERS = {
    "no": "number", "nos": "numbers", "fig": "figure", "figs": "figures", "vol": "volume", "vols": "volumes",
    "ch": "chapter", "sec": "section", "eq": "equation", "apt": "apartment", "bldg": "building", "rte": "route",
    "p": "page", "pp": "pages", "est": "established", "max": "maximum", "min": "minimum",
    "tel": "telephone",
}  # fmt: skip
_UNMARKED = {"w/o": "without", "w/": "with", "and/or": "and or", "vs": "versus"}

_ROMAN_SHAPE = re.compile(r"(C{0,3})(XC|XL|L?X{0,3})(IX|IV|V?I{0,3})")
_ROMAN_VALUES = {"C": 100, "XC": 90, "XL": 40, "L": 50, "X": 10, "IX": 9, "IV": 4, "V": 5, "I": 1}
_ROMAN_PARTS = re.compile("XC|XL|IX|IV|[CLXVI]")
_SMALL_ROMAN = "XX|XIX|XVIII|XVII|XVI|XV|XIV|XIII|XII|XI|X|IX|VIII|VII|VI|V|IV|III|II|I"
_SEVERAL_LETTERS = "XX|XIX|XVIII|XVII|XVI|XV|XIV|XIII|XII|XI|IX|VIII|VII|VI|IV|III|II"
_PARTS = "Chapter|Part|Volume|Book|Act|Scene|War|Section|Phase|Type|Article|Title|Appendix|Figure|Level|Stage|Class"
_RULERS = (
    "Henry|Louis|Charles|George|Edward|Richard|William|James|Elizabeth|Mary|Philip|Napoleon|Pius|Benedict|Leo|Paul|John"
    "|Frederick|Ferdinand|Alexander|Nicholas|Peter|Catherine|Francis|Joseph|Gustav|Innocent|Gregory|Clement|Ramesses"
)
_GIVEN = f"{_RULERS}|Robert|Thomas|David|Daniel|Samuel|Michael|Walter|Harry|Frank|Arthur|Andrew|Martin|Hank|Davis|Sammy"
_CROWNED = "King|Queen|Pope|Emperor|Empress|Tsar|Czar|Kaiser|Prince|Princess|Sultan"


def roman_value(numeral: str) -> int | None:
    """The value of a Roman numeral from 1 to 399 in capitals; None where it is none."""
    if not numeral or not _ROMAN_SHAPE.fullmatch(numeral):
        return None
    return sum(_ROMAN_VALUES[part] for part in _ROMAN_PARTS.findall(numeral))


def _say_inside(match: re.Match[str], language: str) -> str:
    return _INSIDE[match[0].lower()]


def _say_unmarked(match: re.Match[str], language: str) -> str:
    return _UNMARKED[match[0]]


def _say_before_number(match: re.Match[str], language: str) -> str:
    words = _BEFORE_NUMBERS[match[1].lower()]
    # "No. 5" was always said in small letters, others keep their capital
    return (words.capitalize() if match[1][0].isupper() and match[1].lower() not in ("no", "nos") else words) + " "


def _say_title(match: re.Match[str], language: str) -> str:
    return _TITLES[match[1].lower()] + ("" if match.string[match.end()] == " " else " ")


def _say_street(match: re.Match[str], language: str) -> str:
    stop = "." if match[0].endswith(".") and ends_sentence(match) else ""
    return match[1] + ("Street" if match[2] == "St" else "Drive") + stop


def _say_ending(match: re.Match[str], language: str) -> str:
    """What names end with is often followed by another capital, which is no new sentence."""
    name = match[1].lower()
    end = match.end()
    if name != "etc" and match.string[end : end + 3].strip() and not opens_sentence(match.string, end):
        return _ENDINGS[name]
    return _ENDINGS[name] + ("." if ends_sentence(match) else "")


def _say_month(match: re.Match[str], language: str) -> str:
    return MONTH_ABBREVIATIONS[match[1]]


def _say_initials(match: re.Match[str], language: str) -> str:
    letters = " ".join(c.upper() for c in match[0] if c.isalpha())
    return letters + ("." if ends_sentence(match) else "")


def _say_initial(match: re.Match[str], language: str) -> str:
    """An initial of a name; after a word without a capital, or before a word that opens sentences, it is none."""
    before = match.string[max(0, match.start() - 30) : match.start()].split()
    if (before and not before[-1][:1].isupper()) or opens_sentence(match.string, match.end()):
        return match[0]
    return match[1]


def _say_part(match: re.Match[str], language: str) -> str:
    value = roman_value(match[2])
    return match[0] if value is None else f"{match[1]} {numbers.cardinal(str(value), language).title()}"


def _say_ruler(match: re.Match[str], language: str) -> str:
    value = roman_value(match[2])
    return match[0] if value is None else f"{match[1]} the {numbers.ordinal(str(value), language).title()}"


def _say_sequel(match: re.Match[str], language: str) -> str:
    """ "Rocky IV"; a word that only opens the sentence names nothing ("The IV drip")."""
    return match[0] if opens_sentence(" " + match[1], 0) else _say_part(match, language)


def _say_century(match: re.Match[str], language: str) -> str:
    value = roman_value(match[1])
    return match[0] if value is None else numbers.ordinal(str(value), language) + match[2]


def _say_small_page(match: re.Match[str], language: str) -> str:
    value = roman_value(match[2].upper())
    return match[0] if value is None else match[1] + numbers.cardinal(str(value), language)


ABBREVIATIONS: tuple[Rule, ...] = (
    rule(rf"(?<![\w.])(?:{one_of(_INSIDE)})(?!\w)", _say_inside, re.IGNORECASE),
    rule(r"(?<![\w./])(?:w/o?(?= \w)|and/or\b)|(?<=\w )vs(?= \w)", _say_unmarked),
    rule(r"(?<!\w)(\d{1,5} [A-Z][a-z]{1,20} )(St|Dr)\b\.?(?! [A-Z][a-z]+ [A-Z])", _say_street),
    rule(r"(?<![\w.'])(Mr|Mrs|Ms|Dr|Prof|St)(?:\.(?=\s?[A-Z\[])|(?= [A-Z]))", _say_title),
    rule(rf"(?<![\w.'])({one_of(_TITLES).title()})\.(?= (?:(?:and|or|&) )?[A-Z])", _say_title),
    rule(r"\b([A-Z][\w']{0,30} )(St|Dr)\.(?= [a-z]|[,;]|$)", _say_street),
    rule(rf"(?<![\w.'])({one_of(_ENDINGS)})\.(?![\w.])", _say_ending, re.IGNORECASE),
    rule(r"\b([Pp]ages? |(?<![\w.'])pp?\. ?)([ivxlc]{1,8})\b(?!')", _say_small_page),
    rule(rf"(?<![\w.'])({one_of(_BEFORE_NUMBERS)})\. ?(?=\d)", _say_before_number, re.IGNORECASE),
    rule(r"(?<![\w.'])ca?\. ?(?=\d{3,4}\b)", "circa "),
    rule(r"(?<=\w )'n'(?= \w)", "and"),
    rule(rf"(?<![\w.'])({one_of(MONTH_ABBREVIATIONS)})\.(?= ?\d)", _say_month),
)
"""What a full stop may belong to."""

INITIALS: tuple[Rule, ...] = (
    rule(r"(?<![\w.])(?:[A-Za-z]\.){2,8}(?!\w)", _say_initials),
    rule(r"(?<![\w.'])([A-HJ-Z])\.(?= (?:[A-Z]\. ?){0,3}[A-Z][a-z])", _say_initial),
)
"""Letters with dots."""

ROMAN: tuple[Rule, ...] = (
    rule(rf"\b({_PARTS}|Super Bowl) ([CLXVI]{{1,10}})\b(?!\.\w)", _say_part),
    rule(rf"\b((?:{_CROWNED}) [A-Z][a-z]{{1,20}}) ({_SMALL_ROMAN})\b(?!\.\w|')", _say_ruler),
    rule(rf"\b({_RULERS}) (I)\b(?= of [A-Z])", _say_ruler),
    rule(
        rf"\b((?:{_GIVEN})(?: [A-Z][a-z]{{1,20}}| [A-Z]){{0,2}}) (?!I\b|V\b|X\b)({_SMALL_ROMAN})\b(?!\.\w)", _say_ruler
    ),
    rule(rf"\b({_RULERS}) (?!I\b)({_SMALL_ROMAN})\b(?!\.\w)", _say_ruler),
    rule(r"\b([XVI]{1,6})( century\b| centuries\b)", _say_century),
    rule(rf"(?<![\w'])([A-Z][a-z]{{2,20}}) ({_SEVERAL_LETTERS})\b(?!\.\w)", _say_sequel),
)
"""Roman numerals, where a word beside them says that they are some."""
