"""Measures of what averaging and collapse leave behind, on numbers whose answer is known."""

import math

import numpy as np
import pytest

from moksori.errors import AudioError, BadInput
from moksori.evaluation.coverage import coverage, variance_over_labels
from moksori.evaluation.global_variance import global_variance, global_variance_ratio
from moksori.evaluation.mcd import Aligned, SpeechFrames, mel_cepstral_distortion
from moksori.evaluation.modulation_spectrum import WINDOW, modulation_spectrum, modulation_spectrum_distance
from moksori.evaluation.pitch import PitchDistance
from moksori.evaluation.ripple import ripple_flatness
from moksori.evaluation.sliced_wasserstein import sliced_wasserstein
from moksori.evaluation.stoi import stoi
from moksori.evaluation.warped_stoi import band_intelligibility, warped_stoi
from moksori.types import Waveform

RATE = 16000


def frames(count: int, size: int = 24, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, size))


# ---- mel-cepstral distortion


def test_the_voiced_form_leaves_out_what_is_unvoiced_in_either() -> None:
    count = 40
    reference, spoken = np.zeros((count, 25)), np.zeros((count, 25))
    spoken[:20, 1] = 1.0  # off by one in the first half alone
    path = np.stack([np.arange(count)] * 2, axis=1)
    voiced = np.full(count, 100.0, np.float32)
    half = np.where(np.arange(count) < 20, 100.0, 0.0).astype(np.float32)
    unit = 10 / math.log(10) * math.sqrt(2)

    def distortion(one: np.ndarray, two: np.ndarray, only: bool) -> float:
        pair = Aligned(SpeechFrames(one, reference, 0.2), SpeechFrames(two, spoken, 0.2), path)
        return mel_cepstral_distortion(pair, voiced=only)

    assert distortion(voiced, half, False) == pytest.approx(unit / 2)
    assert distortion(voiced, half, True) == pytest.approx(unit)
    assert distortion(half, voiced, True) == pytest.approx(unit)
    assert math.isnan(distortion(np.zeros_like(half), voiced, True))


def test_an_octave_is_1200_cents() -> None:
    assert PitchDistance(math.log(2.0), 1.0, 0.0).rmse_cents == pytest.approx(1200.0)


# ---- global variance


def test_the_global_variance_is_that_of_each_utterance() -> None:
    # Utterances that differ in their means alone have no variance by it.
    apart = [np.full((50, 3), float(place)) for place in range(4)]
    assert global_variance(apart) == pytest.approx(np.zeros(3))
    spread = frames(4000, 3) * np.array([1.0, 2.0, 3.0])
    assert global_variance([spread, spread + 5.0]) == pytest.approx([1.0, 4.0, 9.0], rel=0.1)
    with pytest.raises(BadInput, match="two frames"):
        global_variance([spread[:1]])


def test_halved_excursions_have_a_quarter_of_the_global_variance() -> None:
    natural = global_variance([frames(500, seed=k) for k in range(3)])
    flat = global_variance([0.5 * frames(500, seed=k) + 3.0 for k in range(3)])
    assert global_variance_ratio(natural, natural) == pytest.approx(1.0)
    assert global_variance_ratio(flat, natural) == pytest.approx(0.25)
    # One coefficient doubled and one halved is 1: the mean is geometric.
    assert global_variance_ratio(np.array([2.0, 0.5]), np.array([1.0, 1.0])) == pytest.approx(1.0)


# ---- modulation spectrum


