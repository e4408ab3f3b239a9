"""Change of sample rate by soxr at its very high quality: flat to 0.95 of the new Nyquist, no aliases above -150 dB."""

from typing import Any

import numpy as np
import soxr
from jaxtyping import Float

from moksori.errors import AudioError
from moksori.types import Waveform

QUALITY = "VHQ"


def resample(waveform: Waveform, sample_rate: int) -> Waveform:
    """The waveform at another rate in Hz, round(samples · new / old) samples long (at least one, unless it is empty).

    Raises AudioError for a rate that is not positive.
    """
    if sample_rate == waveform.sample_rate:
        return waveform
    resampler = Resampler(waveform.sample_rate, sample_rate)
    return Waveform(np.concatenate([resampler.push(waveform.samples), resampler.finish()]), sample_rate)


class Resampler:
    """Resamples block by block: the blocks it returns, joined, are what one call on the whole would give."""

    def __init__(self, source_rate: int, target_rate: int) -> None:
        """Both rates in Hz; equal rates hand the samples through. Raises AudioError if one is not positive."""
        if source_rate <= 0 or target_rate <= 0:
            raise AudioError(f"cannot resample from {source_rate} Hz to {target_rate} Hz: rates must be positive")
        self.source_rate, self.target_rate = source_rate, target_rate
        self._stream: Any = None
        if source_rate != target_rate:
            self._stream = soxr.ResampleStream(source_rate, target_rate, 1, dtype="float32", quality=QUALITY)
        self._pushed = self._returned = 0

    def push(self, samples: Float[np.ndarray, " samples"]) -> Float[np.ndarray, " resampled"]:
        """The next samples; returns those that are ready at the new rate, perhaps none."""
        samples = np.ascontiguousarray(samples, dtype=np.float32)
        self._pushed += len(samples)
        ready = samples if self._stream is None else self._stream.resample_chunk(samples, last=False)
        self._returned += len(ready)
        return ready

    def finish(self) -> Float[np.ndarray, " resampled"]:
        """What is left after the last samples; call it once."""
        if self._stream is None or self._pushed == 0:
            return np.zeros(0, dtype=np.float32)
        rest = self._stream.resample_chunk(np.zeros(0, dtype=np.float32), last=True)
        expected = max(round(self._pushed * self.target_rate / self.source_rate), 1) - self._returned
        expected = max(expected, 0)
        # soxr may differ by a sample, and makes none of a waveform shorter than one sample of the new rate.
        return rest[:expected] if len(rest) >= expected else np.pad(rest, (0, expected - len(rest)))
