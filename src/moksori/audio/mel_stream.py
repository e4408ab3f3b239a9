"""The mel spectrogram of sound that comes bit by bit."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from moksori.audio.mel import MelSpectrogram
from moksori.audio.stft import linear_spectrogram


class MelStream:
    """Log-mels of samples as they come: joined, they are what `front_end` gives for all samples at once.

    A last hop that was only begun is filled with zeros, so frames = ceil(samples / hop_length). At most n_fft samples
    are kept.
    """

    def __init__(self, front_end: MelSpectrogram) -> None:
        self._front_end = front_end
        mel = front_end.config
        self._left = (mel.n_fft - mel.hop_length) // 2
        self._right = mel.n_fft - mel.hop_length - self._left
        self._kept = torch.zeros(0, device=front_end.filterbank.device)
        self._samples = 0
        self._started = False  # the reflection before the first sample stands in what is kept

    def push(self, samples: Float[Tensor, " samples"]) -> Float[Tensor, "1 mels frames"]:
        """The next samples; the frames that are ready, perhaps none."""
        self._kept = torch.cat([self._kept, samples.to(self._kept)])
        self._samples += len(samples)
        if not self._started:
            if len(self._kept) <= self._front_end.config.n_fft:  # until then the reflections at both ends may meet
                return self._frames(0)
            self._kept = torch.cat([self._kept[1 : self._left + 1].flip(0), self._kept])
            self._started = True
        return self._ready()

    def finish(self) -> Float[Tensor, "1 mels frames"]:
        """The frames that are left, after the last samples; call it once."""
        hop = self._front_end.config.hop_length
        if self._samples == 0:
            return self._frames(0)
        self._kept = functional.pad(self._kept, (0, -self._samples % hop))
        if not self._started:
            return self._front_end(self._kept[None])
        self._kept = torch.cat([self._kept, self._kept[-self._right - 1 : -1].flip(0)])
        return self._ready()

    def _ready(self) -> Float[Tensor, "1 mels frames"]:
        mel = self._front_end.config
        count = (len(self._kept) - mel.n_fft) // mel.hop_length + 1
        if count <= 0:
            return self._frames(0)
        used = self._kept[: (count - 1) * mel.hop_length + mel.n_fft]
        magnitude = linear_spectrogram(
            used[None], mel.n_fft, mel.hop_length, mel.window_length, mel.epsilon, padded=True
        )
        self._kept = self._kept[count * mel.hop_length :]
        return self._front_end.from_linear(magnitude)

    def _frames(self, count: int) -> Float[Tensor, "1 mels frames"]:
        return self._kept.new_zeros(1, self._front_end.config.n_mels, count)
