"""Written text -> text that can be read aloud: Unicode in one form, and digits, symbols and abbreviations as words.

English has rules of its own (english.py); German, Dutch and Korean get numbers and the commonest signs (european.py,
korean.py); other languages get the Unicode part and leave numbers to espeak. Every expression is bounded or starts only
where a number or word starts, so that time is linear in the text whatever it holds.
"""

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache

from moksori.errors import TextError

RAW_PHONEMES = re.compile(r"\[\[([^\[\]]*)\]\]")
"""`[[həlˈoʊ]]`: phonemes given by the writer."""

_TRANSLATED = {
    **dict.fromkeys("‘’‛′ʼ`´＇", "'"),
    **dict.fromkeys("“”„‟″«»＂‹›", '"'),
    **dict.fromkeys("‐‑−﹣－", "-"),
    **dict.fromkeys("‒–", "–"),
    **dict.fromkeys("—―", "—"),
    **dict.fromkeys("。｡．", ". "),
    **dict.fromkeys("、，", ", "),
    **dict.fromkeys("®©™℠", ""),
    **dict.fromkeys("•·‣▪", " "),
    "…": "…", "²": "²", "³": "³", "½": "½", "¼": "¼", "¾": "¾", "°": "°", "º": "°", "¿": "¿", "¡": "¡", "¢": "¢",
    "℃": "°C", "℉": "°F", "№": "No. ", "！": "! ", "？": "? ", "：": ": ", "；": "; ", "⁄": "/", "￦": "₩",
}  # fmt: skip
_RAW_SPACE = re.compile(r"\s+")
_LATIN_MARKS = re.compile(r"(?<=[A-Za-z])[\u0300-\u036f]+")
_MARKS_RUN = re.compile(r"([\u0300-\u036f]{3})[\u0300-\u036f]+")
_SCRIPT_BORDER = re.compile(r"(?<=[a-z\u00c0-\u024f])(?=[가-힣])|(?<=[가-힣])(?=[a-z\u00c0-\u024f])", re.IGNORECASE)
_BRACKETS_OPEN = re.compile(r"\s*[(\[{]+\s*")
_BRACKETS_CLOSE = re.compile(r"(?<![)\]}\s])\s?[)\]}]+|[)\]}]+")
_DASH = re.compile(r"(?<!-)-{2,}|(?<=\s)[-–](?=\s)")
_UNSPOKEN = re.compile(r"[_*\\|<>^~`{}]+")
_MANY_DOTS = re.compile(r"\.{2,}…*|…{2,}|…\.+")
_REPEATED = re.compile(r"([!?,;:])\1+")
_MIXED_END = re.compile(r"[!?]{3,}")
_SPACE_BEFORE = re.compile(r"(?<=\S) ([,.;:!?…])(?![\w.])")
_COMMAS = re.compile(r",+(?:[ ,]{0,4},)+|,(?= ?[.;:!?…])|(?<=[.;:!?…—]),|(?<=[.;:!?…—] ),")
_COMMA_START = re.compile(r"^[ ,]+")
_QUOTE_OPEN = re.compile(
    r"(?<![\w'])'+(?=\w)(?!(?:tis|twas|twere|twould|em|til|cause|bout|round|s|t|n|k|m|ns|r)\b)", re.IGNORECASE
)
_QUOTE_CLOSE = re.compile(r"(?<!')'+(?!\w)")


def normalize(text: str, language: str) -> str:
    """Text to read aloud: one line, single spaces, digits and signs as words of the language where its rules are known.

    Raw phonemes `[[...]]` are kept. Works on any text in linear time; the result may be empty (see `ensure_speakable`).
    """
    if "[[" not in text:
        return _normalized(text, language)
    parts: list[str] = []
    end = 0
    for match in RAW_PHONEMES.finditer(text):
        parts += [
            _between(text[end : match.start()], language, end == 0),
            f"[[{_RAW_SPACE.sub(' ', match[1]).strip()}]]",
        ]
        end = match.end()
    parts.append(_between(text[end:], language, end == 0))
    return _RAW_SPACE.sub(" ", "".join(parts)).strip()


