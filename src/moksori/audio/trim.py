"""Silence: at the ends of a recording, where it is cut off, and within, where it is found.

A frame counts as silent when its energy lies `threshold_db` under the 95th percentile of the recording's frames. The
percentile stands for the level of speech and, unlike the peak, does not follow a single click.
"""

import numpy as np
from jaxtyping import Bool, Float

from moksori.errors import AudioError
from moksori.types import Waveform

FRAME_SECONDS = 0.025
HOP_SECONDS = 0.01
THRESHOLD_DB = 38.0
LEVEL_PERCENTILE = 95.0


def trim_silence(waveform: Waveform, threshold_db: float = THRESHOLD_DB, keep_seconds: float = 0.07) -> Waveform:
    """The waveform without the silence at its ends, of which `keep_seconds` stay on each side.

    A recording that is silent throughout, or loud throughout, comes back whole: there is nothing to tell apart.
    Raises AudioError for NaN or infinity, or a negative threshold or time.
    """
    start, stop = sounding(waveform, threshold_db, keep_seconds)
    if (start, stop) == (0, len(waveform.samples)):
        return waveform
    return Waveform(waveform.samples[start:stop].copy(), waveform.sample_rate)


def sounding(waveform: Waveform, threshold_db: float = THRESHOLD_DB, keep_seconds: float = 0.07) -> tuple[int, int]:
    """First and end sample of what `trim_silence` keeps; raises as it does."""
    if threshold_db < 0.0 or keep_seconds < 0.0:
        raise AudioError(f"threshold_db {threshold_db:g} and keep_seconds {keep_seconds:g} must not be negative")
    loud, count = np.flatnonzero(_loud_frames(waveform, threshold_db)), len(waveform.samples)
    if len(loud) == 0:
        return 0, count
    frame, hop = _sizes(waveform.sample_rate)
    keep = round(keep_seconds * waveform.sample_rate)
    return max(int(loud[0]) * hop - keep, 0), min(int(loud[-1]) * hop + frame + keep, count)


def pauses(
    waveform: Waveform, minimum_seconds: float = 0.2, threshold_db: float = THRESHOLD_DB
) -> list[tuple[float, float]]:
    """Start and end in seconds of each stretch of at least `minimum_seconds` without a loud frame, in order.

    Silence at the beginning and the end counts too; a recording that is silent throughout is one pause.
    Raises AudioError for NaN or infinity, or a negative threshold.
    """
    if threshold_db < 0.0:
        raise AudioError(f"threshold_db {threshold_db:g} must not be negative")
    if len(waveform.samples) == 0:
        return []
    frame, hop = _sizes(waveform.sample_rate)
    loud = np.flatnonzero(_loud_frames(waveform, threshold_db))
    # Between two loud frames lies what neither of them covers.
    starts = np.concatenate([[0], loud * hop + frame]) / waveform.sample_rate
    ends = np.concatenate([loud * hop / waveform.sample_rate, [waveform.duration_seconds]])
    return [
        (float(start), float(end)) for start, end in zip(starts, ends, strict=True) if end - start >= minimum_seconds
    ]


def _sizes(sample_rate: int) -> tuple[int, int]:
    """Samples of a frame, and from frame to frame."""
    return max(round(FRAME_SECONDS * sample_rate), 1), max(round(HOP_SECONDS * sample_rate), 1)


def _loud_frames(waveform: Waveform, threshold_db: float) -> Bool[np.ndarray, " frames"]:
    """Frame t covers the samples from t · hop on; the last may reach over the end. None is loud in digital silence."""
    power = _frame_power(waveform)
    level = np.percentile(power, LEVEL_PERCENTILE) if len(power) else 0.0
    if level == 0.0:  # sound in fewer than 5 % of the frames: a click, or a word in a long silence
        level = power.max(initial=0.0)
    return (power > 0.0) & (power >= level * 10.0 ** (-threshold_db / 10.0))


def _frame_power(waveform: Waveform) -> Float[np.ndarray, " frames"]:
    """Mean square of each frame, by differences of a running sum: no copy of the overlapping frames."""
    if not np.isfinite(waveform.samples).all():
        raise AudioError("the waveform holds NaN or infinity, so its silence cannot be found")
    frame, hop = _sizes(waveform.sample_rate)
    count = len(waveform.samples)
    if count == 0:
        return np.zeros(0)
    starts = np.arange(0, max(count - frame, 0) + hop, hop)
    starts = starts[starts < count]
    ends = np.minimum(starts + frame, count)
    # 16-bit steps squared are integers of 2^-30, which float64 adds without error up to 2^23 full-scale samples.
    running = np.concatenate([[0.0], np.cumsum(np.square(waveform.samples, dtype=np.float64))])
    return (running[ends] - running[starts]) / frame
