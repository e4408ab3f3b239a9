"""Letters -> phones with stress, by a small convolutional network, in NumPy.

Each letter of a word is given a label: the phones that it stands for, none to four, with their stress. The network
(scripts/g2p/network.py, where it is trained) sees the whole word from every letter: a vector a letter, then blocks of
a convolution over neighbouring letters whose outcome is added to each letter's row, then a score for each label.
Of all ways to label the word the best is taken: a conditional random field (Lafferty et al., 2001) whose states also
know whether the primary stress was given. Weights are stored as bytes with a scale a row.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, Int

from moksori.text.english_context import Sounds

ALPHABET = "abcdefghijklmnopqrstuvwxyz'"
SPELLED = "<spelled>"
"""The label of letters that are named one by one ("fbi")."""
CANDIDATES = 8
"""So many of each letter's likeliest labels are looked at for the best way."""
_EPSILON = 1e-5
_NEVER = np.float32(-1e4)


class Labels:
    """What the labels mean.

    written: labels as Sounds are written, "" for none. names: letter -> its name, written so.
    """

    def __init__(self, written: Sequence[str], names: Mapping[str, str]) -> None:
        self.written = tuple(written)
        self.names = {letter: Sounds.read(name) for letter, name in names.items()}
        self.sounds = [Sounds((), ()) if label == SPELLED else Sounds.read(label) for label in written]
        self.primary = np.array([1 in sounds.stress for sounds in self.sounds])

    def word(self, letters: str, chosen: Sequence[int]) -> Sounds:
        """The sounds of a word from the label chosen for each letter."""
        if 2 * sum(self.written[k] == SPELLED for k in chosen) > len(letters):
            return self.spelled(letters)
        phones = tuple(phone for k in chosen for phone in self.sounds[k].phones)
        return Sounds(phones, tuple(mark for k in chosen for mark in self.sounds[k].stress))

    def spelled(self, letters: str) -> Sounds:
        """Letters named one by one, the last with the primary stress."""
        named = [self.names[letter] for letter in letters if letter in self.names]
        phones: list[str] = []
        stress: list[int] = []
        for k, name in enumerate(named):
            phones += name.phones
            stress += [mark and (1 if k == len(named) - 1 else 2) for mark in name.stress]
        return Sounds(tuple(phones), tuple(stress))


@dataclass(frozen=True)
class Block:
    """A hidden layer that sees `taps` letters, and what it gives back.

    taps: weights of each letter's row, the leftmost letter first. The first block's outcome is not added to anything.
    """

    taps: Float32[np.ndarray, "taps inner hidden"]
    bias: Float32[np.ndarray, " hidden"]
    back: Float32[np.ndarray, "hidden width"]

    def __call__(self, rows: Float32[np.ndarray, "letters inner"]) -> Float32[np.ndarray, "letters width"]:
        taps, inner, hidden = self.taps.shape
        side, count = taps // 2, len(rows)
        wide = np.zeros((count + 2 * side, inner), dtype=np.float32)
        wide[side : side + count] = _normalized(rows)
        near = np.concatenate([wide[k : k + count] for k in range(taps)], axis=1)
        return np.maximum(near @ self.taps.reshape(-1, hidden) + self.bias, 0) @ self.back


@dataclass(frozen=True)
class Links:
    """How labels go together. between: what one label adds to the score of another after it.

    marks: what is added for each primary stress beyond the first, and where a word has none.
    """

    between: Float32[np.ndarray, "labels labels"]
    marks: Float32[np.ndarray, "2"]

    def best_way(
        self, scores: Float32[np.ndarray, "letters labels"], primary: Bool[np.ndarray, " labels"]
    ) -> list[int]:
        """The labels of the best way through a word (Viterbi), among the CANDIDATES likeliest of each letter.

        primary: which labels carry the primary stress.
        """
        again, none = self.marks
        count = min(CANDIDATES, scores.shape[1])
        labels = np.argpartition(-scores, count - 1, axis=1)[:, :count]
        values = np.take_along_axis(scores, labels, axis=1)
        stressed = primary[labels]
        # The best score of the ways to each candidate, without a primary stress (row 0) and with one.
        best = np.where([stressed[0], ~stressed[0]], _NEVER, values[0])
        came: list[tuple[Int[np.ndarray, "2 candidates"], Bool[np.ndarray, " candidates"]]] = []
        for k in range(1, len(scores)):
            ways = best[:, :, None] + self.between[labels[k - 1][:, None], labels[k]]
            source = ways.argmax(axis=1)
            without, within = ways.max(axis=1)
            was_stressed = ~stressed[k] | (within + again > without)
            within = np.where(stressed[k], np.maximum(without, within + again), within)
            best = np.stack([np.where(stressed[k], _NEVER, without), within]) + values[k]
            came.append((source, was_stressed))
        state, place = divmod(int(np.concatenate([best[0] + none, best[1]]).argmax()), count)
        found = [int(labels[-1, place])]
        for k in range(len(scores) - 2, -1, -1):
            source, was_stressed = came[k]
            state = int(state and was_stressed[place])
            place = int(source[state, place])
            found.append(int(labels[k, place]))
        return found[::-1]


