"""What models learn of WORLD's frames: the shape of a spectral envelope without its loudness, and ln F0 by its moments.

Hsu et al., "Voice conversion from non-parallel corpora using variational auto-encoder" (2016, arXiv:1610.04019), with
the front end of its authors' code: envelope e, energy en = sum of e over bins, shape = log10(e / en).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from moksori.audio.world import envelope_at
from moksori.types import EnvelopeNeeds, PitchRange, Waveform

FLOOR = 1e-10
"""Power added to every bin, so that silence has a logarithm."""
OCTAVE = float(np.log(2.0))
GATE_FRAMES = 5
"""Frames over which loudness is smoothed before quiet frames are left out: gaps within words stay."""


def split_energy(
    envelope: Float[np.ndarray, "frames bins"],
) -> tuple[Float[np.ndarray, "frames bins"], Float[np.ndarray, " frames"]]:
    """Power envelopes as shapes log10(e / en) and energies en; `join_energy` is the way back."""
    safe = np.asarray(envelope, np.float64) + FLOOR
    energy = safe.sum(axis=1)
    return np.log10(safe / energy[:, None]), energy


def join_energy(
    shape: Float[np.ndarray, "frames bins"], energy: Float[np.ndarray, " frames"]
) -> Float[np.ndarray, "frames bins"]:
    """10^shape · energy: the power envelope, with FLOOR in each bin."""
    return np.asarray(10.0 ** np.asarray(shape, np.float64) * energy[:, None])


def loud_frames(waveform: Waveform, hop_length: int, below_db: float) -> Int[np.ndarray, " loud"]:
    """Numbers of the frames whose power, smoothed over 25 ms, lies at most so many dB below the loudest frame's.

    All frames where the waveform is silent.
    """
    frames = len(waveform.samples) // hop_length
    samples = waveform.samples[: frames * hop_length].reshape(frames, hop_length)
    power = np.square(samples, dtype=np.float64).mean(axis=1)
    smooth = np.convolve(power, np.ones(GATE_FRAMES) / GATE_FRAMES, mode="same")[:frames]
    return np.flatnonzero(smooth >= smooth.max(initial=0.0) * 10.0 ** (-below_db / 10.0))


def envelope_groups(
    waveform: Waveform, f0: Float[np.ndarray, " frames"], hop_length: int, needs: EnvelopeNeeds
) -> tuple[Float[np.ndarray, "groups context bins"], Int[np.ndarray, " groups"]]:
    """Shapes of every `needs.every`-th frame that is loud enough, each with its neighbours, and the frames' numbers.

    f0: as in `audio.world.envelope_at`. Neighbours beyond an end are the last frame there. At least one group.
    """
    frames = len(f0)
    centres = np.arange(frames) if needs.gate_db is None else loud_frames(waveform, hop_length, needs.gate_db)
    centres = centres[centres < frames][:: needs.every]
    if len(centres) == 0:
        centres = np.zeros(1, np.int64)
    wanted = neighbours(centres, needs.context // 2, frames)
    chosen, place = np.unique(wanted, return_inverse=True)
    shape, _ = split_energy(envelope_at(waveform, f0, chosen, hop_length, needs.n_fft))
    return shape[place.reshape(wanted.shape)], centres


def neighbours(centres: Int[np.ndarray, " groups"], around: int, frames: int) -> Int[np.ndarray, "groups context"]:
    """Numbers of the frames from `around` before each centre to `around` behind it, held within the recording."""
    return np.clip(centres[:, None] + np.arange(-around, around + 1), 0, max(frames - 1, 0))


@dataclass(frozen=True)
class LogPitch:
    """Moments of ln F0 over voiced frames, which grow as frames come: their number, sum and sum of squares."""

    count: float = 0.0
    total: float = 0.0
    squares: float = 0.0

    @classmethod
    def of(cls, f0: Float[np.ndarray, " frames"]) -> "LogPitch":
        """Of frames in Hz, 0 where unvoiced; those an octave or more from the median do not count, as trackers err."""
        heights = np.log(np.asarray(f0[f0 > 0.0], np.float64))
        if len(heights):
            heights = heights[np.abs(heights - np.median(heights)) < OCTAVE]
        return cls(float(len(heights)), float(heights.sum()), float(np.square(heights).sum()))

    def __add__(self, other: "LogPitch") -> "LogPitch":
        return LogPitch(self.count + other.count, self.total + other.total, self.squares + other.squares)

    @classmethod
    def supposed(cls, known: PitchRange, count: float) -> "LogPitch":
        """As if so many frames of a known range had been heard."""
        return cls(count, count * known.mean, count * (known.mean**2 + known.deviation**2))

    @property
    def range(self) -> PitchRange:
        """Mean and deviation; ValueError where nothing voiced was heard."""
        if self.count <= 0.0:
            raise ValueError("no voiced frame: there is no range of pitch")
        mean = self.total / self.count
        return PitchRange(mean, float(np.sqrt(max(self.squares / self.count - mean**2, 0.0))))


def summed(parts: Iterable[LogPitch]) -> LogPitch:
    """The moments of all parts together."""
    found = LogPitch()
    for part in parts:
        found = found + part
    return found


LEAST_DEVIATION = 0.02
"""Of ln F0: a third of a semitone. A source that is flatter is moved as if it were as lively as that."""
STEEPEST = 3.0
"""A melody is widened so much at most."""


def moved_f0(
    f0: Float[np.ndarray, " frames"],
    source: PitchRange | None,
    target: PitchRange | None,
    shift_semitones: float = 0.0,
    limits_hz: tuple[float, float] = (50.0, 1000.0),
) -> Float[np.ndarray, " frames"]:
    """F0 from one speaker's range to another's: ln F0' = (ln F0 - mean_s) / deviation_s · deviation_t + mean_t.

    f0: Hz, 0 where unvoiced, which it stays. Where one of the ranges is not known only the shift is made, which comes
    on top otherwise. limits_hz: what comes of it is held within them. The slope is held to STEEPEST.
    """
    voiced = f0 > 0.0
    height = np.log(np.where(voiced, np.asarray(f0, np.float64), 1.0))
    if source is not None and target is not None:
        slope = min(target.deviation / max(source.deviation, LEAST_DEVIATION), STEEPEST)
        height = (height - source.mean) * slope + target.mean
    moved = np.clip(np.exp(height + shift_semitones / 12.0 * OCTAVE), *limits_hz)
    return np.asarray(np.where(voiced, moved, 0.0))
