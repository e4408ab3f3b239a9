"""The linear spectrogram that every front end of the house is made of."""

from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from moksori.errors import AudioError

Count = TypeVar("Count", int, Tensor, np.ndarray)


def frame_count(samples: Count, hop_length: int) -> Count:
    """Frames of a waveform of `samples` samples: floor(samples / hop_length), for an int or for lengths `[batch]`."""
    return samples // hop_length


def linear_spectrogram(
    waveform: Float[Tensor, "batch samples"],
    n_fft: int,
    hop_length: int,
    window_length: int,
    epsilon: float,
    padded: bool = False,
) -> Float[Tensor, "batch bins frames"]:
    """Magnitudes sqrt(re² + im² + epsilon) of a short-time Fourier transform, frames = floor(samples / hop_length).

    The waveform is reflected by (n_fft - hop_length) / 2 samples on each side and frames are not centred, so that
    frame t spans the hop t and its middle lies at (t + 0.5) · hop_length. The window is a periodic Hann; the transform
    is one-sided (bins = n_fft / 2 + 1) and not normalised (HiFi-GAN's and VITS's definition).

    waveform: in [-1, 1]; one shorter than the padding is reflected to and fro, as numpy.pad does.
    padded: the (n_fft - hop_length) / 2 samples on each side are there already, as when a window is cut from the middle
    of an utterance; frames = (samples - n_fft) / hop_length + 1.
    epsilon: power added in the root: the magnitude of silence is sqrt(epsilon), and its gradient is finite.
    Computed in float32 (float64 for float64 input), inside autocast too: half precision cannot hold the small powers.
    Raises AudioError for a waveform shorter than one hop, which has no frame.
    """
    samples = waveform.shape[-1]
    if samples < hop_length:
        raise AudioError(
            f"a waveform of {samples} samples is shorter than one frame of {hop_length}: pad it to {hop_length} or more"
        )
    if not waveform.dtype.is_floating_point or waveform.dtype.itemsize < 4:
        waveform = waveform.float()
    with torch.autocast(waveform.device.type, enabled=False):
        # Rounded once from double precision, since torch's float32 cosine is off by several units in the last place.
        device = "cpu" if waveform.device.type == "mps" else waveform.device  # mps has no float64
        window = torch.hann_window(window_length, dtype=torch.float64, device=device).to(waveform)
        spectrum = torch.stft(
            waveform if padded else _reflect(waveform, n_fft - hop_length),
            n_fft,
            hop_length,
            window_length,
            window,
            center=False,
            return_complex=True,
        )
        return torch.sqrt(spectrum.real.square() + spectrum.imag.square() + epsilon)


def _reflect(waveform: Float[Tensor, "batch samples"], total: int) -> Float[Tensor, "batch padded"]:
    """The waveform with half of `total` reflected samples on each side; an odd one goes to the right."""
    samples, left, right = waveform.shape[-1], total // 2, total - total // 2
    if right < samples:
        return functional.pad(waveform.unsqueeze(1), (left, right), mode="reflect").squeeze(1)
    # torch reflects once only: walk to and fro between the first and the last sample.
    period = max(2 * (samples - 1), 1)
    position = torch.arange(-left, samples + right, device=waveform.device).remainder(period)
    return waveform[:, torch.minimum(position, (period - position).remainder(period))]
