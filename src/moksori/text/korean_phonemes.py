"""Korean words -> phones, without espeak: standard pronunciation (text.korean_rules), then its allophones.

Lenis stops and ㅈ are voiced between voiced sounds of one word, ㄱㄷㅂ are unreleased as codas, ㄹ is a flap between
vowels and [l] elsewhere, ㅅ is [ɕ] before i and y. Phones are those that the table has from espeak where it has a
distinct one (tense `k-`, `t-`, `p-`, `s-`; tɕ, dʑ; the vowels), else IPA. Korean has no stress: all marks are 0.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from moksori.text.hangul import Syllable, syllables_alone
from moksori.text.korean_loanwords import hangul_of_latin
from moksori.text.korean_rules import Pronounced, pronounce
from moksori.text.phonemes import SpokenWord

_ONSETS = {
    "ㄱ": "k", "ㄲ": "k-", "ㅋ": "kʰ", "ㄷ": "t", "ㄸ": "t-", "ㅌ": "tʰ", "ㅂ": "p", "ㅃ": "p-", "ㅍ": "pʰ",
    "ㅈ": "tɕ", "ㅉ": "tɕ-", "ㅊ": "tɕʰ", "ㅅ": "s", "ㅆ": "s-", "ㅎ": "h", "ㄴ": "n", "ㅁ": "m", "ㄹ": "ɾ", "ㅇ": "",
}  # fmt: skip
_VOICED = {"k": "ɡ", "t": "d", "p": "b", "tɕ": "dʑ"}
_BEFORE_I = {"s": "ɕ", "s-": "ɕ-"}
_CODAS = {"ㄱ": "k\u031a", "ㄷ": "t\u031a", "ㅂ": "p\u031a", "ㄴ": "n", "ㅁ": "m", "ㅇ": "ŋ", "ㄹ": "l", "": ""}
_VOWELS = {
    "ㅏ": "ɐ", "ㅐ": "ɛ", "ㅑ": "j ɐ", "ㅒ": "j ɛ", "ㅓ": "ʌ", "ㅔ": "e", "ㅕ": "j ʌ", "ㅖ": "j e", "ㅗ": "o",
    "ㅘ": "w ɐ", "ㅙ": "w ɛ", "ㅚ": "w e", "ㅛ": "j o", "ㅜ": "u", "ㅝ": "w ʌ", "ㅞ": "w e", "ㅟ": "w i",
    "ㅠ": "j u", "ㅡ": "ɯ",
    "ㅢ": "ɰ i", "ㅣ": "i",
}  # fmt: skip
_LATIN_RUN = re.compile("[A-Za-z][A-Za-z']*")
_NOT_SPOKEN = re.compile("[^가-힣]+")

PHONES = frozenset(
    phone
    for phones in (*_ONSETS.values(), *_VOICED.values(), *_BEFORE_I.values(), *_CODAS.values(), *_VOWELS.values())
    for phone in phones.split()
)
"""Every phone that Korean words are made of."""


class KoreanFrontEnd:
    """Words of a clause as phones (see text.phonemes.FrontEnd)."""

    def words(self, written: Sequence[str | None]) -> list[SpokenWord]:
        """One spoken word a written one. None: the writer gave its sounds; an empty word stands in its place.

        A word with nothing to read in it (other scripts than Hangul and Latin, hanja too) has no phones.
        """
        return list(_words(tuple(written)))


FRONT_END = KoreanFrontEnd()


def as_hangul(word: str) -> str:
    """The Hangul syllables that a written word is read as: letters named, Latin words by sound, signs left out."""
    word = syllables_alone(word)
    if not word.isascii():
        word = "".join(c if "가" <= c <= "힣" else _plain_letter(c) for c in word)
    return _NOT_SPOKEN.sub("", _LATIN_RUN.sub(lambda match: hangul_of_latin(match[0]), word))


def phones_of(word: Pronounced, voiced_before: bool = False) -> tuple[str, ...]:
    """Phones of a pronounced word. voiced_before: a voiced sound of the word before goes on into this one."""
    phones: list[str] = []
    voiced, after_l = voiced_before, False
    for syllable in word.syllables:
        phones += _syllable(syllable, voiced, after_l)
        voiced, after_l = syllable.coda in ("", "ㄴ", "ㅁ", "ㅇ", "ㄹ"), syllable.coda == "ㄹ"
    return tuple(phones)


def _syllable(syllable: Syllable, voiced: bool, after_l: bool) -> list[str]:
    onset, vowel = _ONSETS[syllable.onset], _VOWELS[syllable.vowel].split()
    if voiced:
        onset = _VOICED.get(onset, onset)
    if after_l and onset == "ɾ":
        onset = "l"
    if vowel[0] in "ij" or vowel == ["w", "i"]:
        onset = _BEFORE_I.get(onset, onset)
    return [phone for phone in (onset, *vowel, _CODAS[syllable.coda]) if phone]


@lru_cache(maxsize=1 << 12)
def _words(written: tuple[str | None, ...]) -> tuple[SpokenWord, ...]:
    readings = ["" if word is None else as_hangul(word) for word in written]
    spoken = [SpokenWord(word or "", (), ()) for word in written]
    start = 0
    while start < len(readings):
        end = start
        while end < len(readings) and readings[end]:
            end += 1
        if end > start:
            for index, word in enumerate(pronounce(readings[start:end]), start):
                phones = phones_of(word, word.joined)
                spoken[index] = SpokenWord(spoken[index].text, phones, (0,) * len(phones), word.joined)
        if end < len(written) and written[end] is not None:
            spoken[end] = SpokenWord(spoken[end].text, (), (), joined=True)
        start = end + 1
    for index in range(len(spoken) - 1):
        if readings[index] or written[index] is None:
            break
        # no gap after words without a sound that begin a clause
        spoken[index + 1] = replace(spoken[index + 1], joined=True)
    return tuple(spoken)


@lru_cache(maxsize=1 << 10)
def _plain_letter(character: str) -> str:
    """A Latin letter without its marks; a space of nothing for all else that is not read."""
    plain = unicodedata.normalize("NFKD", character)[:1]
    return plain if plain.isascii() and plain.isalpha() else character if character.isascii() else ""
