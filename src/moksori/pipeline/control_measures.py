"""Prosody in a handful of numbers: how high, how lively, how fast and how loud a sentence is said."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float

from moksori.audio.f0 import extract_f0
from moksori.audio.trim import sounding
from moksori.evaluation.pitch import pitch_moments
from moksori.types import Waveform

HOP_SECONDS = 0.01
_SEMITONES = 12.0 / np.log(2.0)
_REFERENCE_HZ = 55.0
LEAST_VOICED_FRAMES = 10


@dataclass(frozen=True)
class Prosody:
    """Of one sentence. pitch: geometric mean of F0, in semitones over 55 Hz. range: standard deviation of F0 in
    semitones. rate: phones a second between the first and the last loud frame. seconds: between these. level: dB."""

    pitch: float
    range: float
    rate: float
    seconds: float
    level: float

    @property
    def values(self) -> Mapping[str, float]:
        """By name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


MEASURED = ("pitch", "range", "rate")
"""What a style is judged by."""


def prosody(waveform: Waveform, phones: int) -> Prosody:
    """Of a recording in which so many phones are said; NaN where too little is voiced to tell."""
    start, stop = sounding(waveform, keep_seconds=0.0)
    part = Waveform(waveform.samples[start:stop], waveform.sample_rate)
    seconds = max(part.duration_seconds, 1e-3)
    f0 = extract_f0(part, round(HOP_SECONDS * waveform.sample_rate), method="fast")
    moments = pitch_moments(f0)
    heard = int((f0 > 0).sum()) >= LEAST_VOICED_FRAMES
    level = 10.0 * np.log10(np.mean(np.square(part.samples, dtype=np.float64)) + 1e-12)
    return Prosody(
        float(_SEMITONES * np.log(moments.mean_hz / _REFERENCE_HZ)) if heard else float("nan"),
        moments.deviation_semitones if heard else float("nan"),
        phones / seconds,
        seconds,
        float(level),
    )


def mean_prosody(found: Sequence[Prosody]) -> dict[str, float]:
    """The mean of each measure over sentences; NaN where none has it."""
    return {f.name: finite_mean([getattr(p, f.name) for p in found]) for f in fields(Prosody)}


def spread(found: Sequence[Prosody]) -> dict[str, float]:
    """How much several ways to say one sentence differ: standard deviations over them, n - 1 in the denominator.

    pitch, range: semitones. duration: share of their mean duration. level: dB.
    """
    seconds = np.array([p.seconds for p in found])
    return {
        "pitch": _deviation([p.pitch for p in found]),
        "range": _deviation([p.range for p in found]),
        "duration": _deviation(seconds / seconds.mean()),
        "level": _deviation([p.level for p in found]),
    }


def finite_mean(values: Sequence[float]) -> float:
    """Of those that are numbers; NaN where none is."""
    kept = [value for value in values if np.isfinite(value)]
    return float(np.mean(kept)) if kept else float("nan")


def _deviation(values: Sequence[float] | Float[np.ndarray, " n"]) -> float:
    kept = [value for value in values if np.isfinite(value)]
    return float(np.std(kept, ddof=1)) if len(kept) > 1 else float("nan")


def contour_correlation(
    first: Float[np.ndarray, " samples"], second: Float[np.ndarray, " samples"], sample_rate: int
) -> float:
    """Pearson's correlation of log F0 over frames voiced in both, of two sounds in step; NaN for fewer than 10."""
    hop = round(HOP_SECONDS * sample_rate)
    one, other = (extract_f0(Waveform(x.astype(np.float32), sample_rate), hop, method="fast") for x in (first, second))
    count = min(len(one), len(other))
    both = (one[:count] > 0) & (other[:count] > 0)
    if both.sum() < LEAST_VOICED_FRAMES:
        return float("nan")
    a, b = np.log(one[:count][both]), np.log(other[:count][both])
    return float(np.corrcoef(a, b)[0, 1]) if a.std() > 1e-6 and b.std() > 1e-6 else float("nan")
