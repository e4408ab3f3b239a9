"""Is all of speech there, or only a part? What a collapsed model leaves out of the frames that it should make.

Precision and recall by nearest neighbours (Kynkäänniemi et al. 2019): the real frames' manifold is the union of balls
around them that reach to the k-th neighbour. Precision is the share of the made frames in it, recall the share of the
real ones in that of the made. Who says one frame again and again has precision and no recall.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from moksori.errors import BadInput

NEIGHBOURS = 3
MOST_FRAMES = 2000
"""Of each cloud; more are thinned out evenly, since the balls shrink with their number."""
LEAST_FRAMES = 20
"""Of a phone, for its mean to count."""


@dataclass(frozen=True)
class Coverage:
    """Shares from 0 to 1; real frames against other real ones of as many have some 0.7 to 0.9 of both."""

    precision: float
    recall: float


def coverage(
    converted: Float[np.ndarray, "frames1 size"],
    real: Float[np.ndarray, "frames2 size"],
    neighbours: int = NEIGHBOURS,
    most: int = MOST_FRAMES,
    seed: int = 0,
) -> Coverage:
    """Precision and recall; each number is divided by its standard deviation over the real frames.

    As many frames of both are drawn, `most` at most, the same ones for the same seed. Raises BadInput where one cloud
    has no more frames than `neighbours`.
    """
    count = min(len(converted), len(real), most)
    if count <= neighbours:
        raise BadInput(f"coverage of {len(converted)} and {len(real)} frames: expected more than {neighbours}")
    draw = np.random.default_rng([seed, 31])
    spread = np.maximum(real.std(axis=0), 1e-9)
    made, true = (x[np.sort(draw.permutation(len(x))[:count])].astype(np.float64) / spread for x in (converted, real))
    across = _squares(made, true)
    within_true = (across <= _radii(true, neighbours)[None]).any(axis=1)
    within_made = (across <= _radii(made, neighbours)[:, None]).any(axis=0)
    return Coverage(float(within_true.mean()), float(within_made.mean()))


def variance_over_labels(
    converted: Float[np.ndarray, "frames1 size"],
    converted_labels: Int[np.ndarray, " frames1"],
    real: Float[np.ndarray, "frames2 size"],
    real_labels: Int[np.ndarray, " frames2"],
    least: int = LEAST_FRAMES,
) -> float:
    """How far apart the phones of the converted frames lie, over how far those of the real ones do: 1 is right.

    The variance of the phones' means, summed over numbers that are divided by the real frames' standard deviation; over
    phones of which both have `least` frames. NaN where these are fewer than two. 0: all phones have become one.
    """
    spread = np.maximum(real.std(axis=0), 1e-9)
    shared = [
        label
        for label in np.intersect1d(converted_labels, real_labels)
        if min((converted_labels == label).sum(), (real_labels == label).sum()) >= least
    ]
    if len(shared) < 2:
        return float("nan")
    made, true = (
        np.stack([frames[labels == label].mean(axis=0) for label in shared]) / spread
        for frames, labels in ((converted, converted_labels), (real, real_labels))
    )
    return float(made.var(axis=0).sum() / max(float(true.var(axis=0).sum()), 1e-12))


def _radii(points: Float[np.ndarray, "frames size"], neighbours: int) -> Float[np.ndarray, " frames"]:
    """Squared distance of each to its k-th nearest other; itself is the nearest of all."""
    return np.asarray(np.partition(_squares(points, points), neighbours, axis=1)[:, neighbours])


def _squares(
    first: Float[np.ndarray, "frames1 size"], second: Float[np.ndarray, "frames2 size"]
) -> Float[np.ndarray, "frames1 frames2"]:
    products = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1)[None] - 2.0 * first @ second.T
    return np.asarray(np.maximum(products, 0.0))
