"""Sentences on which speech goes wrong where attention decides what is said next, and what has gone wrong with one.

A word is skipped if the recogniser did not hear it, repeated if it heard one more of a word that stands close by, and
cut off if nothing that came after it was heard either. Words that were heard as others are none of these, but of a
sentence in which they are more than half nothing can be said, and it counts as one that went wrong.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from typing import Literal

from moksori.evaluation.intelligibility import spoken_words

NEAR_WORDS = 6
"""A word that is heard once more is a repeat if it was said, or is to be said, so many words before or after."""
_GAP, _SUBSTITUTION = 3, 4
"""Costs of an alignment: two gaps cost more than a word heard as another, and less than two of these."""

Move = tuple[Literal["hit", "misheard", "missing", "extra"], int, int]
"""What became of a word, with its place in the text and in what was heard (the place of the next word, for gaps)."""


@dataclass(frozen=True)
class HardSentence:
    """One of the list. kind: repeats, numbers, long, one word, tongue twisters."""

    kind: str
    text: str


@dataclass(frozen=True)
class Slips:
    """Words that were left out, said once too often, or not reached; and those misheard, which are none of these.

    inserted: words that were heard and stand nowhere near. words: in the text.
    """

    skipped: tuple[str, ...] = field(default=())
    repeated: tuple[str, ...] = field(default=())
    cut_off: tuple[str, ...] = field(default=())
    inserted: tuple[str, ...] = field(default=())
    misheard: tuple[str, ...] = field(default=())
    words: int = 0

    @property
    def understood(self) -> bool:
        """Whether at least half of the words were heard as what they are, so that the rest means anything."""
        return 2 * (self.words - len(self.misheard) - len(self.skipped) - len(self.cut_off)) >= self.words

    @property
    def clean(self) -> bool:
        """Whether every word was said, once."""
        return self.understood and not (self.skipped or self.repeated or self.cut_off)

    @property
    def values(self) -> Mapping[str, float]:
        """As measures of a sentence: 1 where it happened."""
        return {
            "clean": float(self.clean),
            "skips": float(bool(self.skipped)),
            "repeats": float(bool(self.repeated)),
            "cut_off": float(bool(self.cut_off)),
        }

    def __str__(self) -> str:
        parts = (("skipped", self.skipped), ("repeated", self.repeated), ("cut off before", self.cut_off))
        told = [f"{what} {' '.join(words)}" for what, words in parts if words]
        return "; ".join([*told, *([] if self.understood else ["not understood"])]) or "all said"


@lru_cache(maxsize=1)
def hard_sentences() -> tuple[HardSentence, ...]:
    """The tracked list: 50 English sentences, ten of each kind."""
    text = resources.files("moksori.evaluation").joinpath("hard.tsv").read_text(encoding="utf-8")
    lines = [line.split("\t") for line in text.splitlines() if line and not line.startswith("#")]
    return tuple(HardSentence(kind, sentence) for kind, sentence in lines[1:])


def count_slips(text: str, heard: str) -> Slips:
    """What became of the words of an English text; both go through `spoken_words`."""
    said, found = spoken_words(text), spoken_words(heard)
    moves = aligned(said, found)
    after = len(said)  # the first word after which none was heard
    for what, place, _ in reversed(moves):
        if what != "missing":
            break
        after = place
    slips: dict[str, list[str]] = {"skipped": [], "repeated": [], "cut_off": [], "inserted": [], "misheard": []}
    for what, place, other in moves:
        if what == "missing":
            slips["cut_off" if place >= after else "skipped"].append(said[place])
        elif what == "extra":
            near = found[max(other - NEAR_WORDS, 0) : other] + found[other + 1 : other + 1 + NEAR_WORDS]
            slips["repeated" if found[other] in near else "inserted"].append(found[other])
        elif what == "misheard":
            slips["misheard"].append(said[place])
    return Slips(**{name: tuple(words) for name, words in slips.items()}, words=len(said))


def aligned(said: Sequence[str], heard: Sequence[str]) -> list[Move]:
    """The cheapest way from one to the other. Among equal ones that in which words go missing as late as possible, so
    that a sentence that was cut off does not seem to have lost words in its middle."""
    rows, columns = len(said), len(heard)
    costs = [[_GAP * (row + column) for column in range(columns + 1)] for row in range(rows + 1)]
    for row in range(1, rows + 1):
        for column in range(1, columns + 1):
            swap = 0 if said[row - 1] == heard[column - 1] else _SUBSTITUTION
            costs[row][column] = min(
                costs[row - 1][column - 1] + swap, costs[row - 1][column] + _GAP, costs[row][column - 1] + _GAP
            )
    return list(_backwards(said, heard, costs))[::-1]


def _backwards(said: Sequence[str], heard: Sequence[str], costs: Sequence[Sequence[int]]) -> Iterator[Move]:
    row, column = len(said), len(heard)
    while row or column:
        cost = costs[row][column]
        diagonal = costs[row - 1][column - 1] if row and column else None
        if row and cost == costs[row - 1][column] + _GAP:
            row -= 1
            yield "missing", row, column
        elif diagonal is not None and said[row - 1] == heard[column - 1] and cost == diagonal:
            row, column = row - 1, column - 1
            yield "hit", row, column
        elif diagonal is not None and cost == diagonal + _SUBSTITUTION:
            row, column = row - 1, column - 1
            yield "misheard", row, column
        else:
            column -= 1
            yield "extra", row, column
