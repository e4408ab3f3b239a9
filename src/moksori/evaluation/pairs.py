"""Two recordings that are to be compared sample by sample: a human one, and what a machine made of it."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from moksori.audio.resample import resample
from moksori.errors import AudioError
from moksori.types import Waveform

TOLERANCE_SECONDS = 0.1
"""Two recordings of one sound may differ so much in length; models cut to whole frames."""


def paired(
    reference: Waveform, heard: Waveform, sample_rate: int
) -> tuple[Float[np.ndarray, " samples"], Float[np.ndarray, " samples"]]:
    """Both at a rate in Hz, cut to the shorter one's length.

    Raises AudioError if one is empty or holds NaN or infinity, and if their lengths differ by more than 0.1 s.
    """
    for name, wave in (("reference", reference), ("heard", heard)):
        if len(wave.samples) == 0:
            raise AudioError(f"the {name} recording is empty: give one with sound")
        if not bool(np.isfinite(wave.samples).all()):
            raise AudioError(f"the {name} recording holds NaN or infinity: make it anew")
    if abs(reference.duration_seconds - heard.duration_seconds) > TOLERANCE_SECONDS:
        raise AudioError(
            f"recordings of {reference.duration_seconds:.2f} s and {heard.duration_seconds:.2f} s cannot be compared "
            "sample by sample: give two of the same sound (mcd compares others)"
        )
    first, second = resample(reference, sample_rate).samples, resample(heard, sample_rate).samples
    length = min(len(first), len(second))
    return first[:length], second[:length]


def parts(length: int, longest: int) -> Iterator[slice]:
    """The fewest stretches of equal length, to a sample, that are at most `longest` long and cover it all."""
    count = max(-(-length // longest), 1)
    for place in range(count):
        yield slice(length * place // count, length * (place + 1) // count)
