"""English words -> phones as espeak's en-us says them, without espeak: exceptions, letters to phones, then context.

A written word is cut into parts ("well-known", "iPhone"); each part is looked up among the exceptions, else read by the
letters-to-phones model (text.letters_to_phones); possessives get their ending by rule. What the words of a clause
change in each other is text.english_context. The data beside this file is made by scripts/train_g2p.py.
"""

import json
import logging
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path

from moksori.text.english_context import ContextRules, Sounds
from moksori.text.letters_to_phones import LetterModel
from moksori.text.phonemes import SpokenWord
from moksori.text.symbols import GAP

DATA = Path(__file__).parent / "data"
LEXICON, LETTERS, CONTEXT = "english_lexicon.txt.zlib", "english_letters.npz", "english_context.json"

_PLACEHOLDER = "thing"
"""Stands for a word whose sounds the writer gave, so that its neighbours are said as beside any noun."""
_PART = re.compile(r"(?P<letters>[^\W\d_]+(?:'[^\W\d_]+)*'?)|(?P<digit>\d)")
_LONGEST_SPELLED = 3
_FIRST_SIGN = 0x21
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_PLAIN = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "th", "þ": "th", "ß": "ss", "æ": "ae", "œ": "oe", "ı": "i", "ħ": "h", "ŋ": "ng"}
)
_VOICELESS = frozenset(("p", "t", "k", "f"))
_SIBILANTS = frozenset(("s", "z", "ʃ", "ʒ", "tʃ", "dʒ"))
_NOTHING = Sounds((), ())

_log = logging.getLogger(__name__)


class EnglishFrontEnd:
    """Words of a clause as phones (see text.phonemes.FrontEnd)."""

    def words(self, written: Sequence[str | None]) -> list[SpokenWord]:
        """One spoken word a written one. None: the writer gave its sounds; a neutral word stands in its place.

        A word without a Latin letter or a digit has no phones; a warning names it, once.
        """
        return list(_spoken(tuple(word or _PLACEHOLDER for word in written)))


FRONT_END = EnglishFrontEnd()


@lru_cache(maxsize=1 << 12)
def _spoken(words: tuple[str, ...]) -> tuple[SpokenWord, ...]:
    parts = [parts_of(word) for word in words]
    flat = [part for of_word in parts for part, _ in of_word]
    shouted = all(map(str.isupper, words))
    by_itself = [_sounds(part, shouted) for part in flat]
    said = iter(_context().in_context([context_key(part) for part in flat], by_itself))
    return tuple(
        _together(word, [(next(said), gap) for _, gap in of_word]) for word, of_word in zip(words, parts, strict=True)
    )


def parts_of(word: str) -> list[tuple[str, bool]]:
    """What is said of a written word, in order, and whether a gap stands before it; at least one part."""
    if "-" in word and _entry(word.lower()) is not None:
        return [(word, False)]
    found: list[tuple[str, bool]] = []
    end = 0
    for match in _PART.finditer(word):
        between = word[end : match.start()]
        end = match.end()
        if match["digit"]:
            found.append((_DIGITS[unicodedata.digit(match[0], 0)], bool(found)))
            continue
        pieces = _HUMP.split(match[0]) if not match[0].islower() else [match[0]]
        start = word[match.start() - 1 : match.start()] if match.start() else ""
        if start == "'" and not found and _entry(f"'{pieces[0].lower()}") is not None:
            pieces[0] = f"'{pieces[0]}"
        if pieces[0] == "Mc" and pieces[1:]:
            pieces[0] = "Mc" if pieces[1][0] not in "CGKQ" else "M'c"
        for k, piece in enumerate(pieces):
            found.append((piece, bool(found) and (k > 0 or not between.strip("'").startswith("-"))))
    if not found:
        _warn_unreadable(word)
    return found or [("", False)]


def context_key(part: str) -> str:
    """What trees and readings call a part: lower case, but an abbreviation as it is written."""
    lower = part.lower()
    if len(part) > 1 and part.isupper() and _entry(part) is not None:
        return part
    return part if part == "I" else lower


