"""How sharp are the formants? The spectral flatness of an envelope's ripple around its own smooth course.

The log envelope is split by its cepstrum: what lies under 1 ms of quefrency is tilt and the broad shape, what lies
above is the ripple, in which peaks stand out and valleys lie deep. Its flatness is the geometric over the arithmetic
mean of its power: 1 for an envelope without any, as of an average over many speakers and moments, less for a sharp one.
"""

import numpy as np
from jaxtyping import Float

from moksori.errors import BadInput

SMOOTH_SECONDS = 0.001
"""Quefrencies up to here are the smooth course: structure that is wider than 1 kHz."""
_LEAST = 1e-12


def ripple_flatness(power: Float[np.ndarray, "frames bins"], sample_rate: int) -> float:
    """Mean over frames of the ripple's flatness, 0 to 1.

    power: spectral envelopes with bins from 0 to half of `sample_rate` in Hz. Raises BadInput without frames.
    """
    if len(power) == 0:
        raise BadInput("spectral flatness: no frames")
    logs = np.log(np.maximum(power, _LEAST))
    cepstrum = np.fft.irfft(logs, axis=1)
    size = cepstrum.shape[1]
    smooth = round(SMOOTH_SECONDS * sample_rate)
    # The cepstrum is symmetric: both of its ends hold the low quefrencies.
    cepstrum[:, : smooth + 1] = 0.0
    cepstrum[:, size - smooth :] = 0.0
    ripple = np.fft.rfft(cepstrum, axis=1).real
    # The two outermost bins count half, as in the circle that they are the ends of.
    weights = np.ones(ripple.shape[1])
    weights[[0, -1]] = 0.5
    weights /= weights.sum()
    return float(np.mean(np.exp(ripple @ weights) / (np.exp(ripple) @ weights)))
