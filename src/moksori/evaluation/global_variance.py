"""Is it flat? The global variance of converted speech beside natural speech (Toda, Black and Tokuda 2007).

GV_d = the variance over an utterance's frames of the d-th mel-cepstral coefficient. A model that is trained to be right
on average says the mean of what it is unsure of, and the variance of its output falls: that is what muffled means.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from moksori.errors import BadInput

_LEAST = 1e-12


def global_variance(cepstra: Sequence[Float[np.ndarray, "frames coefficients"]]) -> Float[np.ndarray, " coefficients"]:
    """The variance of each coefficient over an utterance's frames, averaged over utterances.

    cepstra: of each utterance, without c_0. Raises BadInput where none has two frames.
    """
    known = [found.var(axis=0) for found in cepstra if len(found) > 1]
    if not known:
        raise BadInput("global variance: no utterance has two frames")
    return np.asarray(np.mean(known, axis=0, dtype=np.float64))


def global_variance_ratio(
    converted: Float[np.ndarray, " coefficients"], natural: Float[np.ndarray, " coefficients"]
) -> float:
    """The geometric mean over coefficients of converted / natural: 1 as lively as speech, less flat, more harsh."""
    logs = np.log(np.maximum(converted, _LEAST)) - np.log(np.maximum(natural, _LEAST))
    return float(np.exp(logs.mean()))