@lru_cache(maxsize=1 << 16)
def alone(part: str) -> Sounds:
    """A part as said in the middle of a sentence whose other words leave it alone."""
    lower = part.lower()
    for form in (part, lower):
        entry = _entry(form)
        if entry is not None:
            return entry
    for ending in ("'s", "s'"):
        if lower.endswith(ending) and len(lower) > 2:
            return possessive(alone(part[:-2]), lower[:-2]) if ending == "'s" else alone(part[:-1])
    plain = unicodedata.normalize("NFD", lower.translate(_PLAIN))
    letters = "".join(letter for letter in plain if "a" <= letter <= "z" or letter == "'").strip("'")
    if letters != lower.strip("'") and letters:
        return alone(letters)
    if not letters:
        _warn_unreadable(part)
        return _NOTHING
    return _letters().sounds(letters)


def known_sounds(word: str) -> Sounds | None:
    """What the lexicon says of a written word, as it stands or in small letters; None where it is not in there."""
    found = _entry(word)
    return _entry(word.lower()) if found is None else found


def words_with_readings() -> frozenset[str]:
    """Words that are said in several ways, by what they mean (`record`, `read`, `use`)."""
    return frozenset(_context().readings)


def _sounds(part: str, shouted: bool) -> Sounds:
    """As `alone`; two or three capitals are spelled unless all the clause is in capitals or the word is a weak one."""
    said = alone(part)
    if shouted or not (part.isupper() and part.isalpha() and 1 < len(part) <= _LONGEST_SPELLED):
        return said
    return said if 1 not in said.stress or _entry(part) is not None else _letters().labels.spelled(part.lower())


def possessive(sounds: Sounds, letters: str) -> Sounds:
    """With the ending 's, by the last phone; espeak says z after a silent e ("Kate's") and after h ("Ruth's") too."""
    last = sounds.phones[-1] if sounds.phones else ""
    hard = last in _VOICELESS and not letters.endswith(("e", "h"))
    ending = ("ᵻ", "z") if last in _SIBILANTS else ("s",) if hard else ("z",)
    return Sounds(sounds.phones + ending, sounds.stress + (0,) * len(ending))


def _together(word: str, parts: Sequence[tuple[Sounds, bool]]) -> SpokenWord:
    phones: list[str] = []
    stress: list[int] = []
    for sounds, gap in parts:
        if gap and phones and sounds.phones and not sounds.joined:
            phones.append(GAP)
            stress.append(0)
        phones += sounds.phones
        stress += sounds.stress
    return SpokenWord(word, tuple(phones), tuple(stress), parts[0][0].joined)


@lru_cache(maxsize=256)
def _warn_unreadable(word: str) -> None:
    if word and any(character.isalnum() for character in word):
        _log.warning(
            "%r has no Latin letter and is left out of English speech: mark its language (<lang> of SSML) or give its "
            "sounds as in [[həlˈoʊ]]",
            word[:40],
        )


def packed_lexicon(lexicon: Mapping[str, Sounds]) -> bytes:
    """The lexicon as its file: the phones by frequency, then a line a word with one sign for each phone."""
    counts = Counter(phone for sounds in lexicon.values() for phone in sounds.written.split("_"))
    phones = [phone for phone, _ in counts.most_common()]
    sign = {phone: chr(_FIRST_SIGN + k) for k, phone in enumerate(phones)}
    lines = []
    for word, sounds in lexicon.items():
        lines.append(f"{word}\t{''.join(sign[phone] for phone in sounds.written.split('_'))}\n".encode())
    return zlib.compress(b"".join([" ".join(phones).encode(), b"\n", *sorted(lines)]), level=9)


@cache
def _lexicon() -> tuple[list[str], bytes]:
    """Phones, and sorted lines "word<TAB>signs" in one piece: cutting them up would take longer than a sentence."""
    first, lines = zlib.decompress((DATA / LEXICON).read_bytes()).split(b"\n", 1)
    return first.decode().split(" "), lines


def _entry(word: str) -> Sounds | None:
    phones, lines = _lexicon()
    wanted = f"{word}\t".encode()
    low, high = 0, len(lines)
    while low < high:
        start = lines.rfind(b"\n", low, (low + high) // 2) + 1 or low
        end = lines.index(b"\n", start)
        if lines.startswith(wanted, start):
            signs = lines[start + len(wanted) : end].decode()
            return Sounds.read("_".join(phones[ord(sign) - _FIRST_SIGN] for sign in signs))
        if lines[start:end] < wanted:
            low = end + 1
        else:
            high = start
    return None


@cache
def _letters() -> LetterModel:
    return LetterModel.load(DATA / LETTERS)


@cache
def _context() -> ContextRules:
    return ContextRules.read(json.loads((DATA / CONTEXT).read_text(encoding="utf-8")))
