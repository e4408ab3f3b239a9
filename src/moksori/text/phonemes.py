"""Normalised text -> phones with stress, word by word, through espeak-ng.

espeak phonemises a clause at a time and runs some words together ("of the" -> `ʌvðə`). Words of the text and groups of
espeak are therefore matched by their phones: each word is also phonemised alone (cached), and where the two do not go
one to one, an edit-distance alignment of the clause with the words said alone puts borders inside the merged groups.
A word that the merger left no phone of takes one from its longer neighbour.

espeak-ng is GPL-3 and an optional extra; text made only of raw phonemes (`[[həlˈoʊ]]`) needs no espeak at all, and
neither do languages with a front end of their own (`_FRONT_ENDS`). English has one for where espeak is absent.
"""

import logging
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol

from moksori.errors import MissingExtra, unknown_name
from moksori.text.inline import read_given
from moksori.text.normalize import RAW_PHONEMES, normalize
from moksori.text.symbols import ESPEAK_BREATHED, GAP, PUNCTUATION, STRESS_MARKS, SYMBOLS, is_vowel

_PUNCTUATION_RUN = re.compile(f"([{re.escape(PUNCTUATION)}][{re.escape(PUNCTUATION)}\\s]*)")
_LANGUAGE_FLAG = re.compile(r"\([a-z][a-z0-9-]*\)")
_UNSPOKEN = re.compile(r"[_\[\](){}<>|\\^~`*=+]")
_ALIASES = {"en": "en-us"}
_FRONT_ENDS = {"ko": "moksori.text.korean_phonemes"}
"""Language -> the module whose FRONT_END says its words instead of espeak; imported on first use."""
_WITHOUT_ESPEAK = {"en-us": "moksori.text.english_phonemes"}
"""The same for a language that espeak speaks where it is installed; its words are nearly espeak's (docs/text.md)."""
_LETTER_A = "ˈeɪ"
_PLACEHOLDERS = {"de": "Ding", "nl": "ding", "en-us": "thing"}
_CLAUSE_WORDS = 60
_WORD_CHARACTERS = 80
_GROUP_BORDER = 0.5
# In a person's IPA `nh` is two sounds, as in "inherent".
_WRITTEN_SOUNDS = frozenset(SYMBOLS) - {*PUNCTUATION, "_", *ESPEAK_BREATHED, *(s for s in SYMBOLS if s.startswith("<"))}
_LOCK = threading.Lock()


@dataclass(frozen=True)
class SpokenWord:
    """A written word and how it is said.

    phones: espeak's phones without stress marks; a gap (" ") where espeak says one written word as several.
    stress: 0, 1 (primary) or 2 (secondary) per phone. joined: said together with the word before, without a gap.
    """

    text: str
    phones: tuple[str, ...]
    stress: tuple[int, ...]
    joined: bool = False

    @property
    def ipa(self) -> str:
        """The phones in one string, stress marks before the phones that carry them."""
        return "".join(" ˈˌ"[stress].strip() + phone for phone, stress in zip(self.phones, self.stress, strict=True))


@dataclass(frozen=True)
class Pause:
    """What stands between two words: one space, or punctuation with the spaces around it."""

    text: str

    @property
    def marks(self) -> str:
        return self.text.replace(" ", "")


class FrontEnd(Protocol):
    """A language's own way from words to phones."""

    def words(self, written: Sequence[str | None]) -> list[SpokenWord]:
        """One spoken word for each of a clause; any for None, which stands where the writer gave the sounds."""
        ...


@dataclass(frozen=True)
class _Group:
    phones: tuple[str, ...]
    stress: tuple[int, ...]


