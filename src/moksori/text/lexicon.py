"""A user's pronunciations: which written words sound otherwise than the rules say, by language and voice.

An entry is found in the written text, before normalisation, so it also decides over digits, dots and abbreviations.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from moksori.errors import TextError
from moksori.text.inline import as_sounds, as_words
from moksori.text.normalize import RAW_PHONEMES
from moksori.text.phonemes import sounds_of
from moksori.text.symbols import PUNCTUATION, SYMBOL_IDS

_TOKEN = re.compile(r"[^\W_]+|[^\w\s]|_")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[a-z0-9]{1,8}){0,3}", re.IGNORECASE)
_LETTERS = "æøœçðßħ"
"""Symbols of the IPA that alphabets have too: they alone do not make a pronunciation IPA."""
_IPA_ONLY = frozenset(c for c in "".join(SYMBOL_IDS) if not c.isascii()) - frozenset(PUNCTUATION + _LETTERS)
_JOINERS = "'’.@"
_LONGEST = 200
_EVERY = ("", "*")


@dataclass(frozen=True)
class Entry:
    """A written word or words and how they are said.

    said: IPA, or other words to read instead where `respelled`. language: "en" also covers "en-us"; None = all.
    voice: a model or speaker; None = all.
    """

    written: str
    said: str
    respelled: bool = False
    language: str | None = None
    voice: str | None = None

    @property
    def inline(self) -> str:
        return self.said if not self.respelled else f"={self.said}"

    @cached_property
    def tokens(self) -> tuple[str, ...]:
        return tuple(_folded(token) for token in _TOKEN.findall(self.written))

    @property
    def exact(self) -> bool:
        """Whether case counts: with a capital beyond a word's first letter (GIF, iPhone)."""
        return any(word[1:] != word[1:].lower() for word in self.written.split())


@dataclass(frozen=True)
class Lexicon:
    """Entries; where several fit, the one with the narrower scope counts, then the later one.

    Case: an entry with a capital beyond a word's first letter fits only as it is written, others in any case; of two
    that differ in case alone the one written like the text counts. Longer entries come before shorter ones.
    """

    entries: tuple[Entry, ...] = ()

    @staticmethod
    def of(source: "LexiconSource | None") -> "Lexicon":
        """A lexicon from whatever describes one: a mapping word -> IPA or respelling, a file, several, or none."""
        if source is None:
            return Lexicon()
        if isinstance(source, Lexicon):
            return source
        if isinstance(source, Mapping):
            return Lexicon(tuple(_entry(word, said) for word, said in source.items()))
        if isinstance(source, str | Path):
            return read_lexicon(source)
        if isinstance(source, Iterable):
            return read_lexicon(*source)
        raise TextError(f"lexicon {source!r}: expected a mapping of word to IPA, a file or several files")

    def __bool__(self) -> bool:
        return bool(self.entries)

    def __add__(self, other: "Lexicon") -> "Lexicon":
        """Both; the other's entries count before this one's."""
        return Lexicon(self.entries + other.entries)

    def for_voice(self, *names: str | None) -> "Lexicon":
        """The entries that hold for a voice by any of these names."""
        return Lexicon(tuple(entry for entry in self.entries if entry.voice is None or entry.voice in names))

    def marked(self, text: str, language: str) -> str:
        """Text whose known words carry their sounds (`[[sounds|word]]`), which keeps them from the normaliser."""
        if not self.entries or not text:
            return text
        parts: list[str] = []
        end = 0
        for match in RAW_PHONEMES.finditer(text):
            parts += [self._marked(text[end : match.start()], language), match[0]]
            end = match.end()
        return "".join([*parts, self._marked(text[end:], language)])

    def as_json(self) -> list[list[str | None]]:
        """All entries as plain values; two lexicons that say the same have the same."""
        return [[e.written, e.inline, e.language, e.voice] for e in self.entries]

    @cached_property
    def _by_first_token(self) -> dict[str, list[Entry]]:
        """Entries by their first token: the longest, the narrowest and the latest first."""
        table: dict[str, list[Entry]] = {}
        for _, entry in sorted(enumerate(self.entries), key=lambda pair: _rank(*pair), reverse=True):
            table.setdefault(entry.tokens[0], []).append(entry)
        return table

    def _marked(self, text: str, language: str) -> str:
        found = list(_TOKEN.finditer(text))
        folded = [_folded(match[0]) for match in found]
        parts: list[str] = []
        end = position = 0
        while position < len(found):
            entry = self._at(text, found, folded, position, language)
            if entry is None:
                position += 1
                continue
            first, last = found[position], found[position + len(entry.tokens) - 1]
            position += len(entry.tokens)
            written, said, stop = text[first.start() : last.end()], entry.said, last.end()
            ending = _POSSESSIVE.match(text, stop) if language.startswith("en") else None
            if ending:
                said, stop = _possessive(entry), ending.end()
                written += "'s"
                position += 2
            parts += [text[end : first.start()], (as_words if entry.respelled else as_sounds)(written, said)]
            end = stop
        return "".join([*parts, text[end:]])

    def _at(
        self, text: str, found: Sequence[re.Match[str]], folded: Sequence[str], position: int, language: str
    ) -> Entry | None:
        best: Entry | None = None
        for entry in self._by_first_token.get(folded[position], ()):
            if best is not None and (len(entry.tokens), _scope(entry)) != (len(best.tokens), _scope(best)):
                break
            size = len(entry.tokens)
            if tuple(folded[position : position + size]) != entry.tokens or not _covers(entry.language, language):
                continue
            first, last = found[position], found[position + size - 1]
            written = " ".join(text[first.start() : last.end()].split()).replace("’", "'")
            same = written == entry.written
            if (entry.exact and not same) or not _is_same_spacing(written, entry.written):
                continue
            if _is_inside_word(text, first.start(), last.end(), language):
                continue
            if same:
                return entry
            best = best or entry
        return best


