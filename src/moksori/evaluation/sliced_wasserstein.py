"""How far apart are two clouds of frames? The sliced Wasserstein distance (Rabin et al. 2011).

Along a random direction the cheapest way to move one cloud onto the other pairs both in sorted order; the distance is
the root of the mean square over directions. It is estimated in one way for all models, unlike what each critic says of
its own, and is 0 for equal clouds only.
"""

import numpy as np
from jaxtyping import Float

from moksori.errors import BadInput

DIRECTIONS = 256
QUANTILES = 500


def sliced_wasserstein(
    converted: Float[np.ndarray, "frames1 size"],
    real: Float[np.ndarray, "frames2 size"],
    directions: int = DIRECTIONS,
    seed: int = 0,
) -> float:
    """The distance of order 2, in standard deviations of the real frames: each number is divided by its own.

    A cloud that is moved by one standard deviation in every number is at a distance of 1. The same seed takes the same
    directions. Raises BadInput for fewer than two frames.
    """
    if min(len(converted), len(real)) < 2:
        raise BadInput(f"sliced Wasserstein distance of {len(converted)} and {len(real)} frames: expected two or more")
    mean, spread = real.mean(axis=0), np.maximum(real.std(axis=0), 1e-9)
    ways = np.random.default_rng([seed, 29]).normal(size=(real.shape[1], directions))
    ways /= np.linalg.norm(ways, axis=0)
    # Middles of equal shares, so that clouds of different sizes are compared.
    shares = (np.arange(QUANTILES) + 0.5) / QUANTILES
    one, two = (_quantiles(((x - mean) / spread) @ ways, shares) for x in (converted, real))
    return float(np.sqrt(np.mean((one - two) ** 2)))


def _quantiles(
    values: Float[np.ndarray, "frames directions"], shares: Float[np.ndarray, " quantiles"]
) -> Float[np.ndarray, "quantiles directions"]:
    """Frame k of n, sorted, stands for the shares k / n to (k + 1) / n."""
    places = np.minimum((shares * len(values)).astype(int), len(values) - 1)
    return np.asarray(np.sort(values, axis=0)[places])
