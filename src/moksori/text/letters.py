"""Written text -> the letters of a table: the front end of voices that read characters, as the MMS ones do.

A letter is looked up as it is written, then in lower case, then taken apart into letter and marks. Signs that the table
lacks are left out without a word, as these voices' own front ends do; letters and digits that it lacks are reported.
"""

import re
import unicodedata
from collections.abc import Container, Iterator

from moksori.text.normalize import normalize
from moksori.text.phonemes import Pause, SpokenWord
from moksori.text.symbols import GAP

_WITH_RULES = ("en", "de", "nl", "ko")
"""Languages whose numbers and abbreviations are written out first."""
_PIECES = re.compile(r"\S+")
_ROMANIAN = str.maketrans("țȚ", "ţŢ")
"""The MMS voice was trained on t with a cedilla."""


def spelled(text: str, language: str, known: Container[str]) -> tuple[SpokenWord | Pause, ...]:
    """Words and gaps in order; the `phones` of a word are its letters, the unknown ones among them too.

    language: numbers and signs are read out by its rules where there are some, the text is left as it is elsewhere.
    known: the table's symbols.
    """
    if language.split("-")[0] in _WITH_RULES:
        text = normalize(text, language)
    elif language in ("ro", "ron"):
        text = text.translate(_ROMANIAN)
    items: list[SpokenWord | Pause] = []
    for match in _PIECES.finditer(unicodedata.normalize("NFC", text)):
        letters = tuple(_letters(match[0], known))
        if not letters:
            continue
        if items and GAP in known:
            items.append(Pause(GAP))
        if any(character.isalnum() for character in match[0]):
            items.append(SpokenWord(match[0], letters, (0,) * len(letters)))
        else:
            items.append(Pause("".join(letters)))
    return tuple(items)


def _letters(piece: str, known: Container[str]) -> Iterator[str]:
    for character in piece:
        for form in (character, character.lower(), unicodedata.normalize("NFD", character.lower())):
            if all(part in known for part in form):
                yield from form
                break
        else:
            if character.isalnum():
                yield character
