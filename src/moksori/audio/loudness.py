"""Loudness after ITU-R BS.1770-4 (K-weighted, gated), in LUFS; speech is published at about -23 to -16.

Needs pyloudnorm, which comes with `moksori[train]`.
"""

import warnings
from types import ModuleType

import numpy as np

from moksori.audio.resample import resample
from moksori.errors import AudioError, MissingExtra
from moksori.types import Waveform

BLOCK_SECONDS = 0.4
"""The standard's gating block; nothing shorter has a loudness."""
_LEAST_RATE = 8000  # the K-weighting's shelf lies at 1.7 kHz and needs room below the Nyquist frequency


def integrated_lufs(waveform: Waveform) -> float:
    """Integrated loudness in LUFS; -inf for silence, that is below the standard's gate of -70 LUFS throughout.

    A clip shorter than the standard's 0.4 s block is repeated until it fills one, so that it counts as if it went on.
    Raises AudioError for NaN or infinity, MissingExtra without pyloudnorm.
    """
    pyloudnorm = _pyloudnorm()
    if not np.isfinite(waveform.samples).all():
        raise AudioError("the waveform holds NaN or infinity, so it has no loudness")
    if not waveform.samples.any():
        return -np.inf
    if waveform.sample_rate < _LEAST_RATE:
        waveform = resample(waveform, _LEAST_RATE)
    samples, least = waveform.samples.astype(np.float64), int(np.ceil(BLOCK_SECONDS * waveform.sample_rate))
    if len(samples) < least:
        samples = np.tile(samples, -(-least // len(samples)))
    with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):
        warnings.simplefilter("ignore")  # the mean over no block that passes the gate
        loudness = float(pyloudnorm.Meter(waveform.sample_rate, block_size=BLOCK_SECONDS).integrated_loudness(samples))
    return -np.inf if np.isnan(loudness) else loudness


def normalize_loudness(waveform: Waveform, target_lufs: float = -23.0, peak_limit: float = 0.98) -> Waveform:
    """The waveform at a loudness of `target_lufs`, or as near to it as a peak of `peak_limit` allows.

    One gain for all samples: nothing is clipped or compressed. Silence, which has no loudness, comes back unchanged
    but for the peak limit.
    Raises AudioError for NaN or infinity or limits out of range, MissingExtra without pyloudnorm.
    """
    if not np.isfinite(target_lufs) or not 0.0 < peak_limit <= 1.0:
        raise AudioError(f"target_lufs {target_lufs:g} must be finite and peak_limit {peak_limit:g} in (0, 1]")
    loudness = integrated_lufs(waveform)
    gain = 10.0 ** ((target_lufs - loudness) / 20.0) if np.isfinite(loudness) else 1.0
    peak = float(np.abs(waveform.samples).max(initial=0.0))
    if peak > 0.0:
        gain = min(gain, peak_limit / peak)
    samples = (waveform.samples * gain).astype(np.float32)
    # Rounding to float32 must not carry the loudest sample over the limit.
    return Waveform(np.clip(samples, -peak_limit, peak_limit, dtype=np.float32), waveform.sample_rate)


def _pyloudnorm() -> ModuleType:
    try:
        import pyloudnorm
    except ImportError as error:
        raise MissingExtra("pyloudnorm", "train", "measuring loudness") from error
    module: ModuleType = pyloudnorm
    return module
