"""Is it the prompt's manner of speaking? Pitch and length of phonemes, by the four moments of each over an utterance.

Shen et al. 2023 (NaturalSpeech 2, arXiv:2304.09116): the moments of prompt and output are compared,
whatever either says; and where both say the same text, phoneme by phoneme, its pitch and its length.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Float

from moksori.evaluation.durations import TimedWord

FEWEST_VOICED = 5
"""Phonemes with a pitch that an utterance needs, for its moments to mean anything."""
LOWEST_OF_FIRST, HIGHEST_OF_THIRD = 0.75, 1.5
PAPER_FRAME_SECONDS = 0.0125
"""The unit of lengths, the paper's."""


@dataclass(frozen=True)
class PhonemeProsody:
    """Phoneme by phoneme: the mean F0 of its voiced frames in Hz, NaN where none is, and its length in seconds."""

    pitch: Float[np.ndarray, " phonemes"]
    seconds: Float[np.ndarray, " phonemes"]

    @property
    def voiced(self) -> int:
        """Phonemes with a pitch."""
        return int(np.isfinite(self.pitch).sum())

    @property
    def enough(self) -> bool:
        """Whether its moments are to be compared."""
        return self.voiced >= FEWEST_VOICED


@dataclass(frozen=True)
class Moments:
    """Mean, standard deviation (of all values, not of a sample), skewness and excess kurtosis (a normal's is 0).

    The last two are NaN where all values are alike.
    """

    mean: float
    deviation: float
    skewness: float
    kurtosis: float

    @classmethod
    def of(cls, values: Float[np.ndarray, " values"]) -> "Moments":
        """Of at least one value."""
        centred = values.astype(np.float64) - values.mean(dtype=np.float64)
        deviation = float(np.sqrt(np.mean(centred**2)))
        mean = float(values.mean(dtype=np.float64))
        if deviation <= 1e-9 * max(abs(mean), 1e-9):
            return cls(mean, 0.0, float("nan"), float("nan"))
        unit = centred / deviation
        return cls(mean, deviation, float(np.mean(unit**3)), float(np.mean(unit**4)) - 3.0)


def usual_f0(f0: Float[np.ndarray, " frames"]) -> Float[np.ndarray, " frames"]:
    """F0 in Hz with 0 where it lies under 0.75 times the first or over 1.5 times the third quartile of what is voiced,
    the range in which a person speaks (De Looze and Hirst 2008, Speech Prosody).

    What is beyond is mostly an octave that the tracker missed, and a few such frames make up most of the skewness and
    kurtosis.
    """
    voiced = f0[f0 > 0]
    if not len(voiced):
        return f0
    first, third = np.percentile(voiced, [25.0, 75.0])
    return np.where((f0 >= LOWEST_OF_FIRST * first) & (f0 <= HIGHEST_OF_THIRD * third), f0, 0.0).astype(f0.dtype)


def phoneme_prosody(words: Sequence[TimedWord], f0: Float[np.ndarray, " frames"], hop_seconds: float) -> PhonemeProsody:
    """Of aligned words and F0 in Hz, 0 where unvoiced; frame t is centred at (t + 0.5) hops.

    Phonemes to which the aligner gives no time are left out.
    """
    pitch, seconds = [], []
    for word in words:
        for start, end in zip(word.borders, word.borders[1:], strict=False):
            if end <= start:
                continue
            first, last = (round(time / hop_seconds) for time in (start, end))
            frames = f0[first:last]
            frames = frames[frames > 0]
            pitch.append(float(frames.mean(dtype=np.float64)) if len(frames) else float("nan"))
            seconds.append(end - start)
    return PhonemeProsody(np.array(pitch), np.array(seconds))


def prosody_distance(prompt: PhonemeProsody, spoken: PhonemeProsody) -> dict[str, float]:
    """Absolute differences of the moments: `prosody_pitch_mean` (Hz) to `prosody_pitch_kurtosis`, of lengths
    `prosody_duration_mean` (frames of 12.5 ms) to `prosody_duration_kurtosis`, and their first two in ms as well.

    {} where either has fewer than FEWEST_VOICED phonemes with a pitch.
    """
    if not (prompt.enough and spoken.enough):
        return {}
    found: dict[str, float] = {}
    for kind, of_prompt, of_spoken in (
        ("pitch", _known(prompt.pitch), _known(spoken.pitch)),
        ("duration", prompt.seconds / PAPER_FRAME_SECONDS, spoken.seconds / PAPER_FRAME_SECONDS),
    ):
        one, other = asdict(Moments.of(of_prompt)), asdict(Moments.of(of_spoken))
        found |= {f"prosody_{kind}_{name}": abs(one[name] - other[name]) for name in one}
    for name in ("mean", "deviation"):
        found[f"prosody_duration_{name}_ms"] = 1000.0 * PAPER_FRAME_SECONDS * found[f"prosody_duration_{name}"]
    return found


def prosody_errors(recorded: PhonemeProsody, spoken: PhonemeProsody) -> dict[str, float]:
    """Of two who say the same text: correlation and root mean squared error of the phonemes' pitch (Hz, where both have
    one) and of their lengths (frames of 12.5 ms).

    {} where their phonemes are not as many, or fewer than FEWEST_VOICED have a pitch in both.
    """
    if len(recorded.seconds) != len(spoken.seconds):
        return {}
    both = np.isfinite(recorded.pitch) & np.isfinite(spoken.pitch)
    if both.sum() < FEWEST_VOICED:
        return {}
    pairs: Mapping[str, tuple[np.ndarray, np.ndarray]] = {
        "pitch": (recorded.pitch[both], spoken.pitch[both]),
        "duration": (recorded.seconds / PAPER_FRAME_SECONDS, spoken.seconds / PAPER_FRAME_SECONDS),
    }
    found: dict[str, float] = {}
    for kind, (one, other) in pairs.items():
        moving = one.std() > 1e-9 and other.std() > 1e-9
        found[f"phoneme_{kind}_correlation"] = float(np.corrcoef(one, other)[0, 1]) if moving else float("nan")
        found[f"phoneme_{kind}_rmse"] = float(np.sqrt(np.mean((one - other) ** 2)))
    return found


def _known(values: Float[np.ndarray, " values"]) -> Float[np.ndarray, " known"]:
    return values[np.isfinite(values)]
