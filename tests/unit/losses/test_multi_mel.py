"""The mel distance at many resolutions: 0 for equal sounds, a restatement of one resolution, its gradient."""

import math

import numpy as np
import pytest
import torch

from moksori.losses.multi_mel import MultiMelDistance


def sound(seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(2, 4000, generator=torch.Generator().manual_seed(seed))


def test_equal_sounds_and_different_ones() -> None:
    distance = MultiMelDistance(16000)
    assert float(distance(sound(), sound())) == 0.0
    near, far = float(distance(sound(), 1.1 * sound())), float(distance(sound(), 2.0 * sound()))
    # Twice as loud is log10(2) louder in every band of the seven resolutions, but for what lies at the floor.
    assert far == pytest.approx(7 * math.log10(2.0), rel=0.02)
    assert near < far


def test_one_resolution_restated() -> None:
    distance = MultiMelDistance(16000, (512,), (20,))
    found = float(distance(sound(1), sound(2)))

    def mel(waveform: np.ndarray) -> np.ndarray:
        padded = np.pad(waveform, ((0, 0), (256, 256)))
        frames = np.lib.stride_tricks.sliding_window_view(padded, 512, axis=1)[:, ::128]
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(512) / 512)
        power = np.abs(np.fft.rfft(frames * window, axis=2)) ** 2
        filters = distance.filters_0.numpy()
        return np.log10(np.maximum(np.sqrt(power + 1e-9) @ filters.T, 1e-5))

    expected = np.abs(mel(sound(1).numpy()) - mel(sound(2).numpy())).mean()
    assert found == pytest.approx(float(expected), rel=1e-4)


def test_silence_has_a_finite_gradient() -> None:
    silence = torch.zeros(1, 3000, requires_grad=True)
    MultiMelDistance(16000)(silence, sound()[:1, :3000]).backward()
    assert bool(silence.grad.isfinite().all())
    with pytest.raises(ValueError, match="2 windows and 1 numbers of bands"):
        MultiMelDistance(16000, (32, 64), (5,))