LexiconSource = Lexicon | Mapping[str, str] | str | Path | Sequence[str | Path]
"""What `lexicon=` takes."""


def read_lexicon(*paths: str | Path) -> Lexicon:
    """Lexicon files: lines `word<TAB>IPA or respelling[<TAB>language[<TAB>voice]]`; `#` starts a comment line.

    `word=IPA` is read as well. IPA is what holds a symbol of the IPA that is no letter of an alphabet, or stands
    between slashes; anything else is a respelling: other words to read. Raises TextError naming file and line.
    """
    entries: list[Entry] = []
    for path in map(Path, paths):
        for number, line in enumerate(_lines(path), start=1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            try:
                entries.append(_from_line(line))
            except TextError as error:
                raise TextError(f"{path}:{number}: {error}") from error
    return Lexicon(tuple(entries))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise TextError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}: check the name") from error
    except UnicodeDecodeError as error:
        raise TextError(f"{path}: no UTF-8 text at byte {error.start}: save it as UTF-8") from error


def _from_line(line: str) -> Entry:
    columns = [column.strip() for column in line.strip("\r\n ").split("\t")]
    if len(columns) == 1:
        columns = [part.strip() for part in line.split("=", 1)]
    if len(columns) < 2 or not columns[0] or not columns[1]:
        raise TextError(f"{line.strip()[:40]!r}: expected a word, a tab and its phonemes in IPA or a respelling")
    if len(columns) > 4:
        raise TextError(f"{line.strip()[:40]!r}: {len(columns)} columns: expected word, sounds, language, voice")
    language, voice = (column if column not in _EVERY else None for column in [*columns, "", ""][2:4])
    return _entry(columns[0], columns[1], language, voice)


def _entry(written: str, said: str, language: str | None = None, voice: str | None = None) -> Entry:
    """Raises TextError for a word or sounds that cannot be used, naming them."""
    if not isinstance(written, str) or not isinstance(said, str):
        raise TextError(f"lexicon entry {written!r}: {said!r}: expected two strings, the word and its sounds")
    written = " ".join(written.split()).replace("’", "'")
    if not any(character.isalnum() for character in written) or len(written) > _LONGEST:
        raise TextError(f"the word {written[:40]!r}: expected letters or digits, {_LONGEST} characters at most")
    if any(character in written for character in "[]|"):
        raise TextError(f"the word {written[:40]!r}: brackets and bars cannot be part of it: leave them out")
    if language is not None and not _LANGUAGE.fullmatch(language):
        raise TextError(f"the language {language[:20]!r}: expected a name such as en, en-us or de, or * for all")
    slashed = len(said) > 2 and said[0] == said[-1] == "/"
    ipa = said.strip("/").strip() if slashed else said.strip()
    if slashed or any(character in _IPA_ONLY for character in ipa):
        phones = sounds_of(ipa)
        unknown = [phone for phone in phones if phone not in SYMBOL_IDS]
        if unknown or not phones:
            named = ", ".join(repr(phone) for phone in dict.fromkeys(unknown)) or "nothing"
            raise TextError(
                f"{written!r}: the sounds {ipa[:40]!r} hold {named}, which is no symbol of the IPA known here"
            )
        return Entry(written, ipa, False, language.lower() if language else None, voice)
    if not any(character.isalnum() for character in said):
        raise TextError(f"{written!r}: {said[:40]!r} is neither IPA nor a respelling: give sounds or words")
    return Entry(written, " ".join(said.strip("\"'").split()), True, language.lower() if language else None, voice)


_POSSESSIVE = re.compile(r"['’]s(?!\w)")


def _possessive(entry: Entry) -> str:
    if entry.respelled:
        return entry.said + "'s"
    last = entry.said.rstrip("ː")[-1:]
    return entry.said + ("ɪz" if last in "szʃʒ" else "s" if last in "ptkfθ" else "z")


def _folded(token: str) -> str:
    return "'" if token == "’" else token.casefold()


def _scope(entry: Entry) -> tuple[int, int]:
    return (entry.voice is not None, len(entry.language or ""))


def _rank(index: int, entry: Entry) -> tuple[int, tuple[int, int], int]:
    return (len(entry.tokens), _scope(entry), index)


def _covers(scope: str | None, language: str) -> bool:
    language = language.lower()
    return scope is None or language == scope or language.startswith(scope + "-")


def _is_same_spacing(written: str, entry: str) -> bool:
    return [c for c in written if c == " "] == [c for c in entry if c == " "] and len(written) == len(entry)


def _is_inside_word(text: str, start: int, end: int, language: str) -> bool:
    """Whether it is part of a longer word: "can" in "can't", "us" in "U.S." or an address, but not in "can's"."""
    if start >= 2 and text[start - 1] in _JOINERS and text[start - 2].isalnum():
        return True
    joined = end + 1 < len(text) and text[end] in _JOINERS and text[end + 1].isalnum()
    return joined and not (language.startswith("en") and _POSSESSIVE.match(text, end))
