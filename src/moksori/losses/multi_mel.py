"""The distance of mels at many resolutions that neural codecs are trained by.

Kumar et al. 2023 ("High-fidelity audio compression with improved RVQGAN", DAC): the mean absolute difference of the
base-10 logarithms of mel magnitudes, added up over window lengths, each with its own number of bands; hop = window / 4.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from moksori.audio.mel import MelConfig, mel_filterbank

WINDOWS = (32, 64, 128, 256, 512, 1024, 2048)
BANDS = (5, 10, 20, 40, 80, 160, 320)
FLOOR = 1e-5


class MultiMelDistance(nn.Module):
    """Distance of waveforms `[batch, samples]` at `sample_rate` Hz; 0 where they are equal.

    Raises ValueError where windows and bands are not as many.
    """

    def __init__(self, sample_rate: int, windows: Sequence[int] = WINDOWS, bands: Sequence[int] = BANDS) -> None:
        super().__init__()
        if len(windows) != len(bands):
            raise ValueError(f"{len(windows)} windows and {len(bands)} numbers of bands: give one each")
        self.windows = tuple(windows)
        for index, (window, count) in enumerate(zip(windows, bands, strict=True)):
            config = MelConfig(
                sample_rate=sample_rate, n_fft=window, hop_length=window // 4, window_length=window, n_mels=count,
                f_max_hz=sample_rate / 2,
            )  # fmt: skip
            self.register_buffer(f"filters_{index}", mel_filterbank(config), persistent=False)
            self.register_buffer(f"window_{index}", torch.hann_window(window), persistent=False)

    def forward(self, generated: Float[Tensor, "batch samples"], real: Float[Tensor, "batch samples"]) -> Tensor:
        """Computed in float32, inside autocast too."""
        with torch.autocast(real.device.type, enabled=False):
            generated, real = generated.float(), real.float()
            distances = [
                (self._log_mel(index, generated) - self._log_mel(index, real)).abs().mean()
                for index in range(len(self.windows))
            ]
        return torch.stack(distances).sum()

    def _log_mel(self, index: int, waveform: Tensor) -> Tensor:
        length, window = self.windows[index], getattr(self, f"window_{index}")
        spectrum = torch.stft(
            waveform, length, length // 4, window=window, center=True, pad_mode="constant", return_complex=True
        )
        power = torch.view_as_real(spectrum).square().sum(dim=-1)
        mel = torch.matmul(getattr(self, f"filters_{index}"), (power + 1e-9).sqrt())
        return mel.clamp(min=FLOOR).log() / math.log(10.0)
