"""Hangul syllables as onset, vowel and coda, and back; lone and archaic letters as modern syllables.

Unicode composes a modern syllable as 0xAC00 + (onset * 21 + vowel) * 28 + coda (The Unicode Standard, section 3.12).
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

ONSETS = tuple("ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ")
VOWELS = tuple("ㅏㅐㅑㅒㅓㅔㅕㅖㅗㅘㅙㅚㅛㅜㅝㅞㅟㅠㅡㅢㅣ")
CODAS = ("", *"ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ")
NEUTRAL = {
    **dict.fromkeys(("ㄱ", "ㄲ", "ㅋ", "ㄳ", "ㄺ"), "ㄱ"), **dict.fromkeys("ㄷㅅㅆㅈㅊㅌㅎ", "ㄷ"),
    **dict.fromkeys(("ㅂ", "ㅍ", "ㅄ", "ㄿ"), "ㅂ"), **dict.fromkeys(("ㄴ", "ㄵ", "ㄶ"), "ㄴ"),
    **dict.fromkeys(("ㄹ", "ㄼ", "ㄽ", "ㄾ", "ㅀ"), "ㄹ"), **dict.fromkeys(("ㅁ", "ㄻ"), "ㅁ"), "ㅇ": "ㅇ", "": "",
}  # fmt: skip
"""Coda -> the one of seven that it is before a pause or another consonant (표준 발음법, articles 8 to 11)."""
TENSE = {"ㄱ": "ㄲ", "ㄷ": "ㄸ", "ㅂ": "ㅃ", "ㅅ": "ㅆ", "ㅈ": "ㅉ"}
"""Plain onset -> its tense one."""

_FIRST, _LAST = 0xAC00, 0xD7A3
_LETTER = re.compile("[\u3131-\u318e]")
_CONJOINING = re.compile("[가-힣]?[\u1100-\u11ff\ua960-\ua97c\ud7b0-\ud7fb]+")
_LAUGHTER = re.compile("([ㅋㅎ])\\1+")
_LETTER_NAMES = {
    "ㄱ": "기역", "ㄲ": "쌍기역", "ㄴ": "니은", "ㄷ": "디귿", "ㄸ": "쌍디귿", "ㄹ": "리을", "ㅁ": "미음",
    "ㅂ": "비읍",
    "ㅃ": "쌍비읍", "ㅅ": "시옷", "ㅆ": "쌍시옷", "ㅇ": "이응", "ㅈ": "지읒", "ㅉ": "쌍지읒", "ㅊ": "치읓",
    "ㅋ": "키읔",
    "ㅌ": "티읕", "ㅍ": "피읖", "ㅎ": "히읗",
}  # fmt: skip
_MODERN = {
    "KIYEOK": "ㄱ", "SSANGKIYEOK": "ㄲ", "NIEUN": "ㄴ", "SSANGNIEUN": "ㄴ", "TIKEUT": "ㄷ", "SSANGTIKEUT": "ㄸ",
    "RIEUL": "ㄹ", "SSANGRIEUL": "ㄹ", "KAPYEOUNRIEUL": "ㄹ", "MIEUM": "ㅁ", "KAPYEOUNMIEUM": "ㅁ",
    "SSANGMIEUM": "ㅁ",
    "PIEUP": "ㅂ", "SSANGPIEUP": "ㅃ", "KAPYEOUNPIEUP": "ㅂ", "KAPYEOUNSSANGPIEUP": "ㅃ", "SIOS": "ㅅ",
    "SSANGSIOS": "ㅆ", "CHITUEUMSIOS": "ㅅ", "CEONGCHIEUMSIOS": "ㅅ", "CHITUEUMSSANGSIOS": "ㅆ",
    "CEONGCHIEUMSSANGSIOS": "ㅆ", "PANSIOS": "ㅅ", "SSANGPANSIOS": "ㅅ", "IEUNG": "ㅇ", "SSANGIEUNG": "ㅇ",
    "YESIEUNG": "ㅇ", "SSANGYESIEUNG": "ㅇ", "CIEUC": "ㅈ", "SSANGCIEUC": "ㅉ", "CHITUEUMCIEUC": "ㅈ",
    "CEONGCHIEUMCIEUC": "ㅈ", "CHITUEUMSSANGCIEUC": "ㅉ", "CEONGCHIEUMSSANGCIEUC": "ㅉ", "CHIEUCH": "ㅊ",
    "CHITUEUMCHIEUCH": "ㅊ", "CEONGCHIEUMCHIEUCH": "ㅊ", "KHIEUKH": "ㅋ", "THIEUTH": "ㅌ", "SSANGTHIEUTH": "ㅌ",
    "PHIEUPH": "ㅍ", "KAPYEOUNPHIEUPH": "ㅍ", "HIEUH": "ㅎ", "SSANGHIEUH": "ㅎ", "YEORINHIEUH": "ㅎ",
    "SSANGYEORINHIEUH": "ㅎ",
    "A": "ㅏ", "AE": "ㅐ", "YA": "ㅑ", "YAE": "ㅒ", "EO": "ㅓ", "E": "ㅔ", "YEO": "ㅕ", "YE": "ㅖ", "O": "ㅗ",
    "WA": "ㅘ", "WAE": "ㅙ", "OE": "ㅚ", "YO": "ㅛ", "U": "ㅜ", "WEO": "ㅝ", "WE": "ㅞ", "WI": "ㅟ", "YU": "ㅠ",
    "EU": "ㅡ", "YI": "ㅢ", "I": "ㅣ", "ARAEA": "ㅏ", "ARAEAE": "ㅐ", "SSANGARAEA": "ㅏ",
}  # fmt: skip
"""Names of Unicode's letters -> the modern letter they are read as; of clusters the last part counts."""


