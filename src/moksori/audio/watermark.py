"""An inaudible mark in sound: a patchwork of bands that are a little louder or softer than they were.

A fixed pattern of signs, one for each band of 125 Hz and each 64 ms, repeats every 48 steps (3.07 s). Marking turns the
cells up or down by 1.5 dB in a short-time Fourier transform; detecting compares the level of each cell with its
neighbours in time and frequency and correlates with the pattern at every offset (patchwork: Bender et al. 1996,
"Techniques for data hiding"; multiplicative spread spectrum as in Kirovski and Malvar 2003). Silence stays silence.

The pattern is in this file, so the mark tells honest people what a machine spoke; who wants to be rid of it can be.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from moksori.audio.resample import Resampler
from moksori.errors import AudioError

VERSION = "moksori-1"
"""Names the pattern; another pattern would be another version."""
DEPTH_DB = 1.5
STEPS, BANDS = 48, 56
STEP_SECONDS, FIRST_HZ, BAND_HZ = 0.064, 250.0, 125.0
LOWEST_RATE = 8000
"""In Hz: below it too few of the bands are left."""
_HOP_SECONDS = 0.008
_HOPS = round(STEP_SECONDS / _HOP_SECONDS)
_PERIOD = STEPS * _HOPS
_CROSSFADE = 0.2  # of a step, at either side of where two meet
_FRAMES = 256  # transformed at a time
_RATE = 16000  # of detecting: 7250 Hz is the highest edge
_CLIP_DB, _GATE_DB = 4.0, 55.0
_WINDOW = 4  # periods looked at by themselves, so that a marked stretch of a long recording is found
_TAIL = 3.18
"""A sum of random signs exceeds z standard deviations at most 3.18 times as often as a normal variable does
(Pinelis 2012, "An asymptotically Gaussian bound on the Rademacher tails")."""
CHANCE = 1e-6
"""A mark counts as found where sound without one would look so less often than this."""


@dataclass(frozen=True)
class Mark:
    """What a search for the mark gave.

    score: correlation with the pattern in standard deviations, at the best offset. chance: an upper bound on how
    probable so high a score is in sound without the mark, all offsets and stretches together. seconds: looked at.
    """

    score: float
    chance: float
    seconds: float

    @property
    def found(self) -> bool:
        return self.chance < CHANCE


def pattern() -> Float[np.ndarray, "steps bands"]:
    """The signs, 1 or -1: bits of a linear congruential generator (Numerical Recipes), the same for ever."""
    state, signs = 20261, np.zeros((STEPS, BANDS))
    for place in range(STEPS * BANDS):
        state = (1664525 * state + 1013904223) % 2**32
        signs[place // BANDS, place % BANDS] = 1.0 if state >> 31 else -1.0
    return signs


def mark(samples: Float[np.ndarray, " samples"], sample_rate: int) -> Float[np.ndarray, " samples"]:
    """The same sound, float32 in [-1, 1], with the mark; raises AudioError as Marker does."""
    marker = Marker(sample_rate)
    return np.concatenate([marker.push(samples), marker.finish()])


def find(samples: Float[np.ndarray, " samples"], sample_rate: int) -> Mark:
    """Whether a sound holds the mark; raises AudioError for a rate that is not positive."""
    finder = Finder(sample_rate)
    finder.push(samples)
    return finder.finish()


class Marker:
    """Marks block by block: the blocks it returns, joined, are the sound that was pushed, marked, sample by sample.

    It holds back 32 ms. Raises AudioError for a rate below 8000 Hz, which leaves too little of the pattern.
    """

    def __init__(self, sample_rate: int) -> None:
        if sample_rate < LOWEST_RATE:
            raise AudioError(f"cannot mark sound of {sample_rate} Hz: {LOWEST_RATE} Hz at the least")
        self._rate = sample_rate
        self._hop = round(_HOP_SECONDS * sample_rate)
        self._window = _hann(4 * self._hop)
        frequencies = np.fft.rfftfreq(4 * self._hop, 1.0 / sample_rate)
        band = np.floor((frequencies - FIRST_HZ) / BAND_HZ).astype(int)
        self._marked = (band >= 0) & (band < BANDS)
        self._band, self._signs = band[self._marked], pattern()
        self._waiting = np.zeros(3 * self._hop)
        self._overlap = np.zeros((3, self._hop))
        self._frames = self._pushed = self._returned = 0

    def push(self, samples: Float[np.ndarray, " samples"]) -> Float[np.ndarray, " marked"]:
        """The next samples; returns those that are ready, perhaps none."""
        self._pushed += len(samples)
        return self._made(np.asarray(samples, np.float64))

    def finish(self) -> Float[np.ndarray, " marked"]:
        """What was held back, after the last samples; call it once."""
        left = self._pushed - self._returned
        return self._made(np.zeros(left + 4 * self._hop))[:left]

    def _made(self, samples: Float[np.ndarray, " samples"]) -> Float[np.ndarray, " marked"]:
        hop, made = self._hop, []
        self._waiting = np.concatenate([self._waiting, samples])
        while (count := min(len(self._waiting) // hop - 3, _FRAMES)) > 0:
            frames = np.lib.stride_tricks.sliding_window_view(self._waiting, 4 * hop)[::hop][:count]
            spectra = np.fft.rfft(frames * self._window, axis=1)
            spectra[:, self._marked] *= self._gains(count)
            parts = (np.fft.irfft(spectra, 4 * hop, axis=1) * self._window).reshape(count, 4, hop)
            total = np.zeros((count + 3, hop))
            total[:3] = self._overlap
            for quarter in range(4):
                total[quarter : quarter + count] += parts[:, quarter]
            early = min(max(3 - self._frames, 0), count)  # frames that end before the sound begins
            made.append(total[early:count].ravel())
            self._overlap, self._frames = total[count:], self._frames + count
            self._waiting = self._waiting[count * hop :]
        # Four squared Hann windows a quarter apart sum to 1.5.
        joined = np.concatenate([np.zeros(0), *made]) / 1.5
        self._returned += len(joined)
        return np.clip(joined, -1.0, 1.0).astype(np.float32)

    def _gains(self, count: int) -> Float[np.ndarray, "frames bins"]:
        """Factors of the next frames, by the time of their middle."""
        middle = (np.arange(self._frames, self._frames + count) - 1) * self._hop / self._rate / STEP_SECONDS
        step = np.floor(middle).astype(int)
        after = (middle - step)[:, None]
        here, before, then = (self._signs[(step + shift) % STEPS] for shift in (0, -1, 1))
        rise, fall = (np.clip(0.5 + part / (2 * _CROSSFADE), 0.0, 1.0) for part in (after, 1.0 - after))
        signs = np.where(after < 0.5, rise * here + (1 - rise) * before, fall * here + (1 - fall) * then)
        return 10.0 ** (DEPTH_DB / 20.0 * signs[:, self._band])


class Finder:
    """Looks for the mark in sound of any length that comes block by block, in bounded memory."""

    def __init__(self, sample_rate: int) -> None:
        self._resampler = Resampler(sample_rate, _RATE)
        self._hop = round(_HOP_SECONDS * _RATE)
        self._window = _hann(4 * self._hop)
        band = np.floor((np.fft.rfftfreq(4 * self._hop, 1.0 / _RATE) - FIRST_HZ) / BAND_HZ).astype(int)
        self._bins = [np.flatnonzero(band == number) for number in range(BANDS)]
        self._spectrum = np.conj(np.fft.fft(pattern(), axis=0))
        self._waiting = np.zeros(0)
        self._levels = np.zeros((0, BANDS))
        self._loudest = -math.inf
        self._recent: list[np.ndarray] = []
        self._total = np.zeros((_PERIOD, BANDS))
        self._samples = self._periods = self._searches = 0
        self._best = 0.0

    def push(self, samples: Float[np.ndarray, " samples"]) -> None:
        """The next samples."""
        self._take(self._resampler.push(samples))

    def finish(self) -> Mark:
        """What was found, after the last samples; call it once."""
        self._take(self._resampler.finish())
        if len(self._levels) > 3 * _HOPS:
            self._period()
        if self._periods:
            self._search(self._total)
        chance = min(self._searches * _TAIL * 0.5 * math.erfc(self._best / math.sqrt(2.0)), 1.0)
        return Mark(self._best, chance if self._searches else 1.0, self._samples / _RATE)

    def _take(self, samples: Float[np.ndarray, " samples"]) -> None:
        self._samples += len(samples)
        self._waiting = np.concatenate([self._waiting, samples])
        while (count := min(len(self._waiting) // self._hop - 3, _FRAMES)) > 0:
            frames = np.lib.stride_tricks.sliding_window_view(self._waiting, 4 * self._hop)[:: self._hop][:count]
            power = np.abs(np.fft.rfft(frames * self._window, axis=1)) ** 2
            levels = 10.0 * np.log10(power + 1e-12)
            bands = np.stack([levels[:, bins].mean(axis=1) for bins in self._bins], axis=1)
            self._levels = np.concatenate([self._levels, bands])
            self._waiting = self._waiting[count * self._hop :]
            while len(self._levels) >= _PERIOD + 3 * _HOPS:
                self._period()

    def _period(self) -> None:
        """Takes in what the next period of frames tells of the signs, and looks for the pattern in the last few."""
        evidence = self._evidence(self._levels[: _PERIOD + 3 * _HOPS])
        self._levels = self._levels[_PERIOD:]
        self._periods += 1
        self._total += evidence
        self._recent = [*self._recent[1 - _WINDOW :], evidence]
        if self._periods > _WINDOW:
            self._search(np.sum(self._recent, axis=0))

    def _evidence(self, levels: Float[np.ndarray, "frames bands"]) -> Float[np.ndarray, "period bands"]:
        """How much louder than its neighbours each step is that starts at a frame, in dB; 0 where nothing is heard."""
        self._loudest = max(self._loudest, float(np.percentile(levels, 99)))
        heard = _steps((levels > self._loudest - _GATE_DB).astype(np.float64))
        steps = _steps(levels)
        over = steps[_HOPS:-_HOPS] - (steps[: -2 * _HOPS] + steps[2 * _HOPS :]) / 2.0
        around = np.pad(over, ((0, 0), (1, 1)), mode="reflect")
        over = over - (around[:, :-2] + around[:, 2:]) / 2.0
        evidence = np.zeros((_PERIOD, BANDS))
        count = min(len(over), _PERIOD)
        evidence[:count] = (np.clip(over, -_CLIP_DB, _CLIP_DB) * (heard[_HOPS:-_HOPS] > 1.0 - 1e-6))[:count]
        return evidence

    def _search(self, evidence: Float[np.ndarray, "period bands"]) -> None:
        """Correlates with the pattern at every offset; the sum of signs times numbers is judged by their norm."""
        folded = evidence.reshape(STEPS, _HOPS, BANDS).transpose(1, 0, 2)
        norm = np.sqrt((folded**2).sum(axis=(1, 2)))
        found = np.fft.ifft((np.fft.fft(folded, axis=1) * self._spectrum).sum(axis=2), axis=1).real.max(axis=1)
        self._searches += _PERIOD
        self._best = max(self._best, float((found / np.maximum(norm, 1e-9)).max()))


def _hann(length: int) -> Float[np.ndarray, " length"]:
    return 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(length) / length)


def _steps(levels: Float[np.ndarray, "frames bands"]) -> Float[np.ndarray, "starts bands"]:
    """The mean of each step that starts at a frame."""
    sums = np.cumsum(np.concatenate([np.zeros((1, levels.shape[1])), levels]), axis=0)
    return (sums[_HOPS:] - sums[:-_HOPS]) / _HOPS
