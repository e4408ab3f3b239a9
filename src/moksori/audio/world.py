"""WORLD (Morise et al. 2016): a recording as pitch, spectral envelope and aperiodicity, and back. Needs pyworld.

`analyse_world` and `synthesise_world` take whole recordings, frame t at t hops. `envelope_at` and `aperiodicity_at`
look at chosen frames of the house's grid, frame t at t + 0.5 hops, as `audio.f0` has it.
"""

import warnings
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from moksori.audio.f0 import extract_f0
from moksori.errors import AudioError, MissingExtra
from moksori.types import Waveform

PERIOD_SECONDS = 0.005
_F0_FLOOR_HZ = 71.0
"""What CheapTrick's and D4C's windows are made for; envelopes of lower voices are coarser, none fails."""
_NOISE_ALONE = 0.99
_LONGEST_HOLE = 5
"""Frames from one voiced frame to the next, between which nothing counts as unvoiced."""


@dataclass(frozen=True)
class WorldFrames:
    """What WORLD finds every 5 ms, frame t at t · 5 ms.

    f0: Hz, 0 where unvoiced. envelope: power. aperiodicity: share of noise in the amplitude, 0 to 1.
    """

    f0: Float[np.ndarray, " frames"]
    envelope: Float[np.ndarray, "frames bins"]
    aperiodicity: Float[np.ndarray, "frames bins"]
    sample_rate: int


def analyse_world(waveform: Waveform, f_min_hz: float = 60.0, f_max_hz: float = 500.0) -> WorldFrames:
    """Pitch by harvest, envelope by CheapTrick, aperiodicity by D4C.

    Voiced is what harvest finds voiced and D4C finds to be more than noise, holes of 20 ms and less filled.
    Raises AudioError for NaN or infinity and for less than a frame, MissingExtra without pyworld.
    """
    pyworld = require_pyworld("taking voices apart")
    rate = waveform.sample_rate
    hop = round(PERIOD_SECONDS * rate)
    if len(waveform.samples) < hop:
        raise AudioError(f"{len(waveform.samples)} samples at {rate} Hz are less than a frame of 5 ms")
    # extract_f0 puts frame t at (t + 0.5) hops: half a hop of silence in front moves it to t · hop.
    shifted = Waveform(np.concatenate([np.zeros(hop // 2, np.float32), waveform.samples]), rate)
    f0 = extract_f0(shifted, hop, f_min_hz, f_max_hz, method="harvest").astype(np.float64)
    samples = waveform.samples.astype(np.float64)
    times = np.arange(len(f0)) * hop / rate
    envelope = pyworld.cheaptrick(samples, f0, times, rate, f0_floor=_F0_FLOOR_HZ)
    size = 2 * (envelope.shape[1] - 1)
    aperiodicity = pyworld.d4c(samples, f0, times, rate, fft_size=size)
    # Harvest bridges short consonants; D4C tells them by noise alone, from the lowest bin on.
    voiced = (f0 > 0.0) & (aperiodicity[:, 0] < _NOISE_ALONE)
    return _without_holes(WorldFrames(np.where(voiced, f0, 0.0), envelope, aperiodicity, rate))


def synthesise_world(frames: WorldFrames) -> Waveform:
    """The sound of such frames, 5 ms a frame long each, clipped to [-1, 1]. Raises MissingExtra without pyworld."""
    pyworld = require_pyworld("making voices")
    hop = round(PERIOD_SECONDS * frames.sample_rate)
    made = pyworld.synthesize(
        np.ascontiguousarray(frames.f0, np.float64),
        np.ascontiguousarray(frames.envelope, np.float64),
        np.ascontiguousarray(frames.aperiodicity, np.float64),
        frames.sample_rate,
        1000.0 * hop / frames.sample_rate,
    )
    length = len(frames.f0) * hop
    made = np.pad(made, (0, max(0, length - len(made))))[:length]
    return Waveform(np.clip(made, -1.0, 1.0).astype(np.float32), frames.sample_rate)


def envelope_at(
    waveform: Waveform,
    f0: Float[np.ndarray, " frames"],
    chosen: Int[np.ndarray, " chosen"],
    hop_length: int,
    n_fft: int,
) -> Float[np.ndarray, "chosen bins"]:
    """CheapTrick's power envelope of chosen frames, n_fft / 2 + 1 bins, float64.

    f0: Hz of every frame, 0 where unvoiced; `audio.f0.extract_f0` finds it. chosen: frames by number, frame t centred
    at sample (t + 0.5) · hop_length. A pitch below 3 · rate / (n_fft - 3), 47 Hz at 16 kHz and 1024, counts as
    unvoiced. Raises MissingExtra without pyworld.
    """
    pyworld = require_pyworld("taking voices apart")
    given = _at(waveform, f0, chosen, hop_length)
    return np.asarray(pyworld.cheaptrick(*given, waveform.sample_rate, fft_size=n_fft))


def aperiodicity_at(
    waveform: Waveform,
    f0: Float[np.ndarray, " frames"],
    chosen: Int[np.ndarray, " chosen"],
    hop_length: int,
    n_fft: int,
) -> Float[np.ndarray, "chosen bins"]:
    """D4C's share of noise in the amplitude, 0 to 1, of chosen frames; 1 where it finds noise alone. See `envelope_at`.

    What it cannot tell, as in digital silence, counts as noise.
    """
    pyworld = require_pyworld("taking voices apart")
    given = _at(waveform, f0, chosen, hop_length)
    found = np.asarray(pyworld.d4c(*given, waveform.sample_rate, fft_size=n_fft))
    return np.clip(np.nan_to_num(found, nan=1.0), 0.0, 1.0)


def _at(
    waveform: Waveform, f0: Float[np.ndarray, " frames"], chosen: Int[np.ndarray, " chosen"], hop_length: int
) -> tuple[Float[np.ndarray, " samples"], Float[np.ndarray, " chosen"], Float[np.ndarray, " chosen"]]:
    """Samples, F0 and centres in seconds of chosen frames, as WORLD is given them."""
    centres = (np.asarray(chosen, np.float64) + 0.5) * hop_length / waveform.sample_rate
    return waveform.samples.astype(np.float64), np.ascontiguousarray(f0[chosen], np.float64), centres


def _without_holes(frames: WorldFrames) -> WorldFrames:
    """With the shortest unvoiced stretches between voiced frames filled: a vowel has none, trackers make them."""
    f0, aperiodicity = frames.f0.copy(), frames.aperiodicity.copy()
    voiced = np.flatnonzero(f0 > 0.0)
    for before, after in pairwise(voiced.tolist()):
        if 1 < after - before <= _LONGEST_HOLE:
            hole = np.arange(before + 1, after)
            part = ((hole - before) / (after - before))[:, None]
            f0[hole] = np.interp(hole, [before, after], f0[[before, after]])
            aperiodicity[hole] = (1.0 - part) * aperiodicity[before] + part * aperiodicity[after]
    return WorldFrames(f0, frames.envelope, aperiodicity, frames.sample_rate)


def require_pyworld(purpose: str) -> Any:
    """The package pyworld; raises MissingExtra, with the purpose in its message, where it is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pyworld imports pkg_resources, which warns
            import pyworld
    except ImportError as error:
        raise MissingExtra("pyworld", "world", purpose) from error
    return pyworld
