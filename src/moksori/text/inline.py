"""How a text says in itself what a word sounds like; such a word is kept from the normaliser.

`[[həˈloʊ]]` is sounds; `[[həˈloʊ|hello]]` are the sounds of the written word "hello", which the word timings show;
`[[=see quell|SQL]]` is a written word read as other words. `[hello](/həˈloʊ/)` is the second, as a link is written.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from moksori.errors import TextError
from moksori.text.normalize import RAW_PHONEMES

_LINK = re.compile(r"\[([^\[\]\n]{1,200})\]\(/([^/()\[\]\n]{1,400})/\)")
_RESERVED = re.compile(r"[\[\]|\s\ue000]+")
_SPACE = "\ue000"
"""Stands for a space inside the inline form, so that no sentence is split there; no writer uses it (private area)."""


@dataclass(frozen=True)
class Given:
    """One `[[...]]`: IPA or (`respelled`) other words to read, and the written word, "" where none is named."""

    sounds: str
    written: str
    respelled: bool = False


def as_sounds(written: str, ipa: str) -> str:
    """The inline form of a written word with its sounds."""
    return f"[[{_clean(ipa).lstrip('=')}|{_clean(written)}]]"


def as_words(written: str, words: str) -> str:
    """The inline form of a written word that is read as other words."""
    return f"[[={_clean(words)}|{_clean(written)}]]"


def links_inlined(text: str) -> str:
    """`[hello](/həˈloʊ/)` in the inline form of this package; all else unchanged."""
    return _LINK.sub(lambda match: as_sounds(match[1], match[2]), text) if "](/" in text else text


def read_given(content: str) -> Given:
    """What stands between `[[` and `]]`."""
    sounds, _, written = content.replace(_SPACE, " ").partition("|")
    sounds = sounds.strip()
    respelled = sounds.startswith("=")
    return Given(sounds.removeprefix("=").strip(), " ".join(written.split()), respelled)


def all_given(text: str) -> Iterator[Given]:
    """Every `[[...]]` of a text, in order."""
    return (read_given(match[1]) for match in RAW_PHONEMES.finditer(text))


def as_written(text: str) -> str:
    """What a reader is shown: written words in place of `[[...]]`, the sounds themselves where no word is named."""
    return RAW_PHONEMES.sub(_as_written, links_inlined(text))


def _as_written(match: re.Match[str]) -> str:
    given = read_given(match[1])
    return given.written or given.sounds


def without_sounds(text: str) -> str:
    """Text for voices that read letters: respellings in place, sounds left out beside their written word.

    Raises TextError for sounds without a written word, which such a voice cannot say.
    """
    return RAW_PHONEMES.sub(_without_sounds, text)


def _without_sounds(match: re.Match[str]) -> str:
    given = read_given(match[1])
    if given.sounds and not given.respelled and not given.written:
        raise TextError(f"the sounds {given.sounds[:40]!r}: this voice reads letters: write a word in their place")
    return given.sounds if given.respelled else given.written


def _clean(text: str) -> str:
    return _RESERVED.sub(" ", text).strip().replace(" ", _SPACE)
