"""Whether a recording sounds like speech at all: what can be told of it without a model, and without saying too much.

Speech is voiced for a part of the time only, and its level moves with every syllable. Of 306 clips of five corpora of
speech none is doubted; of 20 noises 15 are, and of sung and played single notes 9 of 10. Orchestras, and songs with a
band, pass for speech.
"""

import numpy as np
from jaxtyping import Float

from moksori.pipeline.recordings import OpenRecording

LOOK_SECONDS = 10.0
LEAST_VOICED, MOST_VOICED = 0.02, 0.95
LEAST_MOVEMENT_DB = 1.5
_FRAME_SECONDS, _HOP_SECONDS = 0.04, 0.02
_PITCH_HZ = (70.0, 400.0)
_BAND_HZ = (60.0, 4000.0)
_PERIODIC = 0.35
"""Peak of the autocorrelation of a frame with flattened spectrum, from which on it counts as voiced."""
_ACTIVE_POWER = 0.03


def unlike_speech(recording: OpenRecording) -> str | None:
    """Why a recording may hold no speech; None where nothing speaks against it."""
    start, stop = recording.scan.loudest_stretch(LOOK_SECONDS)
    rate = recording.sound.sample_rate
    voiced = voiced_share(recording.stretch(start, stop), rate)
    if voiced is None:
        return None
    if voiced < LEAST_VOICED:
        return f"{recording.name}: hardly anything in it is voiced, as in noise: is it speech?"
    if voiced > MOST_VOICED:
        return f"{recording.name}: nearly all of it is voiced, as in music and singing: is it speech?"
    step = round(0.1 * rate)
    power = recording.scan.power[start // step : stop // step]
    power = power[power > 0.0]
    if len(power) >= 10 and np.abs(np.diff(10.0 * np.log10(power))).mean() < LEAST_MOVEMENT_DB:
        return f"{recording.name}: its level hardly moves, as in steady noise and held notes: is it speech?"
    return None


def voiced_share(samples: Float[np.ndarray, " samples"], sample_rate: int) -> float | None:
    """Share of the loud frames that repeat themselves at a pitch of speech; None for less than a frame of sound.

    The spectrum's magnitude stands for its square, which flattens it: in noise with a slope, which is alike from one
    sample to the next, no pitch is then found.
    """
    size, hop = round(_FRAME_SECONDS * sample_rate), round(_HOP_SECONDS * sample_rate)
    if len(samples) < size:
        return None
    frames = np.lib.stride_tricks.sliding_window_view(samples, size)[::hop] * np.hanning(size)
    power = np.square(frames, dtype=np.float64).mean(axis=1)
    loud = power > 0.1 * power.mean()
    active = power > _ACTIVE_POWER * (power[loud].mean() if loud.any() else np.inf)
    if not active.any():
        return None
    points = 1 << int(np.ceil(np.log2(3 * size)))
    spectrum = np.abs(np.fft.rfft(frames[active], points, axis=1))
    frequency = np.fft.rfftfreq(points, 1.0 / sample_rate)
    spectrum[:, (frequency < _BAND_HZ[0]) | (frequency > _BAND_HZ[1])] = 0.0
    correlation = np.fft.irfft(spectrum, axis=1)
    low, high = (round(sample_rate / hz) for hz in (_PITCH_HZ[1], _PITCH_HZ[0]))
    peak = correlation[:, low:high].max(axis=1) / np.maximum(correlation[:, 0], 1e-12)
    return float((peak > _PERIODIC).mean())
