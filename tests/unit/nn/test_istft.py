"""The inverse transform undoes the house's analysis, keeps lengths, and carries gradients."""

import numpy as np
import pytest
import torch

from moksori.audio.stft import linear_spectrogram
from moksori.nn.istft import ComplexStft, InverseStft, overlap_add


def analysis(waveform: torch.Tensor, n_fft: int, hop: int) -> torch.Tensor:
    """The complex form of `audio.stft.linear_spectrogram`: reflected ends, frames not centred."""
    pad = (n_fft - hop) // 2
    padded = torch.nn.functional.pad(waveform[:, None], (pad, pad), mode="reflect")[:, 0]
    return torch.stft(padded, n_fft, hop, window=torch.hann_window(n_fft), center=False, return_complex=True)


@pytest.mark.parametrize(("n_fft", "hop"), [(1024, 256), (512, 128), (64, 16)])
def test_synthesis_after_analysis_is_the_identity(n_fft: int, hop: int) -> None:
    waveform = torch.randn(2, 40 * hop, generator=torch.Generator().manual_seed(0))
    inverse = InverseStft(n_fft, hop)
    torch.testing.assert_close(inverse(analysis(waveform, n_fft, hop)), waveform, rtol=0, atol=2e-6)
    # Zeros instead of reflections at the ends give the same back, since synthesis needs only the inside.
    torch.testing.assert_close(inverse(ComplexStft(n_fft, hop)(waveform)), waveform, rtol=0, atol=2e-6)


def test_frames_are_those_of_the_house() -> None:
    waveform = torch.randn(1, 20 * 256, generator=torch.Generator().manual_seed(1))
    magnitude = linear_spectrogram(waveform, 1024, 256, 1024, 0.0)
    own = ComplexStft(1024, 256)(waveform).abs()
    assert own.shape == magnitude.shape
    inside = slice(2, -2)  # the ends differ: zeros here, reflections there
    torch.testing.assert_close(own[..., inside], magnitude[..., inside], rtol=1e-4, atol=1e-4)


def test_one_frame_and_gradient() -> None:
    inverse = InverseStft(16, 4)
    assert inverse(torch.zeros(1, 9, 1, dtype=torch.complex64)).shape == (1, 4)
    spectrum = torch.randn(1, 9, 3, dtype=torch.complex128, requires_grad=True)
    assert torch.autograd.gradcheck(inverse.double(), (spectrum,))
    assert not inverse.state_dict()


@pytest.mark.parametrize(("n_fft", "hop"), [(32, 8), (20, 6)])
@pytest.mark.parametrize("frames", [1, 2, 6, 7, 8, 9, 30])
def test_the_fast_sums_are_the_slow_ones(n_fft: int, hop: int, frames: int) -> None:
    inverse = InverseStft(n_fft, hop)
    pieces = torch.randn(2, frames, n_fft, generator=torch.Generator().manual_seed(0))
    expected = torch.zeros(2, (frames - 1) * hop + n_fft)
    for frame in range(frames):
        expected[:, frame * hop : frame * hop + n_fft] += pieces[:, frame]
    torch.testing.assert_close(overlap_add(pieces, hop), expected, rtol=0, atol=1e-6)
    learnt = pieces.clone().requires_grad_()
    assert torch.equal(overlap_add(learnt, hop), overlap_add(pieces, hop))
    squares = inverse.window.square().expand(1, frames, -1)
    assert torch.equal(inverse._squares(frames), overlap_add(squares, hop))


@pytest.mark.parametrize(("n_fft", "hop"), [(64, 15), (64, 80)])
def test_sizes_that_cannot_be_aligned(n_fft: int, hop: int) -> None:
    with pytest.raises(ValueError, match=f"n_fft {n_fft} minus hop_length {hop}"):
        InverseStft(n_fft, hop)


def test_float64_of_numpy_agrees() -> None:
    """A spectrum of one bin is a windowed cosine: against the definition, in float64."""
    spectrum = torch.zeros(1, 17, 5, dtype=torch.complex128)
    spectrum[0, 3, 2] = 2.0 - 1.0j
    got = InverseStft(32, 8).double()(spectrum)[0].numpy()
    n = np.arange(32)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * n / 32)
    piece = window * 2 / 32 * np.real((2.0 - 1.0j) * np.exp(2j * np.pi * 3 * n / 32))
    total, envelope = np.zeros(4 * 8 + 32), np.zeros(4 * 8 + 32)
    total[16 : 16 + 32] = piece
    for frame in range(5):
        envelope[8 * frame : 8 * frame + 32] += window**2
    np.testing.assert_allclose(got, (total / np.maximum(envelope, 1e-12))[12:-12], atol=1e-7)