def ensure_speakable(text: str) -> None:
    """Raises TextError if a text holds no letter and no digit (and no raw phonemes) to speak."""
    if any(match[1].strip() for match in RAW_PHONEMES.finditer(text)):
        return
    if any(character.isalnum() for character in text):
        return
    if not text.strip():
        raise TextError("the text is empty: give at least one word to speak")
    shown = text.strip().encode("unicode_escape").decode() if not text.strip().isprintable() else text.strip()
    raise TextError(f"the text {shown[:40]!r} holds only signs, nothing to speak: give at least one word")


def _between(text: str, language: str, first: bool) -> str:
    """Text beside raw phonemes, keeping whether it touches them."""
    if not text.strip():
        return " " if text else ""
    before = " " if text[0].isspace() else ""
    after = " " if text[-1].isspace() else ""
    return before + _normalized(text, language, first) + after


def _normalized(text: str, language: str, first: bool = True) -> str:
    korean = language.startswith("ko")
    if korean:
        from moksori.text.korean import read_middle_dots

        text = read_middle_dots(text)
    text = cleaned(text)
    if not korean:
        # espeak says nothing at all for a word of two alphabets
        text = _SCRIPT_BORDER.sub(" ", text)
    rules = _rules(language)
    if rules is not None:
        text = rules(text)
    return _punctuated(text, first)


@lru_cache(maxsize=32)
def _rules(language: str) -> Callable[[str], str] | None:
    """The language's rules, imported on first use: num2words costs start-up time."""
    base = language.split("-")[0]
    if base == "en":
        from moksori.text.english import expand_english

        british = language.startswith("en-gb")
        return lambda text: expand_english(text, british)
    if base in ("de", "nl"):
        from moksori.text.european import expand_european

        return lambda text: expand_european(text, base)
    if base == "ko":
        from moksori.text.korean import expand_korean

        return expand_korean
    return None


def cleaned(text: str) -> str:
    """Unicode in one form: NFC, plain quotes, single spaces; nothing invisible, no emoji, ligatures, wide forms."""
    text = text.translate({ord(c): _character(c) for c in set(text) if not "a" <= c <= "z"})
    # long runs of combining marks cost quadratic time to compose
    text = unicodedata.normalize("NFC", _MARKS_RUN.sub(r"\1", text))
    return _RAW_SPACE.sub(" ", _LATIN_MARKS.sub("", text)).strip()


@lru_cache(maxsize=1 << 14)
def _character(character: str) -> str:
    if character in _TRANSLATED:
        return _TRANSLATED[character]
    if character.isspace():
        return " "
    category = unicodedata.category(character)
    if "\u3380" <= character <= "\u33df":  # ㎏, ㎡: units in one character
        return unicodedata.normalize("NFKC", character).replace("m2", "m²").replace("m3", "m³")
    if category in ("Cf", "Cn") or character in "\ufe0e\ufe0f\u20e3":
        return ""
    if category in ("Cc", "Cs", "Co", "Zs", "Zl", "Zp", "So") and character != "°":
        return " "
    if category == "Sk" and not character.isascii():
        return ""
    if category == "Nd":
        return str(unicodedata.digit(character))
    plain = unicodedata.normalize("NFKC", character)
    if plain != character and not character.isascii() and category[0] in "LNPS":
        # "⅓" is one slash three, and must not join a number before it
        return f" {plain.replace('⁄', '/')} " if "⁄" in plain else plain
    return character


def _punctuated(text: str, first: bool) -> str:
    """Brackets as commas, one form of dashes and dots, no doubled marks, quotes only where they are double.

    first: this starts the text, where a comma (of an opening bracket) has no place.
    """
    text = _DASH.sub("—", text)
    text = _BRACKETS_OPEN.sub(", ", text)
    text = _BRACKETS_CLOSE.sub(", ", text)
    text = _QUOTE_CLOSE.sub("", _QUOTE_OPEN.sub("", text))
    text = _UNSPOKEN.sub(" ", text)
    text = _MANY_DOTS.sub("…", text)
    text = _MIXED_END.sub(lambda m: "?!" if "?" in m[0] and "!" in m[0] else m[0][0], text)
    text = _REPEATED.sub(r"\1", text)
    text = _SPACE_BEFORE.sub(r"\1", _RAW_SPACE.sub(" ", text))
    text = _COMMAS.sub(lambda m: "," if m[0].count(",") > 1 else "", text)
    text = _SPACE_BEFORE.sub(r"\1", _RAW_SPACE.sub(" ", text))
    if first and text.startswith((",", " ")):
        text = _COMMA_START.sub("", text)
    return text.strip()
