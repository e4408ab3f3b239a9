"""The linear spectrogram against a Fourier transform written out in float64."""

import numpy as np
import pytest
import torch

from moksori.audio.stft import frame_count, linear_spectrogram
from moksori.errors import AudioError


def noise(samples: int, batch: int = 1) -> torch.Tensor:
    return 0.3 * torch.randn(batch, samples, generator=torch.Generator().manual_seed(samples))


def reference(waveform: np.ndarray, n_fft: int, hop: int, window_length: int, epsilon: float) -> np.ndarray:
    """The definition: reflect, cut into windows, multiply by the matrix of complex exponentials."""
    left = (n_fft - hop) // 2
    padded = np.pad(waveform.astype(np.float64), (left, n_fft - hop - left), mode="reflect")
    window = np.zeros(n_fft)
    offset = (n_fft - window_length) // 2
    window[offset : offset + window_length] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window_length) / window_length)
    matrix = np.exp(-2j * np.pi * np.outer(np.arange(n_fft // 2 + 1), np.arange(n_fft)) / n_fft)
    frames = [matrix @ (window * padded[t * hop : t * hop + n_fft]) for t in range(len(waveform) // hop)]
    spectrum = np.stack(frames, axis=1)
    return np.sqrt(np.abs(spectrum) ** 2 + epsilon)


@pytest.mark.parametrize("samples", [256, 8192, 22016, 22017, 22271])
def test_frames_are_whole_hops(samples: int) -> None:
    spectrogram = linear_spectrogram(noise(samples, 2), 1024, 256, 1024, 1e-6)
    assert spectrogram.shape == (2, 513, samples // 256)
    assert frame_count(samples, 256) == samples // 256
    assert frame_count(torch.tensor([samples]), 256).tolist() == [samples // 256]


@pytest.mark.parametrize(
    ("n_fft", "hop", "window"), [(1024, 256, 1024), (1024, 200, 1024), (512, 128, 400), (64, 15, 64)]
)
def test_equals_the_transform_written_out(n_fft: int, hop: int, window: int) -> None:
    waveform = noise(6 * n_fft + 7)
    spectrogram = linear_spectrogram(waveform, n_fft, hop, window, 1e-6)[0].numpy()
    expected = reference(waveform[0].numpy(), n_fft, hop, window, 1e-6)
    assert spectrogram.shape == expected.shape
    assert np.abs(spectrogram - expected).max() < 1e-4


@pytest.mark.parametrize("samples", [256, 257, 384, 385, 700])
def test_waveforms_shorter_than_the_padding_are_reflected_to_and_fro(samples: int) -> None:
    waveform = noise(samples)
    expected = reference(waveform[0].numpy(), 1024, 256, 1024, 1e-9)
    assert np.abs(linear_spectrogram(waveform, 1024, 256, 1024, 1e-9)[0].numpy() - expected).max() < 1e-4


def test_one_sample_frames_of_one_sample() -> None:
    assert linear_spectrogram(torch.ones(1, 1), 4, 1, 4, 0.0).shape == (1, 3, 1)


@pytest.mark.parametrize("epsilon", [1e-6, 1e-9])
def test_silence_is_the_root_of_epsilon(epsilon: float) -> None:
    spectrogram = linear_spectrogram(torch.zeros(1, 8192), 1024, 256, 1024, epsilon)
    assert torch.equal(spectrogram, torch.full_like(spectrogram, epsilon).sqrt())


def test_silence_of_vits_is_a_thousandth() -> None:
    spectrogram = linear_spectrogram(torch.zeros(1, 8192), 1024, 256, 1024, 1e-6)
    assert (spectrogram == torch.tensor(1e-3)).all()


def test_gradient_is_finite_in_silence() -> None:
    waveform = torch.zeros(1, 2048, requires_grad=True)
    linear_spectrogram(waveform, 1024, 256, 1024, 1e-9).sum().backward()
    assert waveform.grad is not None
    assert torch.isfinite(waveform.grad).all()


def test_gradient_agrees_with_differences() -> None:
    waveform = noise(24).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: linear_spectrogram(x, 16, 4, 16, 1e-6), (waveform,))


def test_autocast_and_half_precision_change_nothing() -> None:
    waveform = noise(4096)
    expected = linear_spectrogram(waveform, 1024, 256, 1024, 1e-6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(linear_spectrogram(waveform, 1024, 256, 1024, 1e-6), expected)
    half = linear_spectrogram(waveform.bfloat16(), 1024, 256, 1024, 1e-6)
    assert half.dtype == torch.float32
    assert torch.equal(half, linear_spectrogram(waveform.bfloat16().float(), 1024, 256, 1024, 1e-6))


def test_less_than_a_frame_is_refused() -> None:
    with pytest.raises(AudioError, match=r"255 samples .* 256"):
        linear_spectrogram(torch.zeros(1, 255), 1024, 256, 1024, 1e-6)
