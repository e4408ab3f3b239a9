"""The plainest change of voice: WORLD moves the pitch to the target's middle, and nothing else.

What a converter has to beat. Spectral envelope and aperiodicity stay the source's (WORLD, Morise et al. 2016), only F0
is multiplied by the ratio of the two medians.
"""

import numpy as np
from jaxtyping import Float

from moksori.audio.f0 import extract_f0
from moksori.audio.resample import resample
from moksori.evaluation.mcd import require_pyworld
from moksori.types import Waveform

SAMPLE_RATE = 16000
_PERIOD_MS = 5.0
_HOP = 80


def mean_pitch_shift(source: Waveform, target: Waveform) -> Waveform:
    """The source with its median F0 moved to that of `target`, at 16 kHz; unchanged where one of them has no voice.

    Raises MissingExtra without pyworld.
    """
    pyworld = require_pyworld()
    source = resample(source, SAMPLE_RATE)
    ratio = median_f0(target) / median_f0(source)
    samples = source.samples.astype(np.float64)
    coarse, times = pyworld.dio(samples, SAMPLE_RATE, frame_period=_PERIOD_MS)
    f0 = pyworld.stonemask(samples, coarse, times, SAMPLE_RATE)
    envelope = pyworld.cheaptrick(samples, f0, times, SAMPLE_RATE)
    aperiodicity = pyworld.d4c(samples, f0, times, SAMPLE_RATE)
    moved = f0 * (ratio if np.isfinite(ratio) else 1.0)
    made = pyworld.synthesize(moved, envelope, aperiodicity, SAMPLE_RATE, _PERIOD_MS)
    length = len(samples)
    made = np.pad(made, (0, max(0, length - len(made))))[:length]
    return Waveform(np.clip(made, -1.0, 1.0).astype(np.float32), SAMPLE_RATE)


def median_f0(waveform: Waveform) -> float:
    """In Hz over the voiced frames, robust to wrong octaves of the tracker; NaN where nothing is voiced."""
    found = voiced_f0(waveform)
    return float(np.exp(np.median(np.log(found)))) if len(found) else float("nan")


def voiced_f0(waveform: Waveform) -> Float[np.ndarray, " voiced"]:
    """F0 in Hz of the voiced frames of 5 ms, at 16 kHz."""
    f0 = extract_f0(resample(waveform, SAMPLE_RATE), _HOP, method="fast").astype(np.float64)
    return f0[f0 > 0]