class Phonemizer:
    """Phones of one language.

    language: one with a front end of its own (`ko`), or an espeak voice (`en-us`, `de`, `nl`, ...); without the espeak
    extra `en-us` too has one.
    Else raises MissingExtra without the espeak extra and UnknownName for a language that espeak lacks, on first use.
    """

    def __init__(self, language: str) -> None:
        self.language = _ALIASES.get(language, language)

    def phonemize(self, normalized: str) -> tuple[SpokenWord | Pause, ...]:
        """Words and what stands between them, in order; `[[...]]` as in text.inline. Empty for text without words."""
        items: list[SpokenWord | Pause] = []
        pending: list[tuple[str, str | None]] = []

        def flush() -> None:
            for start in range(0, len(pending), _CLAUSE_WORDS):
                for word in self._clause(pending[start : start + _CLAUSE_WORDS]):
                    if items and isinstance(items[-1], SpokenWord) and not word.joined:
                        items.append(Pause(GAP))
                    items.append(word)
            pending.clear()

        for text, raw in _pieces(normalized):
            if raw is not None:
                pending.extend(self._given(raw))
                continue
            parts = _PUNCTUATION_RUN.split(text)
            for index, part in enumerate(parts):
                if index % 2 == 0:
                    pending.extend((word, None) for word in _words(part))
                    if not pending and part.isspace():
                        _append_space(items)
                else:
                    before = " " if pending and parts[index - 1].endswith(" ") else ""
                    flush()
                    _append_pause(items, before + part)
        flush()
        return tuple(items)

    def _given(self, raw: str) -> list[tuple[str, str | None]]:
        """Written words and their IPA of one `[[...]]` (text.inline); without a written word the IPA stands for it."""
        given = read_given(raw)
        sounds = self._respelled(given.sounds) if given.respelled else given.sounds
        groups, words = sounds.split(), given.written.split()
        if not groups:
            return []
        if not words:
            return [(given.sounds, sounds)] if given.respelled else [(group, group) for group in groups]
        if len(words) == len(groups):
            return list(zip(words, groups, strict=True))
        return [(given.written, sounds)]

    def _respelled(self, words: str) -> str:
        """The IPA of other words to read: phones parted by "_", words by spaces, marks between words kept as phones."""
        items = self.phonemize(normalize(words, self.language))
        said = "".join(
            (f"_{item.marks[0]}_" if item.marks else " ")
            if isinstance(item, Pause)
            else "_".join(
                "".join(mark for mark, value in STRESS_MARKS.items() if value == stress) + phone
                for phone, stress in zip(item.phones, item.stress, strict=True)
            )
            for item in items
        )
        return said.strip(" _" + PUNCTUATION)

    def _clause(self, written: Sequence[tuple[str, str | None]]) -> list[SpokenWord]:
        """The words of one clause; those with an IPA of their own are spoken as a neutral word while espeak listens."""
        if self.language.startswith("en"):
            written = _letters_named(written)
        if all(ipa is not None for _, ipa in written):
            return [_from_ipa(text, ipa or "") for text, ipa in written]
        front_end = _front_end(self.language)
        spoken: Sequence[SpokenWord]
        if front_end is not None:
            spoken = front_end.words([text if ipa is None else None for text, ipa in written])
        else:
            placeholder = _PLACEHOLDERS.get(self.language, "la")
            spoken = _spoken(self.language, tuple(text if ipa is None else placeholder for text, ipa in written))
        return [
            word if ipa is None else _from_ipa(text, ipa, word.joined)
            for (text, ipa), word in zip(written, spoken, strict=True)
        ]


def sounds_of(ipa: str) -> tuple[str, ...]:
    """The phones of a person's IPA, without stress marks and gaps; what no table knows comes out as it is."""
    return tuple(phone for phone in _from_ipa("", ipa).phones if phone != GAP)


def split_phones(ipa: str, known: Mapping[str, int] | frozenset[str]) -> list[str]:
    """IPA without separators cut into known symbols, longest first; the unknown comes out character by character."""
    phones = []
    longest = max(map(len, known), default=1)
    position = 0
    while position < len(ipa):
        for length in range(min(longest, len(ipa) - position), 0, -1):
            if length == 1 or ipa[position : position + length] in known:
                phones.append(ipa[position : position + length])
                position += length
                break
    return phones


def _letters_named(written: Sequence[tuple[str, str | None]]) -> list[tuple[str, str | None]]:
    """English initials: the letter A beside another single capital ("U S A", "3 A M") is not the article."""
    single = [len(text) == 1 and text.isupper() and text != "I" for text, _ in written]
    named = list(written)
    for k, (text, ipa) in enumerate(written):
        if text == "A" and ipa is None and (any(single[max(0, k - 1) : k]) or any(single[k + 1 : k + 2])):
            named[k] = (text, _LETTER_A)
    return named


