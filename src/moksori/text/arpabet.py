"""English words in ARPAbet, from a dictionary of CMUdict's format or from the lexicon of this package.

A pronunciation is a tuple of units such as `("HH", "AH0", "L", "OW1")`: the names of CMUdict, vowels with their stress.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from moksori.errors import TextError
from moksori.text.english_phonemes import known_sounds
from moksori.text.symbols import ARPABET, ARPABET_VOWELS

Units = tuple[str, ...]
"""A pronunciation."""

MAXIMUM_BYTES = 64 * 2**20
"""Of a dictionary file: CMUdict has 4 MB."""
_UNITS = frozenset(ARPABET)
_VOWELS = frozenset(ARPABET_VOWELS)
_VARIANT = re.compile(r"\(\d{1,2}\)$")
_COMMENT = re.compile(r"\s#.*$")

LETTER_NAMES: Mapping[str, Units] = {
    letter: tuple(name.split())
    for letter, name in {
        "A": "EY1", "B": "B IY1", "C": "S IY1", "D": "D IY1", "E": "IY1", "F": "EH1 F", "G": "JH IY1", "H": "EY1 CH",
        "I": "AY1", "J": "JH EY1", "K": "K EY1", "L": "EH1 L", "M": "EH1 M", "N": "EH1 N", "O": "OW1", "P": "P IY1",
        "Q": "K Y UW1", "R": "AA1 R", "S": "EH1 S", "T": "T IY1", "U": "Y UW1", "V": "V IY1",
        "W": "D AH1 B AH0 L Y UW0", "X": "EH1 K S", "Y": "W AY1", "Z": "Z IY1",
    }.items()
}  # fmt: skip
"""Capital letter -> how it is named."""

_OF_PHONE: Mapping[str, str] = {
    "p": "P", "b": "B", "t": "T", "d": "D", "k": "K", "ɡ": "G", "f": "F", "v": "V", "θ": "TH", "ð": "DH", "s": "S",
    "z": "Z", "ʃ": "SH", "ʒ": "ZH", "tʃ": "CH", "dʒ": "JH", "h": "HH", "m": "M", "n": "N", "ŋ": "NG", "l": "L",
    "ɹ": "R", "r": "R", "j": "Y", "w": "W", "ɾ": "T", "ʔ": "T", "x": "K", "ɬ": "L", "ɫ": "L", "ç": "HH",
    "nʲ": "N Y", "ɡʲ": "G Y",
    "iː": "IY", "i": "IY", "ɪ": "IH", "ᵻ": "IH", "eɪ": "EY", "e": "EY", "ɛ": "EH", "æ": "AE", "ææ": "AE", "a": "AA",
    "ɑ": "AA", "ɑː": "AA", "ɒ": "AA", "ɔ": "AO", "ɔː": "AO", "oʊ": "OW", "o": "OW", "əʊ": "OW", "ʊ": "UH", "u": "UW",
    "uː": "UW", "ʌ": "AH", "ə": "AH", "ɐ": "AH", "ɐɐ": "AH", "ɜː": "ER", "ɜ": "ER", "ɝ": "ER", "ɚ": "ER",
    "aɪ": "AY", "aʊ": "AW", "ɔɪ": "OY", "ɑːɹ": "AA R", "ɔːɹ": "AO R", "ɛɹ": "EH R", "ɪɹ": "IH R", "ʊɹ": "UH R",
    "aɪɚ": "AY ER", "aɪə": "AY AH", "iə": "IY AH", "əl": "AH L", "n\u0329": "AH N", "l\u0329": "AH L",
    "ɑ\u0303": "AA N", "ɔ\u0303": "AO N",
}  # fmt: skip
"""espeak's phone -> the units that stand for it; a phone's stress goes to its first vowel."""


class Pronunciations(Protocol):
    """What says words: a dictionary file, or the lexicon of this package."""

    def __call__(self, word: str) -> tuple[Units, ...]:
        """All ways to say a written word, whatever its capitals; none where it is not known."""
        ...


@dataclass(frozen=True)
class Dictionary:
    """A dictionary file: lower-case word -> its pronunciations, in the file's order."""

    entries: Mapping[str, tuple[Units, ...]]

    def __call__(self, word: str) -> tuple[Units, ...]:
        return self.entries.get(word.lower(), ())


