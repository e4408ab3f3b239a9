"""Latin words inside Korean text, as a Korean reader says them: in Hangul, by sound.

A word is pronounced by the English front end, and its phones are written as the rules for loanwords do (외래어
표기법, chapter 3, section 1, English): stops are codas after short vowels (핫), take ㅡ elsewhere (스트라이크). It is
approximate, as established loanwords follow usage (라디오); where there is no way to English sounds, the letters are
named. Text that is meant to be English is tagged as such (SSML's `lang`), and so keeps English sounds.
"""

from functools import lru_cache

from moksori.errors import MissingExtra
from moksori.text.hangul import compose

LETTER_NAMES = {
    "A": "에이", "B": "비", "C": "시", "D": "디", "E": "이", "F": "에프", "G": "지", "H": "에이치", "I": "아이",
    "J": "제이",
    "K": "케이", "L": "엘", "M": "엠", "N": "엔", "O": "오", "P": "피", "Q": "큐", "R": "아르", "S": "에스",
    "T": "티",
    "U": "유", "V": "브이", "W": "더블유", "X": "엑스", "Y": "와이", "Z": "제트",
}  # fmt: skip
"""Names of Latin letters in the Standard Korean Dictionary."""

_VOWELS = {
    "i": "ㅣ", "iː": "ㅣ", "ɪ": "ㅣ", "ᵻ": "ㅣ", "e": "ㅔ", "ɛ": "ㅔ", "æ": "ㅐ", "a": "ㅏ", "ʌ": "ㅓ", "ə": "ㅓ",
    "ɐ": "ㅓ",
    "ɑː": "ㅏ", "ɑ": "ㅏ", "ɔ": "ㅗ", "ɔː": "ㅗ", "ʊ": "ㅜ", "uː": "ㅜ", "u": "ㅜ", "ɚ": "ㅓ", "ɜː": "ㅓ", "ɜ": "ㅓ",
    "o": "ㅗ", "oː": "ㅗ", "oʊ": "ㅗ", "eɪ": "ㅔㅣ", "aɪ": "ㅏㅣ", "ɔɪ": "ㅗㅣ", "aʊ": "ㅏㅜ", "ɪɹ": "ㅣㅓ",
    "ɛɹ": "ㅔㅓ",
    "ʊɹ": "ㅜㅓ", "ɔːɹ": "ㅗ", "ɑːɹ": "ㅏ", "oːɹ": "ㅗ", "aɪɚ": "ㅏㅣㅓ", "aɪə": "ㅏㅣㅓ", "iə": "ㅣㅓ",
    "eə": "ㅔㅓ", "əʊ": "ㅗ",
}  # fmt: skip
_SHORT = frozenset(("ɪ", "ᵻ", "e", "ɛ", "æ", "ʌ", "ə", "ɐ", "ɑː", "ɑ", "ɔ", "ʊ", "a", "i"))
_CONSONANTS = {
    "p": "ㅍ", "b": "ㅂ", "t": "ㅌ", "d": "ㄷ", "k": "ㅋ", "ɡ": "ㄱ", "f": "ㅍ", "v": "ㅂ", "θ": "ㅅ", "ð": "ㄷ",
    "s": "ㅅ", "z": "ㅈ", "ʃ": "ㅅ", "ʒ": "ㅈ", "tʃ": "ㅊ", "dʒ": "ㅈ", "m": "ㅁ", "n": "ㄴ", "ŋ": "ㅇ", "l": "ㄹ",
    "ɹ": "ㄹ", "h": "ㅎ", "ɾ": "ㅌ", "ʔ": "ㅌ", "x": "ㅎ", "ts": "ㅊ", "r": "ㄹ", "ɬ": "ㄹ",
}  # fmt: skip
_PLAIN_CODA = {"m": "ㅁ", "n": "ㄴ", "ŋ": "ㅇ", "l": "ㄹ"}
_STOP_CODA = {"p": "ㅂ", "t": "ㅅ", "k": "ㄱ", "ʔ": "ㅅ"}
_SONORANTS = ("l", "ɹ", "m", "n")
_FILLER = {"ʃ": "ㅣ", "ʒ": "ㅣ", "tʃ": "ㅣ", "dʒ": "ㅣ"}
_SYLLABIC = {"n\u0329": ("ə", "n"), "l\u0329": ("ə", "l"), "əl": ("ə", "l"), "m\u0329": ("ə", "m")}
_WITH_W = {"ㅏ": "ㅘ", "ㅐ": "ㅙ", "ㅓ": "ㅝ", "ㅔ": "ㅞ", "ㅣ": "ㅟ", "ㅜ": "ㅜ", "ㅗ": "ㅝ"}
_WITH_J = {"ㅏ": "ㅑ", "ㅐ": "ㅒ", "ㅓ": "ㅕ", "ㅔ": "ㅖ", "ㅗ": "ㅛ", "ㅜ": "ㅠ", "ㅣ": "ㅣ"}


