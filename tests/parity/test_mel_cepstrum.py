"""Mel-cepstrum, warping factor, time warping and MCD against stored values of pysptk 1.0.1 and fastdtw 0.3.4.

Made by: `mcepalpha(rate)`; `sp2mc(power, 24, 0.41)` of each frame of `spectra`; `fastdtw.dtw` (exact) over c_1 ... c_24
with the Euclidean distance; MCD by its formula along that path. Tolerance 1e-8, the precision of the stored digits.
"""

import numpy as np
import pytest

from moksori.evaluation.alignment import warp
from moksori.evaluation.mcd import Aligned, SpeechFrames, mel_cepstral_distortion, mel_cepstrum, warping_factor

FIRST = [
    *(-3.48363096, 1.57984261, -0.20550017, 0.58739694, 0.03900391, -0.32454741, -0.67365295, -0.33022324, -0.12476252),
    *(-0.111857, -0.05238693, -0.1520082, 0.11572483, 0.22009213, -0.23259743, 0.0338091, 0.14717081, -0.04334628),
    *(0.04212688, 0.0391778, 0.03546614, -0.03723394, -0.06776807, 0.04240136, -0.02218772),
]
SECOND = [
    *(-3.43366906, 1.78240537, -0.09582907, 0.25120435, -0.27935734, 0.0282197, -0.06304133, -0.33582849, -0.61120112),
    *(-0.30148594, 0.1530163, -0.06335824, -0.03163248, 0.12349701, -0.20281184, 0.02576823, 0.08242083, -0.07624685),
    *(0.04565585, 0.03744791, 0.05484112, 0.0104001, -0.04069324, 0.01708968, -0.04958203),
]
ALPHAS = {8000: 0.312, 16000: 0.41, 22050: 0.455, 24000: 0.466, 44100: 0.544, 48000: 0.554}
SUMMED_DISTANCE, PATH_STEPS, MCD_DB = 22.3010462696341, 75, 1.8262628489800041


def spectra(seed: int, frames: int) -> np.ndarray:
    """Smooth power spectra of 513 bins with four moving peaks and a ripple."""
    k, t = np.arange(513) / 512, np.arange(frames)[:, None] / frames
    peaks = [
        (0.06 + 0.02 * np.sin(6 * t + seed), 6.0),
        (0.2 + 0.05 * np.cos(5 * t * (1 + 0.1 * seed)), 4.0),
        (0.36, 3.0),
        (0.55, 2.5),
    ]
    log = -7.0 - 5.0 * k + sum(h * np.exp(-(((k - c) / 0.04) ** 2)) for c, h in peaks)
    return np.exp(log + 0.3 * np.cos(40 * np.pi * k + seed))


@pytest.fixture(scope="module")
def cepstra():
    return mel_cepstrum(spectra(0, 60), 24, 0.41), mel_cepstrum(spectra(1, 75), 24, 0.41)


def test_warping_factors_are_sptks():
    assert {rate: warping_factor(rate) for rate in ALPHAS} == pytest.approx(ALPHAS, abs=1e-9)


def test_the_mel_cepstrum_is_sp2mcs(cepstra):
    np.testing.assert_allclose(cepstra[0][0], FIRST, atol=1e-8)
    np.testing.assert_allclose(cepstra[1][30], SECOND, atol=1e-8)


def test_the_path_and_the_distortion_are_the_librarys(cepstra):
    first, second = cepstra
    path = warp(first[:, 1:], second[:, 1:])
    assert len(path) == PATH_STEPS
    along = np.linalg.norm(first[path[:, 0], 1:] - second[path[:, 1], 1:], axis=1)
    assert along.sum() == pytest.approx(SUMMED_DISTANCE, rel=1e-8)
    silent = (np.zeros(60, np.float32), np.zeros(75, np.float32))
    aligned = Aligned(SpeechFrames(silent[0], first, 0.3), SpeechFrames(silent[1], second, 0.375), path)
    assert mel_cepstral_distortion(aligned) == pytest.approx(MCD_DB, rel=1e-8)
