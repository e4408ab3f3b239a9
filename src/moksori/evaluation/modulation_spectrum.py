"""Does it move as speech does? The modulation spectrum of mel-cepstral coefficients (Takamichi et al. 2014).

The log power spectrum of each coefficient's course in time, over windows of 128 frames of 5 ms, averaged. Smoothing
takes its upper end away, flicker from frame to frame lifts it.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from moksori.errors import BadInput

WINDOW = 128
"""Frames: 0.64 s, a bin is 1.56 Hz; windows overlap by half."""
_LEAST = 1e-10


def modulation_spectrum(
    cepstra: Sequence[Float[np.ndarray, "frames coefficients"]], window: int = WINDOW
) -> Float[np.ndarray, "coefficients bins"]:
    """Log power in dB at each modulation frequency but 0, averaged over windows of all utterances.

    cepstra: of each utterance; one shorter than a window is lengthened by its own mean, which adds nothing to any bin.
    Each window is without its mean and under a Hann window. Raises BadInput without frames.
    """
    hann = np.hanning(window + 1)[:window]
    found = []
    for course in cepstra:
        if len(course) == 0:
            continue
        if len(course) < window:
            mean = np.repeat(course.mean(axis=0, keepdims=True), window - len(course), axis=0)
            course = np.concatenate([course, mean])
        for start in range(0, len(course) - window + 1, window // 2):
            piece = course[start : start + window].astype(np.float64)
            spectrum = np.fft.rfft((piece - piece.mean(axis=0)) * hann[:, None], axis=0)[1:]
            found.append(10.0 * np.log10(np.abs(spectrum) ** 2 / (hann**2).sum() + _LEAST))
    if not found:
        raise BadInput("modulation spectrum: no utterance has frames")
    return np.asarray(np.mean(found, axis=0).T)


def modulation_spectrum_distance(
    converted: Float[np.ndarray, "coefficients bins"], natural: Float[np.ndarray, "coefficients bins"]
) -> float:
    """Root mean square difference in dB over coefficients and modulation frequencies; 0 for equal ones."""
    return float(np.sqrt(np.mean((converted - natural) ** 2)))