@dataclass(frozen=True)
class Syllable:
    """Letters of one syllable: an onset (ㅇ is none), a vowel, and a coda, "" where there is none."""

    onset: str
    vowel: str
    coda: str = ""

    def __str__(self) -> str:
        return compose(self.onset, self.vowel, self.coda)


@lru_cache(maxsize=1 << 14)
def decompose(character: str) -> Syllable | None:
    """The letters of a modern syllable; None for any other character."""
    code = ord(character)
    if not _FIRST <= code <= _LAST:
        return None
    rest, coda = divmod(code - _FIRST, len(CODAS))
    onset, vowel = divmod(rest, len(VOWELS))
    return Syllable(ONSETS[onset], VOWELS[vowel], CODAS[coda])


def compose(onset: str, vowel: str, coda: str = "") -> str:
    """The character of a modern syllable. Raises ValueError for letters that cannot stand there."""
    index = (ONSETS.index(onset) * len(VOWELS) + VOWELS.index(vowel)) * len(CODAS) + CODAS.index(coda)
    return chr(_FIRST + index)


def syllables_alone(text: str) -> str:
    """Text whose Hangul is modern syllables: conjoining letters composed, lone letters read by their names.

    Vowels alone read as they sound (ㅏ -> 아), ㅋㅋ and ㅎㅎ as laughter (크크, 흐흐), other consonants by their names
    (ㄱ -> 기역); archaic letters as the modern ones they became (ㆍ as ㅏ, ㅿ as ㅅ).
    """
    if not _LETTER.search(text) and not _CONJOINING.search(text):
        return text
    text = _CONJOINING.sub(lambda match: _composed(match[0]), unicodedata.normalize("NFC", text))
    text = _LAUGHTER.sub(lambda match: compose(match[1], "ㅡ") * len(match[0]), text)
    return _LETTER.sub(lambda match: _letter_name(match[0]), text)


def _letter_name(letter: str) -> str:
    if letter in _LETTER_NAMES:
        return _LETTER_NAMES[letter]
    if letter in VOWELS:
        return compose("ㅇ", letter)
    modern = _modern(letter)
    if modern in VOWELS:
        return compose("ㅇ", modern)
    return _LETTER_NAMES.get(modern, "")


@lru_cache(maxsize=1 << 10)
def _modern(letter: str) -> str:
    """The modern letter for a compatibility or conjoining one, "" for fillers."""
    name = unicodedata.name(letter, "").split(" ")[-1]
    if name in _MODERN:
        return _MODERN[name]
    return next((_MODERN[part] for part in reversed(name.split("-")) if part in _MODERN), "")


def _composed(letters: str) -> str:
    """Conjoining letters that make no modern syllable, in such syllables or as lone letters, by where they stand."""
    result: list[str] = []
    onset = vowel = ""
    for letter in unicodedata.normalize("NFD", letters):
        modern, kind = _modern(letter), unicodedata.name(letter, "")
        if not modern:
            continue
        if "JUNGSEONG" in kind:
            if vowel:
                result.append(compose(onset or "ㅇ", vowel))
                onset = ""
            vowel = modern
        elif "JONGSEONG" in kind and vowel:
            result.append(compose(onset or "ㅇ", vowel, modern if modern in CODAS else "ㄷ"))
            onset = vowel = ""
        else:
            if vowel:
                result.append(compose(onset or "ㅇ", vowel))
                onset = vowel = ""
            result.append(onset)
            onset = modern
    result.append(compose(onset or "ㅇ", vowel) if vowel else onset)
    return "".join(result)