@lru_cache(maxsize=1 << 14)
def packaged(word: str) -> tuple[Units, ...]:
    """How the lexicon of this package says a word (some 60,000 English ones); it has one way a word."""
    found = known_sounds(word)
    units = None if found is None else units_of(found.phones, found.stress)
    return () if not units else (units,)


def units_of(phones: Sequence[str], stress: Sequence[int]) -> Units | None:
    """espeak's phones with their stress (0, 1, 2) as ARPAbet; None where one has no equal there."""
    units: list[str] = []
    for phone, mark in zip(phones, stress, strict=True):
        if phone not in _OF_PHONE:
            return None
        # "hurry" is H ER IY in CMUdict: its ER holds the r that espeak writes once more before a vowel.
        if phone in ("ɹ", "r") and units and units[-1].startswith("ER"):
            continue
        for unit in _OF_PHONE[phone].split():
            units.append(f"{unit}{mark}" if unit in _VOWELS else unit)
            mark = 0 if unit in _VOWELS else mark
    return tuple(units)


def given_units(written: str) -> Units | None:
    """The units of "HH AH0 L OW1"; None where one of them is none."""
    units = tuple(written.split())
    return units if units and all(unit in _UNITS for unit in units) else None


def pronunciations(path: str | None) -> Pronunciations:
    """The dictionary at `path`, or the lexicon of this package where it is None.

    Raises TextError, naming file and line, for a file that cannot be read or is no dictionary.
    """
    if path is None:
        return packaged
    place = Path(path).expanduser()
    try:
        status = place.stat()
    except OSError as error:
        raise TextError(
            f"{path}: the dictionary of this voice cannot be read ({(error.strerror or str(error)).lower()}): put a "
            "file of CMUdict's format there, or set text.dictionary to null for the lexicon of moksori"
        ) from error
    return read_dictionary(place, status.st_mtime_ns, status.st_size)


def dictionary_state(path: str | None) -> tuple[int, int]:
    """Size and time of a dictionary file, zeros where there is none: what changes when its content does."""
    try:
        status = Path(path).expanduser().stat() if path is not None else None
    except OSError:
        status = None
    return (0, 0) if status is None else (status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=4)
def read_dictionary(path: Path, modified: int, size: int) -> Dictionary:
    """A file of CMUdict's format: a line `WORD  UNITS`, more pronunciations of it as `WORD(2)`, `;;;` before comments.

    modified, size: of the file, so that another content is read anew. Raises TextError as `pronunciations` does.
    """
    if size > MAXIMUM_BYTES:
        raise TextError(f"{path}: {size:,} bytes, a dictionary has {MAXIMUM_BYTES:,} at most: name another file")
    try:
        text = path.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise TextError(f"{path}: the dictionary cannot be read ({reason}): check the name") from error
    try:
        lines = text.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        lines = text.decode("latin-1").splitlines()  # releases before 2014
    entries: dict[str, tuple[Units, ...]] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith((";;;", "#")):
            continue
        word, *written = _COMMENT.sub("", line).split()
        units = given_units(" ".join(written))
        if units is None:
            wrong = next((unit for unit in written if unit not in _UNITS), "")
            found = f"{wrong[:20]!r} is no ARPAbet unit" if wrong else "no sounds after the word"
            raise TextError(f"{path}:{number}: {found}: expected a line such as HELLO  HH AH0 L OW1")
        word = _VARIANT.sub("", word).lower()
        if units not in entries.get(word, ()):
            entries[word] = (*entries.get(word, ()), units)
    if not entries:
        raise TextError(f"{path}: holds no words: expected lines such as HELLO  HH AH0 L OW1")
    return Dictionary(entries)
