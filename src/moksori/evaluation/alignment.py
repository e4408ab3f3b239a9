"""Dynamic time warping (Sakoe and Chiba 1978): which frame of one sequence of vectors goes with which of another."""

import numpy as np
from jaxtyping import Float, Int

from moksori.errors import AudioError


def warp(
    first: Float[np.ndarray, "frames1 channels"], second: Float[np.ndarray, "frames2 channels"]
) -> Int[np.ndarray, "steps 2"]:
    """The path of least summed Euclidean distance from both starts to both ends; each step advances one or both by 1.

    Steps weigh alike; on a tie the one that advances both is taken. Raises AudioError if a sequence is empty.
    """
    n, m = len(first), len(second)
    if n == 0 or m == 0:
        raise AudioError(f"time warping of {n} and {m} frames: both recordings need at least one frame")
    squares = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1)[None] - 2 * first @ second.T
    total = np.full((n + 1, m + 1), np.inf)
    total[1:, 1:] = np.sqrt(np.maximum(squares, 0.0))
    best = np.full((n + 1, m + 1), np.inf)
    best[0, 0] = 0.0
    distance, reached = total.reshape(-1), best.reshape(-1)
    # All cells of an antidiagonal i + j = k depend on the two before it; in the flat array they lie m apart.
    for k in range(2, n + m + 1):
        low, high = max(1, k - m), min(n, k - 1)
        up = reached[(low - 1) * m + k - 1 : (high - 1) * m + k : m]
        left = reached[low * m + k - 1 : high * m + k : m]
        diagonal = reached[(low - 1) * m + k - 2 : (high - 1) * m + k - 1 : m]
        here = slice(low * m + k, high * m + k + 1, m)
        reached[here] = distance[here] + np.minimum(np.minimum(up, left), diagonal)
    path = [(n - 1, m - 1)]
    i, j = n, m
    while (i, j) != (1, 1):
        i, j = min(((i - 1, j - 1), (i - 1, j), (i, j - 1)), key=lambda cell: best[cell])
        path.append((i - 1, j - 1))
    return np.array(path[::-1], dtype=np.int64)
