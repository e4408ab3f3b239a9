"""Texts for models of Amphion: their table of symbols, and what its rows are to the texts of this package.

Theirs are the units of CMUdict in order, `sp`, `spn` and `sil` for pauses, `<s>` and `</s>`; nothing stands between two
words, and a mark is `sp`. Row 0 is a unit (AA without stress, which no dictionary has), though it pads.
"""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from moksori.errors import CheckpointError
from moksori.text.arpabet import pronunciations
from moksori.text.symbols import ARPABET, UNIT
from moksori.text.tokenizer import TextConfig

PAUSES = ("<sp>", "<spn>", "<sil>")
KNOWN: tuple[str, ...] = (*(UNIT + unit for unit in ARPABET), *PAUSES, "<s>", "</s>")
"""Their symbols, units as our texts name them, and what is silent in brackets, by which it is known to be so."""
MARKS = '?!.…;:—,¡¿"“”«»'
_USUAL = {
    "a": "AE1", "b": "B", "c": "K", "d": "D", "e": "EH1", "f": "F", "g": "G", "h": "HH", "i": "IH1", "j": "JH",
    "k": "K", "l": "L", "m": "M", "n": "N", "o": "AA1", "p": "P", "q": "K", "r": "R", "s": "S", "t": "T", "u": "AH1",
    "v": "V", "w": "W", "x": "K", "y": "IY0", "z": "Z",
}  # fmt: skip
"""Letters of words that no dictionary has, as they are said most often."""


def text_config(rows: int, file: Path) -> tuple[TextConfig, tuple[str, ...]]:
    """How texts become rows of a table of so many, and notes; raises CheckpointError for a table that is too short."""
    if not len(KNOWN) <= rows <= 4096:
        raise CheckpointError(
            f"{file}: has {rows} symbols, Amphion's English has {len(KNOWN)} or more: it cannot be imported"
        )
    unused = (f"<row{row}>" for row in range(len(KNOWN), rows))
    letters = (*_USUAL, *(letter.upper() for letter in _USUAL))
    symbols = (*KNOWN, *unused, *MARKS, *letters)
    dictionaries = sorted(p for p in file.parent.glob("cmudict*") if p.is_file() and p.suffix in ("", ".dict", ".txt"))
    dictionary, note = None, "words are looked up in the lexicon of moksori: put a cmudict file beside the weights"
    if dictionaries:
        pronunciations(str(dictionaries[0]))
        dictionary = str(dictionaries[0].resolve())
        note = f"words are looked up in {dictionaries[0]}, which must stay where it is"
    text = TextConfig(mode="arpabet", symbols=symbols, ends=False, keep_ambiguous=True, dictionary=dictionary)
    return text, (f"{note}; of words that are not in it, or are said in two ways, every letter gets its usual sound",)


def told_rows(table: Float[Tensor, "rows channels"], text: TextConfig) -> Float[Tensor, "symbols channels"]:
    """Their table, and behind it rows for marks, which are pauses, and letters, which are units."""
    pause, place = KNOWN.index(PAUSES[0]), {symbol: row for row, symbol in enumerate(KNOWN)}
    behind = text.symbols[len(table) :]
    copied = [place[UNIT + _USUAL[symbol.lower()]] if symbol.lower() in _USUAL else pause for symbol in behind]
    return torch.cat([table, table[copied]])
