"""The discriminator of complex short-time spectra that neural codecs are trained with, at one resolution.

Zeghidour et al. 2021 (SoundStream, section III.C); Défossez et al. 2022 (EnCodec, section 3.4, Fig. 2).
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from moksori.nn.conv import weight_normed
from moksori.nn.discriminators import DiscriminatorOutput
from moksori.nn.precision import at_least_float32, full_precision

SLOPE = 0.2
DILATIONS = (1, 2, 4)


class ComplexSpectrogramDiscriminator(nn.Module):
    """2-D convolutions over real and imaginary part as two channels: strided along frequency, dilated along time.

    channels: width of all layers. The spectrum is scaled so that white noise of unit variance has unit power.
    """

    window: Tensor

    def __init__(self, n_fft: int, hop_length: int, channels: int = 32) -> None:
        super().__init__()
        self.n_fft, self.hop_length = n_fft, hop_length
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        # Time by frequency: (3, 9) kernels see three frames and nine bins.
        layers = [nn.Conv2d(2, channels, (3, 9), padding=(1, 4))]
        layers += [
            nn.Conv2d(channels, channels, (3, 9), stride=(1, 2), dilation=(dilation, 1), padding=(dilation, 4))
            for dilation in DILATIONS
        ]
        layers.append(nn.Conv2d(channels, channels, (3, 3), padding=(1, 1)))
        self.layers = nn.ModuleList(weight_normed(layer) for layer in layers)
        self.output = weight_normed(nn.Conv2d(channels, 1, (3, 3), padding=(1, 1)))

    def spectrum(self, waveform: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch 2 frames bins"]:
        """What the layers see, in float32 also under autocast."""
        with full_precision(waveform.device.type):
            spectrum = torch.stft(
                at_least_float32(waveform), self.n_fft, self.hop_length, window=self.window,
                center=True, pad_mode="reflect", return_complex=True,
            )  # fmt: skip
            parts = torch.view_as_real(spectrum) / self.window.square().sum().sqrt()
        return parts.permute(0, 3, 2, 1)

    def forward(self, waveform: Float[Tensor, "batch samples"]) -> DiscriminatorOutput:
        x, features = self.spectrum(waveform), []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), SLOPE)
            features.append(x)
        scores = self.output(x)
        return DiscriminatorOutput(scores.flatten(1), tuple(features))
