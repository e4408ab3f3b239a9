"""Is a conversion as clear as its target says it? STOI and ESTOI after time warping (Taal 2011; Jensen and Taal 2016).

STOI compares two recordings in step. Another person's sentence is not, so here the third-octave envelopes are compared
after each frame of the reference has been given the frames that time warping pairs it with: nothing is resynthesised.
For recordings in step this is STOI, up to how silent frames are cut out.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from moksori.audio.resample import resample
from moksori.errors import AudioError
from moksori.evaluation.alignment import warp
from moksori.types import Waveform

SAMPLE_RATE = 10000
BANDS, LOWEST_HZ = 15, 150.0
SEGMENT = 30
"""Frames that one correlation is over: 384 ms."""
_FRAME, _HOP, _N_FFT = 256, 128, 512
_RANGE_DB = 40.0
_CLIP = 1.0 + 10.0 ** (15.0 / 20.0)
"""Times the reference, beyond which distortion is no worse: -15 dB."""
_LEAST = 1e-10


@dataclass(frozen=True)
class Intelligibility:
    """1 = equal; noise has 0.2 to 0.4. extended: ESTOI, which also looks at how bands go together."""

    stoi: float
    extended: float


def warped_stoi(reference: Waveform, heard: Waveform) -> Intelligibility:
    """Of a conversion, against a recording of the target saying the same; NaN for less than 0.4 s of speech.

    Raises AudioError where one is empty or holds NaN or infinity.
    """
    first, second = _bands(reference, "reference"), _bands(heard, "heard")
    loud = _speech(first)
    pair = first[loud], second[_speech(second)]
    if min(len(pair[0]), len(pair[1])) < SEGMENT:
        return Intelligibility(float("nan"), float("nan"))
    path = warp(*(_standard(bands) for bands in pair))
    return band_intelligibility(pair[0], _paired(pair[1], path[:, 0], path[:, 1], len(pair[0])))


def band_intelligibility(
    reference: Float[np.ndarray, "frames bands"], heard: Float[np.ndarray, "frames bands"]
) -> Intelligibility:
    """STOI and ESTOI of band amplitudes in step. Raises AudioError for fewer than 30 frames."""
    if len(reference) < SEGMENT:
        raise AudioError(f"STOI of {len(reference)} frames: expected {SEGMENT} or more")
    # [segments, bands, frames]
    one, two = (
        np.lib.stride_tricks.sliding_window_view(x, SEGMENT, axis=0).astype(np.float64) for x in (reference, heard)
    )
    levels = np.linalg.norm(one, axis=2, keepdims=True) / (np.linalg.norm(two, axis=2, keepdims=True) + _LEAST)
    clipped = np.minimum(two * levels, one * _CLIP)
    plain = (_unit(one, 2) * _unit(clipped, 2)).sum(axis=2).mean()
    extended = (_unit(_unit(one, 2), 1) * _unit(_unit(two, 2), 1)).sum(axis=1).mean()
    return Intelligibility(float(plain), float(extended))


def _unit(values: Float[np.ndarray, "segments bands frames"], axis: int) -> Float[np.ndarray, "segments bands frames"]:
    """Without their mean along an axis, of length 1 along it."""
    centred = values - values.mean(axis=axis, keepdims=True)
    return np.asarray(centred / (np.linalg.norm(centred, axis=axis, keepdims=True) + _LEAST))


def _bands(sound: Waveform, name: str) -> Float[np.ndarray, "frames bands"]:
    """Amplitudes of third-octave bands every 12.8 ms."""
    if len(sound.samples) == 0 or not bool(np.isfinite(sound.samples).all()):
        raise AudioError(f"the {name} recording is empty or holds NaN or infinity: make it anew")
    samples = resample(sound, SAMPLE_RATE).samples.astype(np.float64)
    samples = np.pad(samples, (0, max(0, _FRAME - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(samples, _FRAME)[::_HOP]
    window = np.hanning(_FRAME + 2)[1:-1]
    power = np.abs(np.fft.rfft(frames * window, n=_N_FFT, axis=1)) ** 2
    return np.sqrt(power @ _matrix())


def _matrix() -> Float[np.ndarray, "bins bands"]:
    """Which bins of the transform belong to which band; edges are the nearest bins."""
    frequencies = np.linspace(0, SAMPLE_RATE, _N_FFT + 1)[: _N_FFT // 2 + 1]
    found = np.zeros((len(frequencies), BANDS))
    for band in range(BANDS):
        low, high = (int(np.abs(frequencies - LOWEST_HZ * 2.0 ** ((2 * band + side) / 6)).argmin()) for side in (-1, 1))
        found[low:high, band] = 1.0
    return found


def _speech(bands: Float[np.ndarray, "frames bands"]) -> Bool[np.ndarray, " frames"]:
    """Frames within 40 dB of the loudest."""
    levels = 10.0 * np.log10((bands**2).sum(axis=1) + _LEAST)
    return np.asarray(levels > levels.max() - _RANGE_DB)


def _standard(bands: Float[np.ndarray, "frames bands"]) -> Float[np.ndarray, "frames bands"]:
    """Logarithms, each band by its own mean and deviation: two people's levels differ, their words do not."""
    logs = np.log(bands + _LEAST)
    return np.asarray((logs - logs.mean(axis=0)) / np.maximum(logs.std(axis=0), 1e-6))


def _paired(
    heard: Float[np.ndarray, "frames2 bands"], first: np.ndarray, second: np.ndarray, count: int
) -> Float[np.ndarray, "frames1 bands"]:
    """For each frame of the reference the mean of those that it is paired with."""
    sums = np.zeros((count, heard.shape[1]))
    np.add.at(sums, first, heard[second])
    return sums / np.bincount(first, minlength=count)[:, None]
