"""The pitch of speech by autocorrelation, in NumPy alone: for what must work without WORLD or librosa.

Paul Boersma, "Accurate short-term analysis of the fundamental frequency and the harmonics-to-noise ratio of a sampled
sound", IFA Proceedings 17 (1993): the autocorrelation of windowed sound over that of the window, several candidates a
frame, and the cheapest way through them. Corpora are analysed with `audio.f0`, whose trackers are better at noise.
"""

import numpy as np
from jaxtyping import Float, Int

from moksori.types import Waveform

PERIODS = 3.0
"""Of the lowest pitch in a window."""
CANDIDATES = 6
VOICING_THRESHOLD = 0.45
SILENCE_THRESHOLD = 0.03
"""Of the largest magnitude of the sound: frames well under it are unvoiced."""
OCTAVE_COST, JUMP_COST, VOICING_COST = 0.01, 0.35, 0.14
"""For an octave less, for an octave's jump in 10 ms, for beginning or ending a voiced stretch: Boersma's figures."""


def autocorrelation_f0(
    waveform: Waveform, hop_length: int, f_min_hz: float = 60.0, f_max_hz: float = 500.0
) -> Float[np.ndarray, " frames"]:
    """F0 in Hz of each frame, 0 where unvoiced, float32; frames = floor(samples / hop_length).

    Frame t is centred at sample (t + 0.5) · hop_length, as in `audio.f0`.
    """
    rate, count = waveform.sample_rate, len(waveform.samples) // hop_length
    if count == 0:
        return np.zeros(0, np.float32)
    lags, strengths = _candidates(waveform, hop_length, count, f_min_hz, f_max_hz)
    jump = JUMP_COST * 0.01 * rate / hop_length
    frequencies = np.where(lags > 0, rate / np.maximum(lags, 1e-9), 0.0)
    chosen = _cheapest_way(frequencies, strengths, jump, VOICING_COST * 0.01 * rate / hop_length)
    return frequencies[np.arange(count), chosen].astype(np.float32)


def _candidates(
    waveform: Waveform, hop: int, count: int, f_min: float, f_max: float
) -> tuple[Float[np.ndarray, "frames candidates"], Float[np.ndarray, "frames candidates"]]:
    """Lags in samples, 0 for being unvoiced, and how strong each is."""
    rate = waveform.sample_rate
    length = int(PERIODS * rate / f_min)
    size = 1 << int(np.ceil(np.log2(1.5 * length)))
    sound = waveform.samples.astype(np.float64)
    centres = (np.arange(count) * hop + hop // 2)[:, None]
    index = centres + np.arange(length) - length // 2
    frames = np.where((index >= 0) & (index < len(sound)), sound[np.clip(index, 0, len(sound) - 1)], 0.0)
    frames = frames - frames.mean(axis=1, keepdims=True)
    window = np.hanning(length + 2)[1:-1]
    of_window = np.fft.irfft(np.abs(np.fft.rfft(window, size)) ** 2)
    found = np.fft.irfft(np.abs(np.fft.rfft(frames * window, size)) ** 2)
    power = np.maximum(found[:, :1], 1e-20)
    low, high = max(int(rate / f_max), 2), min(int(rate / f_min) + 1, length // 2)
    correlation = (found / power)[:, : high + 2] / (of_window / of_window[0])[: high + 2]
    peak = np.abs(frames).max(axis=1) / max(np.abs(sound).max(), 1e-9)
    here, before, after = (correlation[:, low + k : high + 1 + k] for k in (0, -1, 1))
    is_peak = (here > before) & (here >= after) & (here > 0.0)
    bend = np.where(is_peak, before - 2.0 * here + after, -1.0)
    shift = np.where(is_peak, 0.5 * (before - after) / bend, 0.0)
    height = here - 0.25 * (before - after) * shift
    lag = np.arange(low, high + 1) + shift
    height = np.where(height > 1.0, 1.0 / np.maximum(height, 1.0), height)
    strength = np.where(is_peak, height - OCTAVE_COST * np.log2(np.maximum(f_min * lag / rate, 1e-9)), -np.inf)
    best = np.argsort(-strength, axis=1)[:, :CANDIDATES]
    lags, strengths = np.take_along_axis(lag, best, 1), np.take_along_axis(strength, best, 1)
    lags, strengths = np.where(np.isfinite(strengths), lags, 0.0), np.where(np.isfinite(strengths), strengths, -1e3)
    quiet = 2.0 - (peak / SILENCE_THRESHOLD) / (1.0 + VOICING_THRESHOLD)
    unvoiced = VOICING_THRESHOLD + np.maximum(0.0, quiet)
    return np.column_stack([np.zeros(count), lags]), np.column_stack([unvoiced, strengths])


def _cheapest_way(
    frequencies: Float[np.ndarray, "frames candidates"],
    strengths: Float[np.ndarray, "frames candidates"],
    jump: float,
    change: float,
) -> Int[np.ndarray, " frames"]:
    """The candidate of each frame on the way of the greatest sum of strengths, less what its steps cost (Viterbi)."""
    count, width = frequencies.shape
    octaves = np.log2(np.maximum(frequencies, 1e-9))
    voiced = frequencies > 0
    score, back = strengths[0].copy(), np.zeros((count, width), np.int64)
    for t in range(1, count):
        both = voiced[t][:, None] & voiced[t - 1][None]
        apart = np.abs(octaves[t][:, None] - octaves[t - 1][None])
        cost = np.where(both, jump * apart, np.where(voiced[t][:, None] == voiced[t - 1][None], 0.0, change))
        total = score[None] - cost
        back[t] = total.argmax(axis=1)
        score = strengths[t] + total[np.arange(width), back[t]]
    chosen = np.zeros(count, np.int64)
    chosen[-1] = int(score.argmax())
    for t in range(count - 1, 0, -1):
        chosen[t - 1] = back[t, chosen[t]]
    return chosen
