"""Sound of WORLD's frames as they come (Morise et al. 2016): pulses and noise through minimum-phase filters.

pyworld's own synthesis takes a whole recording. This one keeps the phase, the last frame, and the sound that later
pulses reach into, so that frames in blocks of any size give the samples of all at once, bit for bit. It needs numpy
alone.

    F0 ─► phase ─► pulses ─┬─► one through the filter of envelope · (1 - aperiodicity²), times sqrt(samples to the next)
                           └─► white noise up to the next through that of envelope · aperiodicity²   ─► overlap-add
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float

UNVOICED_HZ = 500.0
"""How often the noise's filter changes in unvoiced frames."""
NOISE_ALONE = 0.999
_LEAST_POWER = 1e-16


@dataclass(frozen=True)
class _Pulse:
    """A pulse at a time in samples, with the envelope and the aperiodicity that hold there."""

    time: float
    voiced: bool
    envelope: Float[np.ndarray, " bins"]
    aperiodicity: Float[np.ndarray, " bins"]

    @property
    def first(self) -> int:
        """The last whole sample before it."""
        return int(np.floor(self.time))


class WorldSynthesizer:
    """Push frames, then finish; frame t is centred at sample (t + 0.5) · hop_length, and that many hops come out.

    draw: of the noise; equal ones give equal sounds. lowest_hz: of the pitch that is asked for; it decides
    `held_samples`, which lie at most between the end of the frames that came and of the sound that has left.
    """

    def __init__(
        self, sample_rate: int, hop_length: int, n_fft: int, draw: np.random.Generator, lowest_hz: float = 50.0
    ) -> None:
        self.sample_rate, self.hop_length, self.n_fft = sample_rate, hop_length, n_fft
        self._draw, self._lowest = draw, lowest_hz
        bins = n_fft // 2 + 1
        self._f0 = np.zeros(0)
        self._envelope, self._aperiodicity = np.zeros((0, bins)), np.zeros((0, bins))
        self._first = 0  # number of the first frame that is kept
        self._seen = 0  # samples whose phase is known
        self._phase = 0.0  # in cycles, behind them
        self._open: _Pulse | None = None  # the last one, as long as it is not known when the next comes
        self._left = -(n_fft // 2)  # samples that have left; filters reach back before the first
        self._sound = np.zeros(0)  # from `_left` on
        ramp = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(1, n_fft + 1) / (n_fft + 1))
        self._window = ramp / ramp.sum()

    @property
    def held_samples(self) -> int:
        """Half a hop behind the last frame's centre, the longest period, and half a filter before a pulse."""
        return self.hop_length + int(np.ceil(self.sample_rate / self._lowest)) + self.n_fft // 2 + 1

    def push(
        self,
        f0: Float[np.ndarray, " frames"],
        envelope: Float[np.ndarray, "frames bins"],
        aperiodicity: Float[np.ndarray, "frames bins"],
    ) -> Float[np.ndarray, " samples"]:
        """The next frames: Hz, 0 where unvoiced; power; share of noise in the amplitude. The samples that are ready."""
        self._f0 = np.concatenate([self._f0, f0])
        self._envelope = np.concatenate([self._envelope, envelope])
        self._aperiodicity = np.concatenate([self._aperiodicity, aperiodicity])
        frames = self._first + len(self._f0)
        if frames == 0:
            return np.zeros(0)
        self._advance((frames - 1) * self.hop_length + self.hop_length // 2)
        keep = len(self._f0) - 1
        self._f0, self._envelope = self._f0[keep:], self._envelope[keep:]
        self._aperiodicity, self._first = self._aperiodicity[keep:], self._first + keep
        known = self._seen if self._open is None else self._open.first
        return self._given(min(known - self.n_fft // 2, self._seen))

    def finish(self) -> Float[np.ndarray, " samples"]:
        """The samples that are left; call it once."""
        end = (self._first + len(self._f0)) * self.hop_length
        self._advance(end)
        if self._open is not None:
            self._render([self._open], [end - self._open.first])
        return self._given(end)

    def _advance(self, end: int) -> None:
        """Finds the pulses before sample `end`, and renders those whose successor is known."""
        half, found = self.hop_length // 2, []
        while self._seen < end:  # from one frame's centre to the next, wherever blocks end
            past = self._seen - half
            stop = half if past < 0 else half + (past // self.hop_length + 1) * self.hop_length
            found += self._pulses(self._seen, min(stop, end))
            self._seen = min(stop, end)
        pulses = found if self._open is None else [self._open, *found]
        if pulses:
            self._open = pulses[-1]
            sizes = [after.first - pulse.first for pulse, after in pairwise(pulses)]
            self._render(pulses[:-1], sizes)

    def _pulses(self, start: int, stop: int) -> list[_Pulse]:
        """Where the phase comes to a whole cycle in samples [start, stop), which lie between two frames' centres."""
        low = max((start - self.hop_length // 2) // self.hop_length, 0) - self._first
        high = min(low + 1, len(self._f0) - 1)
        at = np.arange(start, stop)
        part = np.clip(at / self.hop_length - 0.5 - (low + self._first), 0.0, 1.0)
        one, other = self._f0[low], self._f0[high]
        if one > 0.0 and other > 0.0:
            voiced = np.ones(len(at), bool)
            hertz = (1.0 - part) * one + part * other
        else:
            voiced = (one > 0.0) & (part < 0.5) | (other > 0.0) & (part >= 0.5)
            hertz = np.where(voiced, max(one, other), UNVOICED_HZ)
        steps = np.maximum(hertz, self._lowest) / self.sample_rate
        cycles = self._phase + np.cumsum(steps)
        whole = np.floor(cycles)
        places = np.flatnonzero(np.diff(whole, prepend=0.0) > 0.0)
        self._phase = float(cycles[-1] - whole[-1])
        found = []
        for place in places.tolist():
            time = float(at[place] - (cycles[place] - whole[place]) / steps[place])
            share = float(part[place])
            envelope = (1.0 - share) * self._envelope[low] + share * self._envelope[high]
            noise = (1.0 - share) * self._aperiodicity[low] + share * self._aperiodicity[high]
            found.append(_Pulse(max(time, 0.0), bool(voiced[place]), envelope, noise))
        return found

    def _render(self, pulses: list[_Pulse], sizes: list[int]) -> None:
        """Adds pulses, each with the noise of so many samples behind it."""
        if not pulses:
            return
        size, half = self.n_fft, self.n_fft // 2
        lengths = np.minimum(np.array(sizes), size)
        envelope = np.stack([pulse.envelope for pulse in pulses])
        ratio = np.square(np.clip(np.stack([pulse.aperiodicity for pulse in pulses]), 0.0, 1.0))
        tonal = np.array([pulse.voiced for pulse in pulses]) & (ratio[:, 0] < NOISE_ALONE**2)
        white = np.zeros((len(pulses), size))
        for row, length in zip(white, lengths, strict=True):
            if length > 0:
                drawn = self._draw.standard_normal(length)
                row[:length] = drawn - drawn.mean() if length > 1 else drawn
        hiss = np.where(tonal[:, None], envelope * ratio, envelope)
        noise = np.fft.irfft(_minimum_phase(hiss) * np.fft.rfft(white, axis=1), size, axis=1)
        late = np.array([pulse.time - pulse.first for pulse in pulses])
        turn = np.exp(-2j * np.pi * late[:, None] * np.arange(half + 1) / size)
        tone = np.fft.irfft(_minimum_phase(envelope * (1.0 - ratio)) * turn, size, axis=1)[:, :half]
        tone *= (np.sqrt(np.maximum(lengths, 0)) * tonal)[:, None]
        constant = tone.sum(axis=1)
        self._reach(pulses[-1].first + size)
        for place, pulse in enumerate(pulses):
            start = pulse.first - self._left
            self._sound[start : start + size] += noise[place]
            self._sound[start : start + half] += tone[place]
            if tonal[place]:  # a train of pulses has no constant part, a single one has
                self._sound[start - half : start + half] -= constant[place] * self._window

    def _reach(self, end: int) -> None:
        lacking = end - self._left - len(self._sound)
        if lacking > 0:
            self._sound = np.concatenate([self._sound, np.zeros(lacking)])

    def _given(self, end: int) -> Float[np.ndarray, " samples"]:
        """Samples up to `end` leave."""
        if end <= self._left:
            return np.zeros(0)
        self._reach(end)
        count = end - self._left
        made, self._sound = self._sound[:count], self._sound[count:]
        before, self._left = max(-self._left, 0), end
        return made[before:]


def _minimum_phase(power: Float[np.ndarray, "pulses bins"]) -> np.ndarray:
    """The spectrum of minimum phase whose magnitude is the root of `power`: its cepstrum is folded to one side."""
    bins = power.shape[1]
    size = 2 * (bins - 1)
    cepstrum = np.fft.irfft(0.5 * np.log(power + _LEAST_POWER), size, axis=1)
    cepstrum[:, 1 : bins - 1] *= 2.0
    cepstrum[:, bins:] = 0.0
    return np.exp(np.fft.rfft(cepstrum, axis=1))
