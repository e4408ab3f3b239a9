"""How far apart are two spectra? Mel-cepstral distortion over time-warped frames (Kubichek 1993).

WORLD's spectral envelope (CheapTrick, Morise 2015) -> logarithm -> cepstrum -> frequency warped by an all-pass
(Tokuda et al. 1994): the mel-cepstrum c_0 ... c_24. MCD in dB = 10 / ln 10 · sqrt(2 · sum over m = 1..24 of
(c_m - c'_m)²), averaged over the warping path. c_0, the level, is left out. Both recordings are analysed at 16 kHz, so
that models of every rate are compared over the same band, and without the silence at their ends.

In the voiced form only frames count that are voiced in both: vowels, where a voice is told from another.
"""

import math
import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from moksori.audio.f0 import extract_f0
from moksori.audio.loudness import normalize_loudness
from moksori.audio.resample import resample
from moksori.audio.trim import sounding
from moksori.errors import MissingExtra
from moksori.evaluation.alignment import warp
from moksori.types import Waveform

SAMPLE_RATE = 16000
HOP_LENGTH = 80
ORDER = 24
LEVEL_LUFS = -23.0
_MINIMUM_SAMPLES = SAMPLE_RATE // 20
_FEWEST_VOICED = 10
"""Frames, under which a mean over voiced ones means nothing."""


@dataclass(frozen=True)
class SpeechFrames:
    """What WORLD finds in a recording, every 5 ms: F0 in Hz (0 unvoiced) and the mel-cepstrum c_0 ... c_24.

    duration_seconds: without the silence at the ends, as are the frames.
    """

    f0: Float[np.ndarray, " frames"]
    mel_cepstrum: Float[np.ndarray, "frames coefficients"]
    duration_seconds: float


@dataclass(frozen=True)
class Envelopes:
    """What WORLD finds before anything is left out of it, every 5 ms: F0 in Hz (0 unvoiced) and power spectra.

    start_seconds: where in the recording the first frame's piece begins, after the silence; duration_seconds: of what
    follows, to the silence at the end.
    """

    f0: Float[np.ndarray, " frames"]
    power: Float[np.ndarray, "frames bins"]
    start_seconds: float
    duration_seconds: float

    def speech_frames(self) -> SpeechFrames:
        """Its mel-cepstra."""
        found = mel_cepstrum(self.power, ORDER, warping_factor(SAMPLE_RATE))
        return SpeechFrames(self.f0, found, self.duration_seconds)


@dataclass(frozen=True)
class Aligned:
    """Two recordings and which frames of theirs go together."""

    reference: SpeechFrames
    spoken: SpeechFrames
    path: Int[np.ndarray, "steps 2"]


def analyse(waveform: Waveform) -> SpeechFrames:
    """F0 and mel-cepstra of a recording at 16 kHz. Raises MissingExtra without pyworld."""
    return envelopes(waveform).speech_frames()


def envelopes(waveform: Waveform) -> Envelopes:
    """F0 and spectral envelopes (513 bins to 8 kHz) of a recording at -23 LUFS. Raises MissingExtra without pyworld."""
    pyworld = require_pyworld()
    waveform = normalize_loudness(resample(waveform, SAMPLE_RATE), LEVEL_LUFS)
    if len(waveform.samples) < _MINIMUM_SAMPLES:
        padding = _MINIMUM_SAMPLES - len(waveform.samples)
        waveform = Waveform(np.pad(waveform.samples, (0, padding)), SAMPLE_RATE)
    start, stop = sounding(waveform, keep_seconds=0.05)
    waveform = Waveform(waveform.samples[start:stop].copy(), SAMPLE_RATE)
    f0 = extract_f0(waveform, HOP_LENGTH, method="fast")
    centres = (np.arange(len(f0)) + 0.5) * HOP_LENGTH / SAMPLE_RATE
    power = pyworld.cheaptrick(waveform.samples.astype(np.float64), f0.astype(np.float64), centres, SAMPLE_RATE)
    return Envelopes(f0, power, start / SAMPLE_RATE, waveform.duration_seconds)


