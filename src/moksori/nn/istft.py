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


def overlap_add(pieces: Float[Tensor, "batch frames window"], hop_length: int) -> Float[Tensor, "batch samples"]:
    """Windows, each `hop_length` samples after the one before, added up: (frames - 1) * hop_length + window samples."""
    frames, window = pieces.shape[1:]
    # As many hops as a window spans are whole rows of the result: a few large additions instead of a scatter.
    hops = -(-window // hop_length)
    rows = nn.functional.pad(pieces, (0, hops * hop_length - window)).unflatten(2, (hops, hop_length))
    if not (torch.is_grad_enabled() and pieces.requires_grad) and not torch.jit.is_tracing():
        added = pieces.new_zeros(pieces.shape[0], frames + hops - 1, hop_length)  # the same sums, a fifth of the time
        for hop in range(hops):
            added[:, hop : hop + frames] += rows[:, :, hop]
        return added.flatten(1)[:, : (frames - 1) * hop_length + window]
    shifted = (nn.functional.pad(rows[:, :, hop], (0, 0, hop, hops - 1 - hop)) for hop in range(hops))
    total = next(shifted)
    for part in shifted:
        total = total + part
    return total.flatten(1)[:, : (frames - 1) * hop_length + window]


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
        pieces = torch.fft.irfft(spectrum.transpose(1, 2), n=self.n_fft, dim=2).mul_(self.window)
        # Inside the cut the squared windows sum to at least 0.75 (n_fft 1024, hop 256): the division is safe.
        return self._cut(overlap_add(pieces, self.hop_length)) / self._cut(self._squares(pieces.shape[1]))

    def _squares(self, frames: int) -> Float[Tensor, "1 samples"]:
        """The squared windows of so many frames, added up: between the ends each hop is like the next."""
        hops = -(-self.n_fft // self.hop_length)
        few = min(frames, 2 * hops - 1)
        added = overlap_add(self.window.square().expand(1, few, -1), self.hop_length)
        if few == frames:
            return added
        first, middle = (hops - 1) * self.hop_length, added[:, (hops - 1) * self.hop_length :][:, : self.hop_length]
        between = middle.repeat(1, frames - few)
        return torch.cat([added[:, :first], between, added[:, first:]], dim=1)

    def _cut(self, total: Tensor) -> Tensor:
        cut = (self.n_fft - self.hop_length) // 2
        return total[:, cut : total.shape[1] - cut]


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
