"""English words beside each other: weak forms, heteronyms, linking r, words run together.

`Sounds` is a word said by itself in the middle of a sentence; `in_context` turns the words of a clause into what is
said there:

- a word with readings of its own (`record`, `read`, `use`) takes the one that the words before it ask for: a verb after
  "to", "they", "will" ..., a participle within two words after "have", "was" ...;
- a word whose sound depends on its neighbours (`the`, `of`, `that`, `there`, some 400) has a decision tree over them,
  learned from espeak's reading of running text (scripts/train_g2p.py);
- any other word that ends in an r-coloured vowel gets an r before a vowel ("order is" -> `ˈɔːɹdɚɹ ɪz`).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from moksori.text.symbols import STRESS_MARKS, is_vowel

FEATURES = ("before", "before2", "after", "after2", "sound", "vowel", "expected", "stressed")
"""What a tree asks of: two words on each side ("" beyond the clause's ends), the first phone of the next word and
whether it is a vowel, the reading that the words before ask for, and the strongest stress of the next word."""

_COLOURED = ("ɚ", "ɜː")
"""Final vowels that keep their sound before a linking r; those written with an r of their own give it away."""
_BREAKS = frozenset(("and", "or", "if"))


@dataclass(frozen=True)
class Sounds:
    """Phones of a word and the stress of each, as in SpokenWord. joined: run together with the word before."""

    phones: tuple[str, ...]
    stress: tuple[int, ...]
    joined: bool = False

    @classmethod
    def read(cls, written: str) -> "Sounds":
        """From phones parted by "_" with stress marks before them, as the files of this package hold them."""
        joined = written.startswith("+")
        parts = written.removeprefix("+").split("_") if written.strip("+") else []
        stress = tuple(STRESS_MARKS.get(part[0], 0) for part in parts)
        return cls(tuple(part.lstrip("ˈˌ") for part in parts), stress, joined)

    @property
    def written(self) -> str:
        """What `read` reads."""
        marks = {value: mark for mark, value in STRESS_MARKS.items()}
        parts = (marks.get(stress, "") + phone for phone, stress in zip(self.phones, self.stress, strict=True))
        return "+" * self.joined + "_".join(parts)


Tree = Any
"""An index into the forms, or [feature, value, tree where the feature has it, tree elsewhere]."""


@dataclass(frozen=True)
class Expectations:
    """Words after which a verb (also in -s), a verb in -s alone or a participle is read.

    objects: words that end the wait for a participle. see_through: words that change no expectation.
    """

    verb: Collection[str]
    verb_s: Collection[str]
    participle: Collection[str]
    objects: Collection[str]
    see_through: Collection[str]

    def of(self, words: Sequence[str]) -> list[str]:
        """For each word of a clause "verb", "verb_s", "past" or ""."""
        found = []
        expected, waiting = "", 0
        for word in words:
            found.append(expected or ("past" if waiting > 0 else ""))
            if word in self.see_through:
                continue
            waiting -= 1
            expected = ""
            if word in self.participle:
                waiting = 2
            elif word in self.verb:
                expected, waiting = "verb", 0
            elif word in self.verb_s:
                expected, waiting = "verb_s", 0
            elif word in self.objects:
                waiting = 0
        return found


@dataclass(frozen=True)
class ContextRules:
    """Everything that was learned about English words beside each other.

    readings: word -> expectation -> its sounds then. trees: word -> (forms, tree).
    """

    expectations: Expectations
    readings: Mapping[str, Mapping[str, Sounds]]
    trees: Mapping[str, tuple[tuple[Sounds, ...], Tree]]

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> "ContextRules":
        """From the JSON of the package's data."""
        return cls(
            Expectations(**{name: frozenset(words) for name, words in data["expectations"].items()}),
            {word: {k: Sounds.read(v) for k, v in forms.items()} for word, forms in data["readings"].items()},
            {word: (tuple(map(Sounds.read, forms)), tree) for word, (forms, tree) in data["trees"].items()},
        )

    def in_context(self, words: Sequence[str], alone: Sequence[Sounds]) -> list[Sounds]:
        """The words of one clause as said together. words: keys of trees and readings. alone: their sounds alone."""
        expected = self.expectations.of(words)
        read = [
            self.reading(word, expects, sounds) for word, expects, sounds in zip(words, expected, alone, strict=True)
        ]
        seen = features(words, read, expected)
        result = []
        for k, sounds in enumerate(read):
            if words[k] in self.trees:
                forms, tree = self.trees[words[k]]
                result.append(forms[_decided(tree, seen[k])])
            else:
                result.append(by_rule(words, k, sounds, seen[k]["sound"]))
        return result

    def reading(self, word: str, expected: str, sounds: Sounds) -> Sounds:
        readings = self.readings.get(word)
        if not readings or not expected:
            return sounds
        if expected == "verb" and "verb" not in readings:
            return readings.get("verb_s", sounds)
        return readings.get(expected, sounds)


def features(words: Sequence[str], alone: Sequence[Sounds], expected: Sequence[str]) -> list[dict[str, str]]:
    """FEATURES of each word of a clause, by name."""
    padded = ["", "", *words, "", ""]
    found = []
    for k in range(len(words)):
        following = alone[k + 1] if k + 1 < len(words) else Sounds((), ())
        strongest = "0" if not any(following.stress) else str(min(s for s in following.stress if s))
        first = following.phones[0] if following.phones else ""
        vowel = "" if not first else "yes" if is_vowel(first) else "no"
        values = (padded[k + 1], padded[k], padded[k + 3], padded[k + 4], first, vowel, expected[k], strongest)
        found.append(dict(zip(FEATURES, values, strict=True)))
    return found


def by_rule(words: Sequence[str], k: int, sounds: Sounds, following: str) -> Sounds:
    """Word k of a clause that has no tree. following: the first phone of the next word, "" for none.

    Before "and", "or" and "if" espeak makes a break that no r crosses, but not after the first word of a clause.
    """
    breaks = k > 0 and k + 1 < len(words) and words[k + 1] in _BREAKS and words[k - 1] not in _BREAKS
    return sounds if breaks else linked(sounds, following)


def linked(sounds: Sounds, following: str) -> Sounds:
    """With an r at the end where the last vowel has one and the next word starts with a vowel."""
    if not sounds.phones or not following or not is_vowel(following):
        return sounds
    last = sounds.phones[-1]
    if last.endswith(_COLOURED):
        return Sounds((*sounds.phones, "ɹ"), (*sounds.stress, 0), sounds.joined)
    if last.endswith("ɹ") and len(last) > 1:
        return Sounds((*sounds.phones[:-1], last[:-1], "ɹ"), (*sounds.stress, 0), sounds.joined)
    return sounds


def _decided(tree: Tree, seen: Mapping[str, str]) -> int:
    while not isinstance(tree, int):
        name, value, yes, no = tree
        tree = yes if seen[name] == value else no
    return tree
