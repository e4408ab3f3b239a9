"""Letters -> phones with stress, by a linear model over hashed features (text.letter_features).

Each letter of a word is given a label: the phones that it stands for, none to four, with their stress. Labels are
chosen from left to right; the score of a label is the sum of the weights of the features that are there, features of
earlier choices among them (the linear-chain transducer of Jiampojamarn et al., 2008, with greedy search, trained as an
averaged perceptron with a margin). A feature that was rare in training is off: its bucket holds the mark of another.
"""

import io
import lzma
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int8, Int32, UInt8

from moksori.text.english_context import Sounds
from moksori.text.letter_features import ALPHABET, codes_of, fixed_features, history_rows
from moksori.text.symbols import is_vowel

SPELLED = "<spelled>"
"""The label of letters that are named one by one ("fbi")."""


@dataclass(frozen=True)
class Label:
    """What one letter stands for. number: of all labels, from 1; the same for equal labels of different letters."""

    sounds: Sounds
    number: int
    primary: bool
    vowel: bool


class Labels:
    """The labels of each letter, and what they mean.

    by_letter: letter -> labels as Sounds are written, "" for none. names: letter -> its name, written so.
    """

    def __init__(self, by_letter: Mapping[str, Sequence[str]], names: Mapping[str, str]) -> None:
        numbers = {label: k + 1 for k, label in enumerate(sorted({x for some in by_letter.values() for x in some}))}
        self.written = {letter: list(labels) for letter, labels in by_letter.items()}
        self.names = {letter: Sounds.read(name) for letter, name in names.items()}
        self.of = {
            letter: [_label(written, numbers[written]) for written in labels] for letter, labels in by_letter.items()
        }

    def word(self, letters: str, chosen: Sequence[int]) -> Sounds:
        """The sounds of a word from the label chosen for each letter."""
        labels = [self.of[letter][k] for letter, k in zip(letters, chosen, strict=True)]
        written = [self.written[letter][k] for letter, k in zip(letters, chosen, strict=True)]
        if 2 * written.count(SPELLED) > len(written):
            return self.spelled(letters)
        phones = tuple(phone for label in labels for phone in label.sounds.phones)
        return Sounds(phones, tuple(mark for label in labels for mark in label.sounds.stress))

    def spelled(self, letters: str) -> Sounds:
        """Letters named one by one, the last with the primary stress."""
        named = [self.names[letter] for letter in letters if letter in self.names]
        phones: list[str] = []
        stress: list[int] = []
        for k, name in enumerate(named):
            phones += name.phones
            stress += [mark and (1 if k == len(named) - 1 else 2) for mark in name.stress]
        return Sounds(tuple(phones), tuple(stress))


def _label(written: str, number: int) -> Label:
    sounds = Sounds((), ()) if written == SPELLED else Sounds.read(written)
    return Label(sounds, number, 1 in sounds.stress, any(map(is_vowel, sounds.phones)))


class LetterModel:
    """The trained model.

    marks: of each bucket the mark of the feature that owns it. weights: of each bucket's feature for each label of the
    focus letter. history: the same for features of earlier choices, which have no marks.
    """

    def __init__(
        self,
        labels: Labels,
        marks: UInt8[np.ndarray, " buckets"],
        rows: Int32[np.ndarray, " buckets"],
        weights: Int8[np.ndarray, "rows labels"],
        history: Int8[np.ndarray, "history labels"],
    ) -> None:
        self.labels, self.marks, self.rows, self.weights, self.history = labels, marks, rows, weights, history

    def sounds(self, word: str) -> Sounds:
        """The sounds of one word of lower-case letters a-z and apostrophes."""
        codes, letters = codes_of([word])
        fixed, halves = fixed_features(codes, letters)
        buckets, marks = bucket_and_mark(fixed, len(self.marks))
        rows = np.where(self.marks[buckets] == marks, self.rows[buckets], 0)
        scores = self.weights[rows].sum(axis=1, dtype=np.int32)
        chosen: list[int] = []
        before, before2, seen, vowel = 0, 0, 0, 0
        for k, letter in enumerate(word):
            places = history_rows(halves[k], before, before2, seen, vowel, len(self.history))
            total = scores[k] + self.history[places].sum(axis=0, dtype=np.int32)
            labels = self.labels.of[letter]
            chosen.append(int(total[: len(labels)].argmax()))
            label = labels[chosen[-1]]
            before, before2 = label.number, before
            seen = seen or int(label.primary)
            vowel = label.number if label.vowel else vowel
        return self.labels.word(word, chosen)

    @classmethod
    def load(cls, path: Path) -> "LetterModel":
        """From a file that `save` wrote."""
        with np.load(io.BytesIO(lzma.decompress(path.read_bytes())), allow_pickle=False) as data:
            written = data["labels"].tobytes().decode().split("\n")
            by_letter = {line[0]: line[2:].split("\t") for line in written[: len(ALPHABET)]}
            names = {line[0]: line[2:] for line in written[len(ALPHABET) :]}
            used = np.unpackbits(data["used"]).astype(bool)
            marks = np.zeros(len(used), dtype=np.uint8)
            marks[used] = data["marks"]
            rows = np.where(used, np.cumsum(used), 0).astype(np.int32)
            most = max(map(len, by_letter.values()))
            weights = _dense(data["counts"], data["places"], data["values"], most, first_empty=True)
            history = _dense(data["history_counts"], data["history_places"], data["history_values"], most)
        return cls(Labels(by_letter, names), marks, rows, weights, history)

    def save(self, path: Path) -> None:
        """Writes the model as one compressed file of arrays, zeros left out."""
        lines = ["\t".join((letter, *self.labels.written[letter])) for letter in ALPHABET]
        lines += [f"{letter}\t{sounds.written}" for letter, sounds in self.labels.names.items()]
        used = self.rows > 0
        counts, places, values = _sparse(self.weights[1:])
        history_counts, history_places, history_values = _sparse(self.history)
        buffer = io.BytesIO()
        np.savez(
            buffer,
            labels=np.frombuffer("\n".join(lines).encode(), dtype=np.uint8),
            used=np.packbits(used),
            marks=self.marks[used],
            counts=counts,
            places=places,
            values=values,
            history_counts=history_counts,
            history_places=history_places,
            history_values=history_values,
        )
        path.write_bytes(lzma.compress(buffer.getvalue(), preset=9 | lzma.PRESET_EXTREME))


def bucket_and_mark(hashes: np.ndarray, buckets: int) -> tuple[np.ndarray, np.ndarray]:
    """Where the weights of features stand, and the eight bits that tell apart the features of one bucket."""
    return (hashes & np.uint64(buckets - 1)).astype(np.int64), (hashes >> np.uint64(40)).astype(np.uint8)


def _sparse(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    filled = weights != 0
    return filled.sum(axis=1).astype(np.uint8), np.nonzero(filled)[1].astype(np.uint8), weights[filled]


def _dense(
    counts: np.ndarray, places: np.ndarray, values: np.ndarray, labels: int, first_empty: bool = False
) -> Int8[np.ndarray, "rows labels"]:
    dense = np.zeros((len(counts) + first_empty, labels), dtype=np.int8)
    dense[np.repeat(np.arange(len(counts)) + first_empty, counts), places] = values
    return dense