@lru_cache(maxsize=1 << 12)
def hangul_of_latin(word: str) -> str:
    """A Latin word in Hangul syllables: by sound, or letter by letter where it has no vowel or no way to its sounds."""
    if len(word) > 1:
        phones = _english_phones(word)
        if any(phone in _VOWELS or phone in _SYLLABIC for phone in phones):
            return hangul_of_phones(phones)
    return letters_named(word)


def letters_named(word: str) -> str:
    """Latin letters by their Korean names; anything else is left out."""
    return "".join(LETTER_NAMES.get(letter, "") for letter in word.upper())


def hangul_of_phones(phones: tuple[str, ...]) -> str:
    """English phones (espeak's IPA, no stress) written in Hangul syllables."""
    parts: list[str] = []
    for phone in phones:
        parts += _SYLLABIC.get(phone, (phone,))
    syllables: list[list[str]] = []
    onset = glide = ""
    for index, phone in enumerate(parts):
        following = parts[index + 1] if index + 1 < len(parts) else ""
        open_before = bool(syllables) and not syllables[-1][2] and index > 0 and parts[index - 1] in _VOWELS
        if phone in _VOWELS:
            for place, vowel in enumerate(_VOWELS[phone]):
                vowel = {"w": _WITH_W, "j": _WITH_J}.get(glide, {}).get(vowel, vowel)
                syllables.append([(onset or "ㅇ") if place == 0 else "ㅇ", vowel, ""])
                onset = glide = ""
        elif phone in "wj" and following in _VOWELS:
            if onset and phone == "w" and onset not in "ㄱㅋㅎ":
                syllables.append([onset, "ㅡ", ""])
                onset = ""
            glide = phone
        elif phone in _CONSONANTS:
            before_vowel = following in _VOWELS or (following in ("w", "j") and phone != "ŋ")
            if before_vowel and phone != "ŋ":
                onset = _CONSONANTS[phone]
                if phone == "l" and open_before:
                    syllables[-1][2] = "ㄹ"
                if phone == "ʃ":
                    glide = "j"
            elif phone == "ɹ":
                pass  # silent after a vowel in loanwords: 카드
            elif phone in _PLAIN_CODA and open_before:
                syllables[-1][2] = _PLAIN_CODA[phone]
            elif phone in _STOP_CODA and open_before and parts[index - 1] in _SHORT and following not in _SONORANTS:
                syllables[-1][2] = _STOP_CODA[phone]
            else:
                filler = "ㅠ" if phone == "ʃ" and following else _FILLER.get(phone, "ㅡ")
                syllables.append([_CONSONANTS[phone], filler, ""])
    return "".join(compose(first, vowel, coda) for first, vowel, coda in syllables)


def _english_phones(word: str) -> tuple[str, ...]:
    from moksori.text.phonemes import Phonemizer, SpokenWord

    try:
        items = Phonemizer("en-us").phonemize(word)
    except MissingExtra:
        return ()
    return tuple(phone for item in items if isinstance(item, SpokenWord) for phone in item.phones)