@dataclass(frozen=True)
class LetterModel:
    """The trained network. letters: a row for each letter of ALPHABET. scores: weights of each label, then its bias."""

    labels: Labels
    letters: Float32[np.ndarray, "alphabet inner"]
    blocks: tuple[Block, ...]
    scores: Float32[np.ndarray, "labels width"]
    bias: Float32[np.ndarray, " labels"]
    links: Links

    def sounds(self, word: str) -> Sounds:
        """The sounds of one word of lower-case letters a-z and apostrophes."""
        return self.labels.word(word, self.links.best_way(self.scored(word), self.labels.primary))

    def scored(self, word: str) -> Float32[np.ndarray, "letters labels"]:
        """The score of every label for every letter."""
        first, *others = self.blocks
        rows = first(self.letters[[ALPHABET.index(letter) for letter in word]])
        for block in others:
            rows += block(rows)
        scores: Float32[np.ndarray, "letters labels"] = _normalized(rows) @ self.scores.T + self.bias
        return scores

    @classmethod
    def load(cls, path: Path) -> "LetterModel":
        """From a file that `save` wrote."""
        with np.load(path, allow_pickle=False) as data:
            written, names = (data[name].tobytes().decode().split("\n") for name in ("labels", "names"))
            blocks = tuple(
                Block(_wide(data, f"taps{k}"), data[f"bias{k}"].astype(np.float32), _wide(data, f"back{k}"))
                for k in range(sum(name.startswith("back") and "scale" not in name for name in data.files))
            )
            return cls(
                Labels(written, dict(line.split("\t", 1) for line in names if line)),
                data["letters"].astype(np.float32),
                blocks,
                _wide(data, "scores"),
                data["bias"].astype(np.float32),
                Links(_wide(data, "links"), data["marks"].astype(np.float32)),
            )

    def save(self, path: Path) -> None:
        """Writes the network, matrices as bytes; what is read back says nearly the same."""
        names = [f"{letter}\t{sounds.written}" for letter, sounds in self.labels.names.items()]
        arrays = {"labels": _text(self.labels.written), "names": _text(names)}
        arrays["letters"] = self.letters.astype(np.float16)
        arrays |= {"bias": self.bias.astype(np.float16), "marks": self.links.marks.astype(np.float16)}
        matrices = {"scores": self.scores, "links": self.links.between}
        for k, block in enumerate(self.blocks):
            matrices |= {f"taps{k}": block.taps, f"back{k}": block.back}
            arrays[f"bias{k}"] = block.bias.astype(np.float16)
        for name, matrix in matrices.items():
            scale = (np.abs(matrix).max(axis=-1, keepdims=True) / 127 + 1e-8).astype(np.float16)
            arrays[name] = np.clip(np.rint(matrix / scale.astype(np.float32)), -127, 127).astype(np.int8)
            arrays[f"{name}.scale"] = scale
        with path.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)


def _normalized(rows: Float32[np.ndarray, "letters width"]) -> Float32[np.ndarray, "letters width"]:
    rows = rows - rows.mean(axis=1, keepdims=True)
    scale: Float32[np.ndarray, "letters 1"] = np.sqrt((rows * rows).mean(axis=1, keepdims=True) + np.float32(_EPSILON))
    return rows / scale


def _wide(data: Mapping[str, np.ndarray], name: str) -> Float32[np.ndarray, "*shape"]:
    return data[name].astype(np.float32) * data[f"{name}.scale"].astype(np.float32)


def _text(lines: Sequence[str]) -> Int[np.ndarray, " bytes"]:
    return np.frombuffer("\n".join(lines).encode(), dtype=np.uint8)