def _from_ipa(text: str, ipa: str, joined: bool = False) -> SpokenWord:
    """A word from a person's IPA; a stress mark, put before the syllable or the vowel, goes to the next vowel."""
    phones: list[str] = []
    stress: list[int] = []
    for part in ipa.replace("g", "ɡ").replace("\u0361", "").split("_"):
        phones += _parted_before_vowels(split_phones(part, _WRITTEN_SOUNDS))
    kept: list[str] = []
    waiting = 0
    for index, phone in enumerate(phones):
        if phone in STRESS_MARKS:
            waiting = STRESS_MARKS[phone]
            continue
        following = phones[index + 1 :]
        carries = is_vowel(phone) or not any(is_vowel(p) for p in following)
        kept.append(phone)
        stress.append(waiting if carries else 0)
        waiting = 0 if carries else waiting
    return SpokenWord(text, tuple(kept), tuple(stress), joined)


def _parted_before_vowels(phones: list[str]) -> list[str]:
    """espeak's vowels with ɹ or l in them (`ɛɹ` in "air", `əl` in "little") are two phones before a vowel ("airy",
    "hello")."""
    parted: list[str] = []
    for index, phone in enumerate(phones):
        following = next((p for p in phones[index + 1 :] if p not in STRESS_MARKS), "")
        if len(phone) > 1 and phone[-1] in "ɹl" and is_vowel(following):
            parted += [phone[:-1], phone[-1]]
        else:
            parted.append(phone)
    return parted


def _pieces(text: str) -> Iterator[tuple[str, str | None]]:
    """(text, None) and ("", raw phonemes), in order."""
    end = 0
    for match in RAW_PHONEMES.finditer(text):
        yield text[end : match.start()], None
        yield "", match[1]
        end = match.end()
    yield text[end:], None


def _words(text: str) -> list[str]:
    words = []
    for word in _UNSPOKEN.sub(" ", text).split():
        if any(character.isalnum() for character in word):
            # espeak's own buffer ends at 160 bytes; nothing that long is a word
            words += [word[i : i + _WORD_CHARACTERS] for i in range(0, len(word), _WORD_CHARACTERS)]
    return words


def _append_space(items: list[SpokenWord | Pause]) -> None:
    if items and isinstance(items[-1], Pause) and not items[-1].text.endswith(" "):
        items[-1] = Pause(items[-1].text + " ")


def _append_pause(items: list[SpokenWord | Pause], text: str) -> None:
    text = " ".join(text.split()) if not text[-1:].isspace() else " ".join(text.split()) + " "
    if items and isinstance(items[-1], Pause):
        items[-1] = Pause(items[-1].text + text)
    else:
        items.append(Pause(text))


@cache
def _front_end(language: str) -> FrontEnd | None:
    """The language's own front end, None where espeak is asked."""
    own = _FRONT_ENDS if has_espeak() else _FRONT_ENDS | _WITHOUT_ESPEAK
    if language not in own:
        return None
    front_end: FrontEnd = import_module(own[language]).FRONT_END
    return front_end


def has_espeak() -> bool:
    """Whether the espeak extra is installed."""
    return all(find_spec(name) is not None for name in ("phonemizer", "espeakng_loader"))


@lru_cache(maxsize=1)
def _espeak_library() -> Any:
    try:
        import espeakng_loader
        from phonemizer.backend.espeak.wrapper import EspeakWrapper
    except ImportError as error:
        raise MissingExtra("phonemizer", "espeak", "turning text into phonemes") from error
    logging.getLogger("phonemizer").setLevel(logging.ERROR)
    EspeakWrapper.set_library(espeakng_loader.get_library_path())
    EspeakWrapper.set_data_path(espeakng_loader.get_data_path())
    return EspeakWrapper


@lru_cache(maxsize=1)
def espeak_languages() -> frozenset[str]:
    """Names of espeak's languages, in lower case; needs the espeak extra."""
    return frozenset(str(voice.language).lower() for voice in _espeak_library()().available_voices())


@cache
def _engine(language: str) -> Any:
    """One espeak instance a language: switching voices costs more than a second copy of the library."""
    engine = _espeak_library()()
    try:
        engine.set_voice(language)
    except RuntimeError as error:
        raise unknown_name("language", language, {v.language for v in engine.available_voices()}) from error
    return engine


@lru_cache(maxsize=1 << 16)
def _groups(language: str, text: str) -> tuple[_Group, ...]:
    """espeak's groups of phones of one clause, without the flags it prints where it changes language."""
    with _LOCK:
        printed = _engine(language).text_to_phonemes(text)
    groups = []
    for group in _LANGUAGE_FLAG.sub("", printed).split():
        phones: list[str] = []
        stress: list[int] = []
        for phone in group.split("_"):
            marks = [STRESS_MARKS[c] for c in phone if c in STRESS_MARKS]
            plain = "".join(c for c in phone if c not in STRESS_MARKS)
            if plain:
                phones.append(plain)
                stress.append(marks[0] if marks else 0)
        if phones:
            groups.append(_Group(tuple(phones), tuple(stress)))
    return tuple(groups)


