"""Does it keep a person's rhythm? Phoneme and pause lengths of speech against those of the recording of its text."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

import numpy as np


@dataclass(frozen=True)
class TimedWord:
    """A spoken word: its phones, and when each begins and the last ends, in seconds: one border more than phones."""

    phones: tuple[str, ...]
    borders: tuple[float, ...]


@dataclass(frozen=True)
class DurationErrors:
    """Of a sentence, in milliseconds; NaN where nothing could be compared.

    mae, rmse: mean absolute and root mean squared error of the length of a phone. pause_mae: mean absolute error of the
    pause between two words. compared: phones of the recording that were compared, as a share.
    """

    mae: float
    rmse: float
    pause_mae: float
    compared: float


def duration_errors(spoken: Sequence[TimedWord], recorded: Sequence[TimedWord]) -> DurationErrors:
    """Lengths of the phones of `spoken` against those of `recorded`.

    Only words of equal phones are compared, found by the longest common runs of them: what a front end reads otherwise
    is left out of all. A pause lies between two neighbouring words; silence at the ends is none.
    """
    spoken, recorded = [word for word in spoken if word.phones], [word for word in recorded if word.phones]
    matcher = SequenceMatcher(None, [w.phones for w in spoken], [w.phones for w in recorded], autojunk=False)
    phones: list[np.ndarray] = []
    pauses: list[float] = []
    for run in matcher.get_matching_blocks():
        ours, theirs = spoken[run.a : run.a + run.size], recorded[run.b : run.b + run.size]
        for place, (one, two) in enumerate(zip(ours, theirs, strict=True)):
            phones.append(np.diff(one.borders) - np.diff(two.borders))
            if place + 1 < run.size:
                pauses.append(_pause(ours, place) - _pause(theirs, place))
    errors = 1000 * np.concatenate([*phones, np.zeros(0)])
    total = sum(len(word.phones) for word in recorded)
    return DurationErrors(
        mae=_mean(np.abs(errors)),
        rmse=float(np.sqrt(_mean(errors**2))),
        pause_mae=_mean(1000 * np.abs(np.array(pauses))),
        compared=len(errors) / total if total else 0.0,
    )


def _pause(words: Sequence[TimedWord], place: int) -> float:
    return words[place + 1].borders[0] - words[place].borders[-1]


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")