def align(reference: SpeechFrames, spoken: SpeechFrames) -> Aligned:
    """The two, warped in time by their mel-cepstra without c_0."""
    return Aligned(reference, spoken, warp(reference.mel_cepstrum[:, 1:], spoken.mel_cepstrum[:, 1:]))


def mel_cepstral_distortion(aligned: Aligned, voiced: bool = False) -> float:
    """MCD in dB: 0 for equal spectra; human takes of one sentence differ by 4 to 6.

    voiced: over the steps of the path that are voiced in both; NaN where these are fewer than 10.
    """
    path = aligned.path
    if voiced:
        path = path[(aligned.reference.f0[path[:, 0]] > 0) & (aligned.spoken.f0[path[:, 1]] > 0)]
        if len(path) < _FEWEST_VOICED:
            return math.nan
    first, second = path.T
    difference = aligned.reference.mel_cepstrum[first, 1:] - aligned.spoken.mel_cepstrum[second, 1:]
    return float(10 / math.log(10) * np.sqrt(2 * (difference**2).sum(axis=1)).mean())


def mel_cepstrum(
    power: Float[np.ndarray, "frames bins"], order: int, alpha: float
) -> Float[np.ndarray, "frames coefficients"]:
    """Mel-cepstrum c_0 ... c_order of power spectra with bins from 0 to half the sample rate.

    log |X(w)| = sum over m of c_m cos(m w~), where w~ = w + 2 arctan(alpha sin w / (1 - alpha cos w)).
    """
    half = power.shape[1] - 1
    cepstrum = np.fft.irfft(np.log(power), axis=1)[:, : half + 1]
    cepstrum[:, [0, half]] /= 2  # c_0 counts once in the cosine sum where the others count twice; so does the last
    return cepstrum @ _warping_matrix(half, order, alpha)


@lru_cache(maxsize=8)
def warping_factor(sample_rate: int) -> float:
    """The all-pass coefficient whose phase is nearest to the mel scale: 0.41 at 16 kHz, 0.455 at 22.05 kHz.

    Least squares over the band, to 0.001; both scales run from 0 to 1. Mel is ln(1 + f / 1000) here (Fant 1968).
    """
    frequency = np.linspace(0, sample_rate / 2, 1000)
    mel = np.log1p(frequency / 1000) / np.log1p(sample_rate / 2000)
    omega = frequency * (2 * np.pi / sample_rate)
    alphas = np.arange(0, 1, 0.001)[:, None]
    warped = omega + 2 * np.arctan2(alphas * np.sin(omega), 1 - alphas * np.cos(omega))
    return float(alphas[((warped / np.pi - mel) ** 2).sum(axis=1).argmin(), 0])


@lru_cache(maxsize=8)
def _warping_matrix(half: int, order: int, alpha: float) -> Float[np.ndarray, "bins coefficients"]:
    """Row m holds the first coefficients, in powers of u, of ((u + alpha) / (1 + alpha u))^m.

    u is the delay on the warped axis, 1 / z = (u + alpha) / (1 + alpha u): a cepstrum in 1 / z becomes one in u.
    """
    powers = np.arange(order + 1)
    # (u + alpha) / (1 + alpha u) as a series: alpha + (1 - alpha²) (u - alpha u² + alpha² u³ - ...)
    series = np.where(powers == 0, alpha, (1 - alpha**2) * (-alpha) ** np.maximum(powers - 1, 0))
    rows = np.zeros((half + 1, order + 1))
    rows[0, 0] = 1.0
    for m in range(1, half + 1):
        rows[m] = np.convolve(rows[m - 1], series)[: order + 1]
    return rows


def require_pyworld() -> Any:
    """The package pyworld; raises MissingExtra where it is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pyworld imports pkg_resources, which warns
            import pyworld
    except ImportError as error:
        raise MissingExtra("pyworld", "world", "mel-cepstral distortion") from error
    return pyworld