@lru_cache(maxsize=1 << 14)
def _spoken(language: str, words: tuple[str, ...]) -> tuple[SpokenWord, ...]:
    groups = _groups(language, " ".join(words))
    alone = [[phone for group in _groups(language, word) for phone in group.phones] for word in words]
    if len(groups) == len(words) and all(abs(len(g.phones) - len(a)) <= 2 for g, a in zip(groups, alone, strict=True)):
        return tuple(SpokenWord(w, g.phones, g.stress) for w, g in zip(words, groups, strict=True))
    phones = [phone for group in groups for phone in group.phones]
    stress = [mark for group in groups for mark in group.stress]
    starts = {0, len(phones)}
    for group in groups:
        starts.add(max(starts - {len(phones)}, default=0) + len(group.phones))
    borders = align_words(phones, frozenset(starts), alone)
    result = []
    for word, first, last in zip(words, borders, borders[1:], strict=False):
        said: list[str] = []
        marks: list[int] = []
        for index in range(first, last):
            if index in starts and index > first:
                said.append(GAP)
                marks.append(0)
            said.append(phones[index])
            marks.append(stress[index])
        result.append(SpokenWord(word, tuple(said), tuple(marks), joined=first not in starts or first == last))
    return tuple(result)


def align_words(phones: Sequence[str], starts: frozenset[int], alone: Sequence[Sequence[str]]) -> list[int]:
    """Borders of the words in the phones of a clause: word k is `phones[borders[k] : borders[k + 1]]`.

    Edit distance between the clause and its words said alone, in a band about the diagonal; a border inside a group of
    espeak's, and a start of a group inside a word, cost extra. starts: where groups start, 0 and the end included.
    alone: the phones of each word said alone.
    """
    rows: list[str | None] = []  # None is the border between two words
    for index, word in enumerate(alone):
        rows += ([None] if index else []) + list(word)
    total = len(phones)
    band = max(25, abs(total - len(rows)) + 15)
    infinite = float("inf")
    cost = [[infinite] * (total + 1) for _ in range(len(rows) + 1)]
    came: list[list[str]] = [[""] * (total + 1) for _ in range(len(rows) + 1)]
    cost[0][0] = 0.0
    for row, phone in enumerate(rows, start=1):
        after_border = row == 1 or rows[row - 2] is None
        centre = row * total // max(1, len(rows))
        low, high = max(0, centre - band), min(total, centre + band)
        above, here, moves = cost[row - 1], cost[row], came[row]
        if phone is None:
            for column in range(low, high + 1):
                here[column] = above[column] + (0.0 if column in starts else _GROUP_BORDER)
                moves[column] = "border"
            continue
        for column in range(low, high + 1):
            best, move = above[column] + 0.8, "skip"
            if column:
                crossing = _GROUP_BORDER if column - 1 in starts else 0.0
                step = above[column - 1] + _difference(phone, phones[column - 1]) + (0.0 if after_border else crossing)
                if step <= best:
                    best, move = step, "match"
                step = here[column - 1] + 0.8 + crossing
                if step < best:
                    best, move = step, "insert"
            here[column] = best
            moves[column] = move
    borders = [total]
    row, column = len(rows), total
    while row:
        move = came[row][column]
        if move == "insert":
            column -= 1
            continue
        if move == "border":
            borders.append(column)
        elif move == "match":
            column -= 1
        row -= 1
    borders.append(0)
    borders.reverse()
    return _without_empty(borders)


def _without_empty(borders: list[int]) -> list[int]:
    """A word that got no phone takes one from the longer neighbour that has two or more."""
    for k in range(len(borders) - 1):
        if borders[k + 1] > borders[k]:
            continue
        before = borders[k] - borders[k - 1] if k else 0
        after = borders[k + 2] - borders[k + 1] if k + 2 < len(borders) else 0
        if after >= 2 and after >= before:
            borders[k + 1] += 1
        elif before >= 2:
            borders[k] -= 1
    return borders


def _difference(first: str, second: str) -> float:
    if first == second:
        return 0.0
    if is_vowel(first) and is_vowel(second):
        return 0.4 if first[0] != second[0] else 0.2
    return 1.6 if is_vowel(first) != is_vowel(second) else 0.8
