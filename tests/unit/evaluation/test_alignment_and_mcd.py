"""Time warping against exhaustive search, the mel-cepstrum against its definition, MCD and F0 on known sounds."""

import functools
import math

import numpy as np
import pytest

from moksori.errors import AudioError
from moksori.evaluation.alignment import warp
from moksori.evaluation.mcd import (
    SAMPLE_RATE,
    Aligned,
    SpeechFrames,
    align,
    analyse,
    mel_cepstral_distortion,
    mel_cepstrum,
    warping_factor,
)
from moksori.evaluation.pitch import pitch_distance, pitch_moments
from moksori.types import Waveform


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 5), (6, 1), (5, 7), (8, 4), (6, 6)])
def test_warping_finds_the_cheapest_path(n, m):
    draw = np.random.default_rng([n, m])
    a, b = draw.normal(size=(n, 3)), draw.normal(size=(m, 3))
    distance = np.linalg.norm(a[:, None] - b[None], axis=-1)

    @functools.cache
    def cheapest(i, j):
        before = [(i - 1, j - 1), (i - 1, j), (i, j - 1)]
        reachable = [cheapest(*c) for c in before if min(c) >= 0]
        return distance[i, j] + (min(reachable) if reachable else 0.0)

    path = warp(a, b)
    assert tuple(path[0]) == (0, 0)
    assert tuple(path[-1]) == (n - 1, m - 1)
    assert {tuple(step) for step in np.diff(path, axis=0)} <= {(0, 1), (1, 0), (1, 1)}
    assert distance[path[:, 0], path[:, 1]].sum() == pytest.approx(cheapest(n - 1, m - 1))


def test_warping_undoes_a_stretch():
    a = np.random.default_rng(0).normal(size=(20, 4))
    path = warp(a, np.repeat(a, 3, axis=0))
    assert (path[:, 0] == path[:, 1] // 3).all()


def test_warping_of_nothing_is_an_error():
    with pytest.raises(AudioError, match="0 and 3 frames"):
        warp(np.zeros((0, 2)), np.zeros((3, 2)))


@pytest.mark.parametrize("alpha", [0.0, 0.41, 0.455])
def test_the_mel_cepstrum_gives_the_spectrum_back_on_the_warped_axis(alpha):
    # A spectrum made of a mel-cepstrum, log|X(w)| = sum c_m cos(m w~): the analysis must find the same numbers.
    omega = np.linspace(0, np.pi, 513)
    warped = omega + 2 * np.arctan2(alpha * np.sin(omega), 1 - alpha * np.cos(omega))
    wanted = np.random.default_rng(1).normal(size=25) * 0.5 ** np.arange(25)
    log_magnitude = sum(c * np.cos(m * warped) for m, c in enumerate(wanted))
    found = mel_cepstrum(np.exp(2 * log_magnitude)[None], 24, alpha)[0]
    np.testing.assert_allclose(found, wanted, atol=1e-9)


def test_a_factor_warps_the_axis_like_the_mel_scale():
    assert warping_factor(16000) == pytest.approx(0.41, abs=0.005)
    assert warping_factor(8000) < warping_factor(16000) < warping_factor(44100)


def frames(cepstra, f0=None):
    cepstra = np.asarray(cepstra, dtype=float)
    return SpeechFrames(np.zeros(len(cepstra), np.float32) if f0 is None else f0, cepstra, len(cepstra) / 200)


def test_mcd_is_the_formula_and_ignores_the_level():
    a, b = np.zeros((4, 25)), np.zeros((4, 25))
    b[:, 0], b[:, 3] = 7.0, 0.2
    assert mel_cepstral_distortion(align(frames(a), frames(b))) == pytest.approx(10 / math.log(10) * math.sqrt(2) * 0.2)
    b[:, 3] = 0.0
    assert mel_cepstral_distortion(align(frames(a), frames(b))) == 0.0


def vowel(seconds, f0, formants=(700, 1200, 2600), rate=22050, level=0.1, glide=0.0):
    """Harmonics with bumps at the formants; `glide` octaves upwards from start to end."""
    time = np.arange(round(seconds * rate)) / rate
    pitch = f0 * 2 ** (glide * time / seconds)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    samples = np.zeros(len(time))
    for k in range(1, int(6000 / f0)):
        gain = 1e-3 + sum(np.exp(-(((k * pitch - f) / 150) ** 2)) for f in formants)
        samples += gain * np.sin(k * phase)
    return Waveform((level * samples / np.abs(samples).max()).astype(np.float32), rate)


def test_a_sound_is_near_itself_at_any_level_rate_and_speed_and_far_from_another():
    reference = analyse(vowel(0.6, 150, glide=0.4))
    same = [vowel(0.6, 150, level=0.5, glide=0.4), vowel(0.9, 150, glide=0.4), vowel(0.6, 150, rate=16000, glide=0.4)]
    near = [mel_cepstral_distortion(align(reference, analyse(w))) for w in same]
    other = mel_cepstral_distortion(align(reference, analyse(vowel(0.6, 150, (300, 2200, 3000), glide=0.4))))
    assert max(near) < 2.5
    assert other > 2 * max(near)


def test_f0_of_a_shifted_sound_is_off_by_the_shift():
    octaves = 3 / 12
    reference, shifted = analyse(vowel(0.8, 140, glide=0.5)), analyse(vowel(0.8, 140 * 2**octaves, glide=0.5))
    path = np.stack([np.arange(min(len(reference.f0), len(shifted.f0)))] * 2, 1)
    distance = pitch_distance(Aligned(reference, shifted, path))
    assert distance.log_f0_rmse == pytest.approx(octaves * math.log(2), abs=0.02)
    assert distance.log_f0_correlation > 0.94  # DIO errs at the ends
    assert distance.voicing_error < 0.05
    moments = pitch_moments(shifted.f0)
    assert moments.mean_hz == pytest.approx(140 * 2 ** (octaves + 0.25), rel=0.03)
    assert moments.deviation_semitones == pytest.approx(12 * 0.5 / math.sqrt(12), rel=0.1)  # a straight glide


def test_pitch_without_voice_is_nan_and_voicing_counts():
    f0 = np.r_[np.zeros(10), np.full(10, 100.0)].astype(np.float32)
    silent = np.zeros(20, np.float32)
    path = np.stack([np.arange(20)] * 2, 1)
    distance = pitch_distance(Aligned(frames(np.zeros((20, 25)), f0), frames(np.zeros((20, 25)), silent), path))
    assert distance.voicing_error == 0.5
    assert math.isnan(distance.log_f0_rmse)
    assert math.isnan(pitch_moments(silent).mean_hz)
    constant = pitch_distance(Aligned(frames(np.zeros((20, 25)), f0), frames(np.zeros((20, 25)), f0), path))
    assert constant.log_f0_rmse == 0.0
    assert math.isnan(constant.log_f0_correlation)


@pytest.mark.parametrize("samples", [0, 1, 700])
def test_tiny_and_silent_recordings_have_frames(samples):
    found = analyse(Waveform(np.zeros(samples, np.float32), SAMPLE_RATE))
    assert len(found.f0) == len(found.mel_cepstrum) > 0
    assert np.isfinite(found.mel_cepstrum).all()
    assert not found.f0.any()
