"""Is a difference one? Measures over seeds, and when one model is better than another: else it is a tie."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Better = Literal["lower", "higher", "one"]


@dataclass(frozen=True)
class Measure:
    """One column. better: which values are; "one": those near 1, as of a ratio to natural speech."""

    key: str
    title: str
    short: str
    better: Better
    scale: float = 1.0
    digits: int = 2

    def worse(self, value: float) -> float:
        """How bad it is: least is best. Of ratios the distance from 1 in logarithms, half being as bad as twice."""
        if self.better == "one":
            return abs(math.log(max(value, 1e-9)))
        return value if self.better == "lower" else -value

    def shown(self, value: float) -> str:
        return "-" if math.isnan(value) else f"{self.scale * value:.{self.digits}f}"


MEASURES: Sequence[Measure] = (
    Measure("mcd", "MCD, dB", "MCD", "lower"),
    Measure("mcd_voiced", "MCD of voiced frames, dB", "MCD voiced", "lower"),
    Measure("gv_ratio", "global variance, of natural", "global variance", "one"),
    Measure("modulation", "modulation spectrum, dB off", "modulation spectrum", "lower"),
    Measure("ripple_ratio", "flatness of the envelope's ripple, of natural", "ripple", "one", digits=3),
    Measure("wasserstein", "sliced Wasserstein distance", "Wasserstein", "lower", digits=3),
    Measure("precision", "precision, %", "precision", "higher", 100.0, 0),
    Measure("recall", "recall, %", "recall", "higher", 100.0, 0),
    Measure("phone_variance", "variance over phones, of natural", "variance over phones", "one"),
    Measure("similarity", "cosine with the target", "cosine", "higher", digits=3),
    Measure("nearer", "nearer to the target than to the source, %", "nearer to the target", "higher", 100.0, 0),
    Measure("identified", "taken for the target, %", "taken for the target", "higher", 100.0, 0),
    Measure("leak", "speaker read off the latent, %", "leak", "lower", 100.0, 0),
    Measure("phones", "phone read off the latent, %", "phones of the latent", "higher", 100.0, 0),
    Measure("wer", "word errors, %", "word errors", "lower", 100.0, 1),
    Measure("stoi", "STOI after warping", "STOI", "higher", digits=3),
    Measure("estoi", "ESTOI after warping", "ESTOI", "higher", digits=3),
    Measure("f0_rmse_cents", "F0 RMSE, cents", "F0", "lower", digits=0),
    Measure("pitch_semitones", "mean F0 off, semitones", "mean F0", "lower"),
    Measure("voicing_error", "voicing errors, %", "voicing", "lower", 100.0, 1),
    Measure("ovrl", "OVRL", "OVRL", "higher"),
    Measure("p808", "P808", "P808", "higher"),
    Measure("tour_copy", "distance of frames decoded from their own z", "frames of own z", "lower", digits=3),
    Measure("tour_between", "from half-way between two z", "frames between z", "lower", digits=3),
    Measure("tour_prior", "from drawn z", "frames of drawn z", "lower", digits=3),
)
"""In the order of the report: likeness, sharpness, coverage, identity, content, prosody, sound, the latent."""


@dataclass(frozen=True)
class Spread:
    """A measure over seeds. spread: the standard deviation with n - 1 in the denominator; NaN for one seed."""

    mean: float
    spread: float
    n: int


def over_seeds(values: Sequence[float]) -> Spread:
    """Of the seeds that have the measure; NaN where none has."""
    kept = [value for value in values if not math.isnan(value)]
    if not kept:
        return Spread(math.nan, math.nan, 0)
    return Spread(float(np.mean(kept)), float(np.std(kept, ddof=1)) if len(kept) > 1 else math.nan, len(kept))


def verdict(measure: Measure, one: Sequence[float], other: Sequence[float]) -> Literal["better", "worse", "tie", "-"]:
    """Whether `one` is better than `other`: a tie where the means differ by no more than the larger spread over seeds.

    Without a spread on either side nothing can be told from chance: that is "-", as is a measure that one lacks.
    """
    first, second = (over_seeds([measure.worse(v) for v in values if not math.isnan(v)]) for values in (one, other))
    spreads = [s for s in (first.spread, second.spread) if not math.isnan(s)]
    if not first.n or not second.n or not spreads:
        return "-"
    if abs(first.mean - second.mean) <= max(spreads):
        return "tie"
    return "better" if first.mean < second.mean else "worse"


def leaders(measure: Measure, rows: Sequence[Sequence[float]]) -> list[str]:
    """For each row "best", "tie" where it ties with the best, or ""; the best is that of the best mean.

    Nobody leads where fewer than two rows have the measure, or none of them has a spread to be told from chance by.
    """
    means = [over_seeds([measure.worse(v) for v in values if not math.isnan(v)]).mean for values in rows]
    known = [place for place, mean in enumerate(means) if not math.isnan(mean)]
    if len(known) < 2:
        return ["" for _ in rows]
    first = min(known, key=lambda place: means[place])
    said = [verdict(measure, values, rows[first]) for values in rows]
    if all(said[place] == "-" for place in known if place != first):
        return ["" for _ in rows]
    return ["best" if place == first else "tie" if told == "tie" else "" for place, told in enumerate(said)]
