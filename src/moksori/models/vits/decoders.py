"""The decoders p(x|z), chosen by configuration: the paper's HiFi-GAN, an inverse STFT, and a source-filter one.

All of them are called alike: latents, speaker vector, pitch (for those that take one), and how many renderings of
the same latents with independent noise are wanted.
"""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor, nn

from moksori.models.vits.config import HifiganConfig, IstftConfig, SourceFilterConfig, VitsConfig
from moksori.models.vits.pitch import Pitch, PitchPredictor
from moksori.nn.convnext import ConvNeXtStack
from moksori.nn.hifigan import HifiGanGenerator
from moksori.nn.istft import InverseStft
from moksori.nn.precision import full_precision
from moksori.nn.source_filter import Excitation


class Decoder(nn.Module, ABC):
    """Latents to waveform."""

    takes_pitch = False
    """Whether `pitch` matters, and is predicted by `pitch_predictor` where it is not given."""
    has_noise = False
    """Whether renderings of the same latents differ."""

    @abstractmethod
    def forward(
        self,
        z: Float[Tensor, "batch channels frames"],
        mask: Bool[Tensor, "batch 1 frames"] | None = None,
        condition: Float[Tensor, "batch condition 1"] | None = None,
        pitch: Pitch | None = None,
        renderings: int = 1,
        generator: Generator | None = None,
    ) -> Float[Tensor, "renderings batch samples"]:
        """Waveforms of frames * hop_length samples; zero latents are expected where the mask is False.

        Padding does not change an item's sound, but for the last n_fft / 2 samples or so of decoders with an inverse
        STFT, whose frames overlap. What lies beyond an item's end is for the caller to cut off.
        """


class HifiganDecoder(Decoder):
    """The paper's decoder."""

    def __init__(self, config: HifiganConfig, latent_channels: int, condition_channels: int) -> None:
        super().__init__()
        self.generator = HifiGanGenerator(
            latent_channels,
            config.channels,
            config.rates,
            config.kernel_sizes,
            config.residual_kernel_sizes,
            config.residual_dilations,
            block="double" if config.residual_kind == 1 else "single",
            condition_channels=condition_channels,
        )

    def forward(
        self,
        z: Tensor,
        mask: Tensor | None = None,
        condition: Tensor | None = None,
        pitch: Pitch | None = None,
        renderings: int = 1,
        generator: Generator | None = None,
    ) -> Float[Tensor, "renderings batch samples"]:
        return self.generator(z, condition, mask).float().expand(renderings, -1, -1)


class IstftDecoder(Decoder):
    """ConvNeXt blocks at frame rate; log magnitude and phase of every bin; inverse STFT. No upsampling at all."""

    def __init__(
        self, config: IstftConfig, latent_channels: int, condition_channels: int, n_fft: int, hop_length: int
    ) -> None:
        super().__init__()
        self.body = ConvNeXtStack(
            latent_channels,
            config.channels,
            config.inner_channels,
            config.num_layers,
            condition_channels=condition_channels,
        )
        self.head = nn.Linear(config.channels, n_fft + 2)
        self.istft = InverseStft(n_fft, hop_length)

    def forward(
        self,
        z: Tensor,
        mask: Tensor | None = None,
        condition: Tensor | None = None,
        pitch: Pitch | None = None,
        renderings: int = 1,
        generator: Generator | None = None,
    ) -> Float[Tensor, "renderings batch samples"]:
        hidden = self.body(z, mask, condition)
        with full_precision(z.device.type):
            log_magnitude, phase = self.head(hidden.float().transpose(1, 2)).transpose(1, 2).chunk(2, dim=1)
            waveform = self.istft(torch.polar(log_magnitude.exp().clamp(max=100.0), phase))
        return waveform.expand(renderings, -1, -1)


class SourceFilterDecoder(Decoder):
    """Filters a pulse train and white noise in the STFT domain: S = E exp(a_h + j phi) + N exp(a_n), per bin and frame.

    The harmonics are thus exact from the first step on, and the body only learns filters, as in
    Wang et al. 2019 ("Neural source-filter waveform models") and Engel et al. 2020 (DDSP).
    """

    takes_pitch = True
    has_noise = True

    def __init__(
        self,
        config: SourceFilterConfig,
        latent_channels: int,
        condition_channels: int,
        sample_rate: int,
        n_fft: int,
        hop_length: int,
    ) -> None:
        super().__init__()
        self.body = ConvNeXtStack(
            latent_channels + 2,
            config.channels,
            config.inner_channels,
            config.num_layers,
            condition_channels=condition_channels,
        )
        bins = n_fft // 2 + 1
        self.head = nn.Linear(config.channels, 3 * bins)
        nn.init.trunc_normal_(self.head.weight, std=0.02)
        with torch.no_grad():  # start quiet: speech lies 20 to 80 dB under a full-scale harmonic
            self.head.bias.copy_(torch.cat([torch.full((bins,), -4.0), torch.zeros(bins), torch.full((bins,), -5.0)]))
        self.excitation = Excitation(sample_rate, n_fft, hop_length)
        self.istft = InverseStft(n_fft, hop_length)
        self.pitch_predictor = PitchPredictor(
            latent_channels, config.pitch_channels, config.pitch_layers, condition_channels
        )

    def forward(
        self,
        z: Tensor,
        mask: Tensor | None = None,
        condition: Tensor | None = None,
        pitch: Pitch | None = None,
        renderings: int = 1,
        generator: Generator | None = None,
    ) -> Float[Tensor, "renderings batch samples"]:
        if pitch is None:
            pitch = self.pitch_predictor.predict(z, mask, condition)
        with full_precision(z.device.type):
            pulses = self.excitation.pulses(pitch.log_f0.exp(), pitch.voicing, generator)
            noises = [
                self.excitation.noise(z.shape[0], z.shape[2], z.device, generator) for _ in range(renderings)
            ]
        features = torch.stack([pitch.log_f0 - 5.3, pitch.voicing], dim=1).to(z.dtype)
        hidden = self.body(torch.cat([z, features], dim=1), mask, condition)
        with full_precision(z.device.type):
            harmonic, phase, noisy = self.head(hidden.float().transpose(1, 2)).transpose(1, 2).chunk(3, dim=1)
            voiced = pulses * torch.polar(harmonic.clamp(max=4.6).exp(), phase)
            gain = noisy.clamp(max=4.6).exp()
            return torch.stack([self.istft(voiced + noise * gain) for noise in noises])


def build_decoder(config: VitsConfig) -> Decoder:
    """The decoder that the configuration asks for."""
    latent, condition, mel = config.latent_channels, config.condition_channels, config.mel
    match config.decoder:
        case HifiganConfig():
            return HifiganDecoder(config.decoder, latent, condition)
        case IstftConfig():
            return IstftDecoder(config.decoder, latent, condition, mel.n_fft, mel.hop_length)
        case SourceFilterConfig():
            return SourceFilterDecoder(config.decoder, latent, condition, mel.sample_rate, mel.n_fft, mel.hop_length)
