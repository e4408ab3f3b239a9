"""How close is the melody? F0 of two recordings over time-warped frames, and what range each of them uses."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from moksori.evaluation.mcd import Aligned


@dataclass(frozen=True)
class PitchDistance:
    """log_f0_rmse: root mean square difference of ln F0 over frames that are voiced in both (0.058 is a semitone).

    log_f0_correlation: Pearson's over the same frames. voicing_error: share of the frames voiced in one only. The first
    two are NaN where fewer than 10 frames are voiced in both or (correlation) one melody is constant.
    """

    log_f0_rmse: float
    log_f0_correlation: float
    voicing_error: float

    @property
    def rmse_cents(self) -> float:
        """The root mean square difference in cents, hundredths of a semitone."""
        return self.log_f0_rmse * 1200.0 / math.log(2.0)


@dataclass(frozen=True)
class PitchMoments:
    """mean_hz: geometric mean of the voiced frames; deviation_semitones: standard deviation around it.

    voiced: share of the frames. The others are NaN where nothing is voiced.
    """

    mean_hz: float
    deviation_semitones: float
    voiced: float


def pitch_distance(aligned: Aligned) -> PitchDistance:
    """Of two aligned recordings."""
    first, second = aligned.reference.f0[aligned.path[:, 0]], aligned.spoken.f0[aligned.path[:, 1]]
    error = float(np.mean((first > 0) != (second > 0)))
    both = (first > 0) & (second > 0)
    if both.sum() < 10:
        return PitchDistance(float("nan"), float("nan"), error)
    a, b = np.log(first[both], dtype=np.float64), np.log(second[both], dtype=np.float64)
    rmse = float(np.sqrt(np.mean((a - b) ** 2)))
    moving = a.std() > 1e-6 and b.std() > 1e-6
    return PitchDistance(rmse, float(np.corrcoef(a, b)[0, 1]) if moving else float("nan"), error)


def pitch_moments(f0: Float[np.ndarray, " frames"]) -> PitchMoments:
    """Of F0 in Hz per frame, 0 where unvoiced."""
    voiced = f0 > 0
    if not voiced.any():
        return PitchMoments(float("nan"), float("nan"), 0.0)
    log = np.log(f0[voiced], dtype=np.float64)
    return PitchMoments(float(np.exp(log.mean())), float(log.std() * 12 / np.log(2)), float(voiced.mean()))