def test_a_wave_has_its_power_at_its_modulation_frequency() -> None:
    time = np.arange(1024)
    course = np.stack([np.sin(2 * np.pi * 10 * time / WINDOW), np.sin(2 * np.pi * 40 * time / WINDOW)], axis=1)
    found = modulation_spectrum([course])
    assert found.shape == (2, WINDOW // 2)
    assert found.argmax(axis=1).tolist() == [9, 39]  # bin k stands at place k - 1: the mean is left out


def test_twice_the_excursion_is_six_decibels_away() -> None:
    natural = modulation_spectrum([frames(600)])
    assert modulation_spectrum_distance(natural, natural) == 0.0
    louder = modulation_spectrum([2.0 * frames(600) + 1.0])
    assert modulation_spectrum_distance(louder, natural) == pytest.approx(20 * math.log10(2.0), abs=1e-3)


def test_smoothing_takes_the_upper_end_away() -> None:
    course = frames(1200)
    smooth = np.stack([np.convolve(c, np.ones(5) / 5, mode="same") for c in course.T], axis=1)
    lost = modulation_spectrum([course]) - modulation_spectrum([smooth])
    assert lost[:, :4].mean() < 1.0
    assert lost[:, 32:].mean() > 6.0


def test_short_utterances_are_lengthened_and_empty_ones_refused() -> None:
    short = modulation_spectrum([frames(40)])
    assert np.isfinite(short).all()
    with pytest.raises(BadInput, match="no utterance"):
        modulation_spectrum([frames(0)])


# ---- ripple


def test_the_flatness_of_a_cosine_ripple_is_known() -> None:
    # Of exp(a cos(theta)) the geometric mean is 1 and the arithmetic one the Bessel function I0(a).
    bins = np.arange(513)
    for depth in (0.0, 0.5, 2.0):
        ripple = depth * np.cos(2 * np.pi * 48 * bins / 1024)  # 3 ms of quefrency at 16 kHz
        tilt = 4.0 - 3.0 * np.cos(2 * np.pi * 3 * bins / 1024)  # under 1 ms: the smooth course, which does not count
        power = np.exp(np.stack([ripple + tilt] * 3))
        assert ripple_flatness(power, RATE) == pytest.approx(1.0 / float(np.i0(depth)), rel=1e-6)
    with pytest.raises(BadInput, match="no frames"):
        ripple_flatness(np.ones((0, 513)), RATE)


def test_an_average_of_sharp_envelopes_is_flatter_than_each() -> None:
    bins = np.arange(513)
    sharp = np.exp(np.stack([2.0 * np.cos(2 * np.pi * 40 * bins / 1024 + phase) for phase in np.arange(8)]))
    averaged = np.exp(np.log(sharp).mean(axis=0, keepdims=True))
    assert ripple_flatness(sharp, RATE) < 0.5 < ripple_flatness(averaged, RATE)


# ---- sliced Wasserstein distance


def test_the_distance_of_shifted_and_of_widened_clouds_is_known() -> None:
    cloud = frames(4000, seed=1)
    assert sliced_wasserstein(cloud, cloud) == 0.0
    assert sliced_wasserstein(cloud, frames(3000, seed=2)) < 0.06
    assert sliced_wasserstein(cloud + 1.0, cloud) == pytest.approx(1.0, abs=0.12)  # 256 directions of 24 numbers
    assert sliced_wasserstein(np.full_like(cloud, cloud.mean()), cloud) == pytest.approx(1.0, abs=0.05)
    one = frames(4000, 1, seed=3)
    assert sliced_wasserstein(3.0 * one + 2.0, one) == pytest.approx(math.sqrt(4 + 4), rel=0.03)
    # Units do not matter: numbers are divided by the real frames' deviation.
    scales = np.geomspace(0.01, 100, 24)
    assert sliced_wasserstein((cloud + 1.0) * scales, cloud * scales) == pytest.approx(
        sliced_wasserstein(cloud + 1.0, cloud)
    )
    with pytest.raises(BadInput, match="two or more"):
        sliced_wasserstein(cloud[:1], cloud)


# ---- coverage


def test_precision_and_recall_tell_collapse_from_noise() -> None:
    real = frames(600, 6, seed=4)
    same = coverage(frames(600, 6, seed=5), real)
    assert same.precision > 0.6
    assert same.recall > 0.6
    collapsed = coverage(real[:1] + 0.01 * frames(600, 6, seed=6), real)
    assert collapsed.precision > 0.9
    assert collapsed.recall < 0.05
    scattered = coverage(6.0 * frames(600, 6, seed=7), real)
    assert scattered.precision < 0.1
    assert coverage(real + 100.0, real).precision == coverage(real + 100.0, real).recall == 0.0
    with pytest.raises(BadInput, match="more than 3"):
        coverage(real[:3], real)


def test_phones_that_move_together_lose_their_variance() -> None:
    labels = np.repeat(np.arange(5), 40)
    centres = 10.0 * frames(5, 4, seed=8)
    real = centres[labels] + frames(200, 4, seed=9)
    assert variance_over_labels(real, labels, real, labels) == pytest.approx(1.0)
    middle = real.mean(axis=0)
    assert variance_over_labels(middle + 0.5 * (real - middle), labels, real, labels) == pytest.approx(0.25)
    mixed = np.random.default_rng(0).permutation(labels)
    assert variance_over_labels(real, mixed, real, labels) < 0.1
    # A label that is seldom in either does not count; of one label alone nothing can be told.
    assert math.isnan(variance_over_labels(real, labels, real[:45], labels[:45]))


# ---- STOI after warping


def speech(seed: int = 0, seconds: float = 3.0) -> np.ndarray:
    """Noise whose bands come and go like syllables."""
    draw = np.random.default_rng(seed)
    count = int(seconds * RATE)
    time = np.arange(count) / RATE
    total = np.zeros(count)
    for centre in (300, 600, 1200, 2400, 3600):
        rate, phase = draw.uniform(2, 6), draw.uniform(0, 6)
        tone = np.sin(2 * np.pi * centre * time + draw.normal(size=count).cumsum() * 0.05)
        total += np.maximum(0.02, np.sin(2 * np.pi * rate * time + phase)) * tone
    return total / 8


def test_recordings_in_step_have_their_stoi() -> None:
    clean = speech()
    draw = np.random.default_rng(1)
    for level in (0.0, 0.02, 0.1):
        noisy = clean + level * draw.normal(size=len(clean))
        pair = [Waveform(x.astype(np.float32), RATE) for x in (clean, noisy)]
        found = warped_stoi(*pair)
        assert found.stoi == pytest.approx(stoi(*pair), abs=0.04)
        if level == 0.0:
            assert (found.stoi, found.extended) == pytest.approx((1.0, 1.0), abs=1e-6)
        else:
            assert found.extended < found.stoi < 1.0


def test_a_stretched_copy_is_as_clear_and_another_sentence_is_not() -> None:
    clean = speech()
    places = np.arange(0, len(clean) - 1, 0.8)
    slow = np.interp(places, np.arange(len(clean)), clean)  # 1.25 times as long, and lower
    louder = Waveform((3.0 * slow).astype(np.float32), RATE)
    reference = Waveform(clean.astype(np.float32), RATE)
    other = Waveform(speech(seed=7).astype(np.float32), RATE)
    assert warped_stoi(reference, louder).stoi > warped_stoi(reference, other).stoi + 0.1
    again = np.repeat(np.arange(len(clean) // 400), 2)  # every 25 ms twice
    twice = np.concatenate([clean[400 * k : 400 * (k + 1)] for k in again]).astype(np.float32)
    assert warped_stoi(reference, Waveform(twice, RATE)).stoi > 0.9


def test_too_little_speech_has_no_stoi_and_broken_sound_is_refused() -> None:
    short = Waveform(speech(seconds=0.2).astype(np.float32), RATE)
    assert math.isnan(warped_stoi(short, short).stoi)
    with pytest.raises(AudioError, match="NaN"):
        warped_stoi(short, Waveform(np.full(9000, np.nan, np.float32), RATE))
    with pytest.raises(AudioError, match="30 or more"):
        band_intelligibility(np.ones((10, 15)), np.ones((10, 15)))
