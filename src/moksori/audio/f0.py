"""Fundamental frequency per frame, by WORLD (Morise et al. 2016) or pYIN (Mauch and Dixon 2014).

WORLD comes with `moksori[world]` and is some hundred times faster; pYIN with librosa in `moksori[train]`.
"""

import warnings
from types import ModuleType
from typing import Literal

import numpy as np
from jaxtyping import Float

from moksori.errors import AudioError, MissingExtra
from moksori.types import Waveform

Method = Literal["auto", "fast", "dio", "harvest", "pyin"]


def extract_f0(
    waveform: Waveform,
    hop_length: int,
    f_min_hz: float = 60.0,
    f_max_hz: float = 500.0,
    method: Method = "auto",
) -> Float[np.ndarray, " frames"]:
    """F0 in Hz of each frame, 0 where unvoiced, float32; frames = floor(samples / hop_length).

    Frame t is centred at sample (t + 0.5) · hop_length, as in `linear_spectrogram`.
    method: "dio" (WORLD's fast tracker, refined by StoneMask), "harvest" (WORLD's slow one, a tenth of real time: it
    finds the voice in the fifth of a speaker's frames that dio takes for unvoiced, and fewer wrong octaves), "pyin"
    (librosa). "auto" is harvest where pyworld is installed, "fast" is dio there; both are pyin otherwise.
    Raises AudioError for NaN or infinity, limits that are no range within the Nyquist frequency, or a bad hop;
    MissingExtra if the package is missing.
    """
    rate = waveform.sample_rate
    if hop_length < 1:
        raise AudioError(f"hop_length {hop_length} must be at least 1")
    if not 0.0 < f_min_hz < f_max_hz <= rate / 2:
        raise AudioError(f"F0 limits {f_min_hz:g} and {f_max_hz:g} Hz: need 0 < f_min < f_max <= {rate / 2:g} Hz")
    if not np.isfinite(waveform.samples).all():
        raise AudioError("the waveform holds NaN or infinity, so it has no F0")
    frames = len(waveform.samples) // hop_length
    if frames == 0 or not waveform.samples.any():
        return np.zeros(frames, dtype=np.float32)
    # All trackers centre frame t at t · hop of what they get: half a hop less in front moves that to the middle.
    samples = waveform.samples[hop_length // 2 :].astype(np.float64)
    # Zeros behind give every frame a whole window, however short the clip.
    samples = np.pad(samples, (0, hop_length + round(4 * rate / f_min_hz)))
    pyworld = None if method == "pyin" else _pyworld()
    if pyworld is not None:
        f0 = _world(pyworld, samples, rate, hop_length, f_min_hz, f_max_hz, harvest=method in ("auto", "harvest"))
    elif method in ("auto", "fast", "pyin"):
        f0 = _pyin(samples, rate, hop_length, f_min_hz, f_max_hz)
    else:
        raise MissingExtra("pyworld", "world", f"extracting F0 by {method}")
    return f0[:frames].astype(np.float32)


def interpolate_f0(f0: Float[np.ndarray, " frames"]) -> Float[np.ndarray, " frames"]:
    """F0 with a value in every frame, float32: unvoiced ones lie on a line in log F0 between their voiced neighbours.

    Before the first and after the last voiced frame its value holds. Where nothing is voiced all stays 0.
    """
    voiced = np.flatnonzero(f0 > 0.0)
    if len(voiced) == 0:
        return np.zeros(len(f0), dtype=np.float32)
    filled = np.exp(np.interp(np.arange(len(f0)), voiced, np.log(f0[voiced].astype(np.float64)))).astype(np.float32)
    filled[voiced] = f0[voiced]
    return filled


def _world(
    pyworld: ModuleType,
    samples: Float[np.ndarray, " samples"],
    rate: int,
    hop_length: int,
    f_min_hz: float,
    f_max_hz: float,
    harvest: bool,
) -> Float[np.ndarray, " frames"]:
    track = pyworld.harvest if harvest else pyworld.dio
    coarse, times = track(samples, rate, f0_floor=f_min_hz, f0_ceil=f_max_hz, frame_period=1000.0 * hop_length / rate)
    if harvest:  # refines by itself
        return np.asarray(coarse)
    fine = np.asarray(pyworld.stonemask(samples, coarse, times, rate))
    return np.where((fine >= f_min_hz) & (fine <= f_max_hz), fine, coarse)  # StoneMask knows no limits


def _pyin(
    samples: Float[np.ndarray, " samples"], rate: int, hop_length: int, f_min_hz: float, f_max_hz: float
) -> Float[np.ndarray, " frames"]:
    try:
        import librosa
    except ImportError as error:
        raise MissingExtra("librosa", "train", "extracting F0 without pyworld") from error
    # Four periods of the lowest pitch, at a power of two.
    frame_length = 1 << int(np.ceil(np.log2(4.0 * rate / f_min_hz)))
    f0, _, _ = librosa.pyin(
        samples, fmin=f_min_hz, fmax=f_max_hz, sr=rate, frame_length=frame_length, hop_length=hop_length
    )
    return np.nan_to_num(f0, nan=0.0)


def _pyworld() -> ModuleType | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it imports pkg_resources, which says that it will go away
            import pyworld
    except ImportError:
        return None
    module: ModuleType = pyworld
    return module
