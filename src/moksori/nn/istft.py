"""The inverse short-time Fourier transform that undoes `audio.stft`, as a differentiable layer.

Analysis pads (n_fft - hop)/2 samples on each side, so frame t is centred at (t + 0.5) * hop and T frames stand for
exactly T * hop samples; synthesis overlaps and adds, divides by the summed squared window and cuts the same padding.
"""

import math

import torch
from jaxtyping import Complex, Float
from torch import Tensor, nn


def overlapping_frames(n_fft: int, hop_length: int) -> int:
    """How many frames on each side a window of n_fft samples, centred on its frame of hop_length samples, reaches."""
    return math.ceil((n_fft - hop_length) / 2 / hop_length)


class InverseStft(nn.Module):
    """`[batch, bins, frames]` complex -> `[batch, frames * hop]` samples; periodic Hann window of n_fft samples."""

    window: Tensor

    def __init__(self, n_fft: int, hop_length: int) -> None:
        super().__init__()
        if (n_fft - hop_length) % 2 or n_fft < hop_length:
            raise ValueError(f"n_fft {n_fft} minus hop_length {hop_length} must be even and not negative")
        self.n_fft, self.hop_length = n_fft, hop_length
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)

    @property
    def context_steps(self) -> int:
        """Frames on each side that reach into the samples of a frame."""
        return overlapping_frames(self.n_fft, self.hop_length)

    def forward(self, spectrum: Complex[Tensor, "batch bins frames"]) -> Float[Tensor, "batch samples"]:
        frames = spectrum.shape[-1]
        windowed = torch.fft.irfft(spectrum, n=self.n_fft, dim=1) * self.window[:, None]
        total = self._overlap_add(windowed, frames)
        envelope = self._overlap_add(self.window.square()[None, :, None].expand(1, -1, frames), frames)
        # Inside the cut the squared windows sum to at least 0.75 (n_fft 1024, hop 256): the division is safe.
        return total / envelope

    def _overlap_add(self, pieces: Tensor, frames: int) -> Tensor:
        length = (frames - 1) * self.hop_length + self.n_fft
        folded = nn.functional.fold(pieces, (1, length), (1, self.n_fft), stride=(1, self.hop_length))
        cut = (self.n_fft - self.hop_length) // 2
        return folded[:, 0, 0, cut : length - cut]


class ComplexStft(nn.Module):
    """`[batch, frames * hop]` samples -> `[batch, bins, frames]` complex, aligned with InverseStft.

    Zero padding at the ends (an excitation signal has no edge that must not be seen).
    """

    window: Tensor

    def __init__(self, n_fft: int, hop_length: int) -> None:
        super().__init__()
        self.n_fft, self.hop_length = n_fft, hop_length
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)

    @property
    def context_steps(self) -> int:
        """Frames on each side whose samples a spectrum sees."""
        return overlapping_frames(self.n_fft, self.hop_length)

    def forward(self, waveform: Float[Tensor, "batch samples"]) -> Complex[Tensor, "batch bins frames"]:
        pad = (self.n_fft - self.hop_length) // 2
        frames = nn.functional.pad(waveform, (pad, pad)).unfold(1, self.n_fft, self.hop_length)
        return torch.fft.rfft(frames * self.window, dim=2).transpose(1, 2)
