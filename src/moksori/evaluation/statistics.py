"""How sure is a mean? Percentile bootstrap over the test sentences (Efron and Tibshirani 1993, ch. 13), seeded."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

RESAMPLES = 2000


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval, from n sentences; NaN where n is 0."""

    value: float
    low: float
    high: float
    n: int


def mean_estimate(values: Sequence[float], seed: int = 0, resamples: int = RESAMPLES) -> Estimate:
    """The mean of one number a sentence; NaNs (a measure that does not apply to a sentence) are left out of n."""
    kept = np.asarray([v for v in values if not np.isnan(v)], dtype=np.float64)
    return ratio_estimate(kept, np.ones(len(kept)), seed, resamples)


def ratio_estimate(
    numerators: Sequence[float] | Float[np.ndarray, " n"],
    denominators: Sequence[float] | Float[np.ndarray, " n"],
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Sum over sum, such as errors over words: long sentences weigh more, and sentences are what is drawn anew."""
    above, below = np.asarray(numerators, dtype=np.float64), np.asarray(denominators, dtype=np.float64)
    count = len(above)
    if count == 0 or below.sum() == 0:
        return Estimate(float("nan"), float("nan"), float("nan"), 0)
    drawn = np.random.default_rng(seed).integers(0, count, size=(resamples, count))
    sums = below[drawn].sum(axis=1)
    ratios = above[drawn].sum(axis=1)[sums > 0] / sums[sums > 0]
    low, high = np.percentile(ratios, [2.5, 97.5])
    return Estimate(float(above.sum() / below.sum()), float(low), float(high), count)


def resampled_estimate(
    count: int, statistic: Callable[[Int[np.ndarray, " drawn"]], float], seed: int = 0, resamples: int = 500
) -> Estimate:
    """Any figure of `count` sentences: `statistic` is given the places of those that were drawn, some of them twice."""
    if count == 0:
        return Estimate(float("nan"), float("nan"), float("nan"), 0)
    drawn = np.random.default_rng(seed).integers(0, count, size=(resamples, count))
    low, high = np.percentile([statistic(row) for row in drawn], [2.5, 97.5])
    return Estimate(statistic(np.arange(count)), float(low), float(high), count)
