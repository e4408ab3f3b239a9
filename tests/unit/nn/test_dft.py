"""The transforms of exported graphs give what those with Fourier operators give."""

import pytest
import torch

from moksori.nn.dft import FixedInverseStft, FixedStft
from moksori.nn.istft import ComplexStft, InverseStft


@pytest.mark.parametrize(("n_fft", "hop"), [(1024, 256), (512, 128), (64, 16), (16, 16)])
def test_both_directions_equal_the_complex_ones(n_fft: int, hop: int) -> None:
    waveform = torch.randn(2, 30 * hop, generator=torch.Generator().manual_seed(0))
    spectrum = ComplexStft(n_fft, hop)(waveform)
    real, imaginary = FixedStft(n_fft, hop)(waveform)
    torch.testing.assert_close(real, spectrum.real, rtol=0, atol=3e-6 * n_fft**0.5)
    torch.testing.assert_close(imaginary, spectrum.imag, rtol=0, atol=3e-6 * n_fft**0.5)
    if n_fft == hop:  # one window's edge is silent there, nothing divides it out
        return
    other = torch.randn(spectrum.shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(1))
    expected = InverseStft(n_fft, hop)(other)
    torch.testing.assert_close(FixedInverseStft(n_fft, hop)(other.real, other.imag), expected, rtol=0, atol=1e-5)


def test_one_frame() -> None:
    assert FixedInverseStft(16, 4)(torch.zeros(1, 9, 1), torch.zeros(1, 9, 1)).shape == (1, 4)
    assert FixedStft(16, 4)(torch.zeros(1, 4))[0].shape == (1, 9, 1)
