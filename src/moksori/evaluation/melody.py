"""Is it the same tune? Sung F0 against the F0 it should have, as melody extraction is judged (mir_eval).

Raw pitch accuracy: share of the reference's voiced frames whose pitch is within 50 cents (half a semitone) of it; a
frame that is unvoiced in what is judged is wrong. Raw chroma accuracy forgives octaves (Poliner et al. 2007; Raffel et
al. 2014, mir_eval). Octave errors are what lies between the two.
"""

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from moksori.audio.f0 import extract_f0
from moksori.errors import AudioError, MissingExtra
from moksori.types import Waveform

TOLERANCE_CENTS = 50.0
_FEWEST = 10  # frames voiced in both, under which a correlation means nothing
SUNG_HZ = (60.0, 1000.0)
"""Where a sung pitch is looked for; women and children sing higher than anybody speaks."""


@dataclass(frozen=True)
class Melody:
    """Shares from 0 to 1, and the correlation of ln F0 over frames that are voiced in both (NaN under 10 of them).

    voicing_recall: voiced frames of the reference that are voiced; voicing_false_alarm: unvoiced ones that are.
    transposition: semitones by which the tune was moved as a whole before it was compared, 0 where it was not.
    """

    raw_pitch_accuracy: float
    raw_chroma_accuracy: float
    octave_errors: float
    correlation: float
    voicing_recall: float
    voicing_false_alarm: float
    transposition: float = 0.0


def sung_f0(waveform: Waveform, hop_length: int) -> Float[np.ndarray, " frames"]:
    """F0 of singing in Hz by WORLD's slow tracker, 0 where unvoiced. Raises MissingExtra without pyworld."""
    return extract_f0(waveform, hop_length, *SUNG_HZ, method="harvest")


def compare_melodies(
    reference: Float[np.ndarray, " frames1"],
    sung: Float[np.ndarray, " frames2"],
    hop_seconds: float,
    transposed: bool = False,
) -> Melody:
    """Two F0 tracks in Hz with the same hop, 0 where unvoiced; what is missing at the end of one counts as unvoiced.

    transposed: the tune may be in another key: it is first moved by the median distance of the two, which
    `transposition` tells. Raises AudioError where the reference has no voiced frame.
    """
    mir_eval = _mir_eval()
    if not (reference > 0).any():
        raise AudioError("melody: the reference has no voiced frame, so there is no tune to compare with")
    length = max(len(reference), len(sung))
    first = np.pad(reference.astype(np.float64), (0, length - len(reference)))
    second = np.pad(sung.astype(np.float64), (0, length - len(sung)))
    both = (first > 0) & (second > 0)
    moved = 0.0
    if transposed and both.any():
        moved = float(12 * np.median(np.log2(second[both] / first[both])))
        second = second * 2.0 ** (-moved / 12)
    times = np.arange(length) * hop_seconds
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a track without voiced frames: the scores tell that
        found = mir_eval.melody.evaluate(times, first, times, second, cent_tolerance=TOLERANCE_CENTS)
    pitch, chroma = float(found["Raw Pitch Accuracy"]), float(found["Raw Chroma Accuracy"])
    return Melody(
        pitch,
        chroma,
        chroma - pitch,
        _correlation(first[both], second[both]),
        float(found["Voicing Recall"]),
        float(found["Voicing False Alarm"]),
        moved,
    )


def frames_in_tune(
    wanted: Float[np.ndarray, " frames1"], sung: Float[np.ndarray, " frames2"], cents: float = TOLERANCE_CENTS
) -> tuple[int, int]:
    """Of two F0 tracks in Hz with the same hop, 0 where unvoiced: how many frames lie within so many cents of each
    other, and how many are voiced in both. A frame that is sung without a pitch counts as neither right nor wrong."""
    length = min(len(wanted), len(sung))
    first, second = wanted[:length].astype(np.float64), sung[:length].astype(np.float64)
    both = (first > 0) & (second > 0)
    off = 1200.0 * np.abs(np.log2(second[both] / first[both]))
    return int(np.count_nonzero(off <= cents)), len(off)


def _correlation(first: Float[np.ndarray, " frames"], second: Float[np.ndarray, " frames"]) -> float:
    if len(first) < _FEWEST:
        return math.nan
    one, two = np.log(first), np.log(second)
    return float(np.corrcoef(one, two)[0, 1]) if one.std() > 1e-6 and two.std() > 1e-6 else math.nan


def _mir_eval() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import mir_eval
    except ImportError as error:
        raise MissingExtra("mir_eval", "evaluate", "comparing melodies") from error
    return mir_eval
