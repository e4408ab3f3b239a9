"""Settings of the decoders, frames to waveform, and of the discriminators that judge them."""

import math
from typing import Annotated, Literal

from pydantic import Field

from moksori.config import Config

_Count = Annotated[int, Field(ge=1)]
"""Of channels, layers, samples: none is no decoder."""


class HifiganConfig(Config):
    """The paper's decoder, HiFi-GAN V1 (Kong et al. 2020)."""

    kind: Literal["hifigan"] = "hifigan"
    channels: int = Field(default=512, ge=1)
    rates: tuple[_Count, ...] = (8, 8, 2, 2)
    kernel_sizes: tuple[_Count, ...] = (16, 16, 4, 4)
    residual_kernel_sizes: tuple[_Count, ...] = (3, 7, 11)
    residual_dilations: tuple[tuple[_Count, ...], ...] = ((1, 3, 5), (1, 3, 5), (1, 3, 5))
    residual_kind: Literal[1, 2] = 1
    """1: two convolutions a step (HiFi-GAN V1); 2: one (V3, Piper's low and medium)."""


class IstftConfig(Config):
    """ConvNeXt blocks at frame rate and an inverse STFT (Siuzdak 2023, "Vocos")."""

    kind: Literal["istft"] = "istft"
    channels: int = Field(default=256, ge=1)
    inner_channels: int = Field(default=768, ge=1)
    num_layers: int = Field(default=8, ge=1)


class HomomorphicConfig(Config):
    """Pulse train and noise, each through a filter given by its cepstrum (Liu et al. 2020)."""

    kind: Literal["homomorphic"] = "homomorphic"
    channels: int = Field(default=256, ge=1)
    inner_channels: int = Field(default=768, ge=1)
    num_layers: int = Field(default=8, ge=1)
    rate: int = Field(default=2, ge=1)
    """Filters per latent frame."""
    n_fft: int = Field(default=512, ge=1)
    """Of the filters: half the blur in time of the latents' own transform."""
    fine_channels: int = Field(default=128, ge=1)
    fine_inner_channels: int = Field(default=384, ge=1)
    fine_layers: int = Field(default=2, ge=1)
    """Width, inner width and number of the blocks at the filters' rate."""
    pulse_quefrencies: int = Field(default=128, ge=1)
    noise_quefrencies: int = Field(default=64, ge=1)
    """Cepstral coefficients of each filter: how much detail over frequency it can have."""
    pitch_channels: int = Field(default=96, ge=1)
    pitch_layers: int = Field(default=3, ge=1)


class RefinedConfig(Config):
    """Magnitudes from the mel's pseudo-inverse and a network, phases refined inside (models.decoders.refined)."""

    kind: Literal["refined"] = "refined"
    channels: int = Field(default=256, ge=1)
    inner_channels: int = Field(default=768, ge=1)
    num_layers: int = Field(default=8, ge=1)
    refinements: int = Field(default=16, ge=0)
    """Griffin-Lim steps."""
    momentum: float = Field(default=0.99, ge=0.0)
    """Of the fast Griffin-Lim algorithm; 0 = the plain one."""
    damping: float = Field(default=0.0, ge=0.0)
    """Keeps a step from blowing up bins on which overlapping frames do not agree, whose phases are next to chance; 0 =
    as the papers have it (`refined.RefinedDecoder.render`)."""


class SourcedConfig(Config):
    """Those magnitudes, with phases of pulses and noise, refined a little (models.decoders.sourced)."""

    kind: Literal["sourced"] = "sourced"
    channels: int = Field(default=256, ge=1)
    inner_channels: int = Field(default=768, ge=1)
    num_layers: int = Field(default=8, ge=1)
    refinements: int = Field(default=2, ge=0)
    momentum: float = Field(default=0.0, ge=0.0)
    """As a `refined` decoder's. Phases that are nearly right already are led away from by fast steps: copies of
    recordings sound better at any number of plain ones (docs/families/vocoder.md)."""
    damping: float = Field(default=0.0, ge=0.0)
    """As a `refined` decoder's."""
    envelope_quefrencies: int = Field(default=40, ge=1)
    """Cepstral coefficients of the magnitudes, of which the phases of the vocal tract are made."""
    pitch_channels: int = Field(default=96, ge=1)
    pitch_layers: int = Field(default=3, ge=1)


DecoderConfig = Annotated[HifiganConfig | IstftConfig | HomomorphicConfig, Field(discriminator="kind")]


def check_decoder(decoder: HifiganConfig | IstftConfig | HomomorphicConfig, hop_length: int) -> None:
    """Raises ValueError where a decoder's numbers do not fit frames of `hop_length` samples."""
    if isinstance(decoder, HifiganConfig):
        product = math.prod(decoder.rates)
        if product != hop_length:
            raise ValueError(f"decoder.rates {decoder.rates} multiply to {product}, but mel.hop_length is {hop_length}")
    if isinstance(decoder, HomomorphicConfig):
        if decoder.rate < 1 or hop_length % decoder.rate:
            raise ValueError(f"decoder.rate {decoder.rate} does not divide mel.hop_length {hop_length}")
        fine_hop, most = hop_length // decoder.rate, decoder.n_fft // 2
        if decoder.n_fft < 2 * fine_hop or decoder.n_fft % 2:
            raise ValueError(f"decoder.n_fft {decoder.n_fft} must be even and at least two hops of {fine_hop}")
        counts = (decoder.pulse_quefrencies, decoder.noise_quefrencies)
        if not all(0 < count <= most for count in counts):
            raise ValueError(f"decoder quefrencies {counts[0]} and {counts[1]} must lie in 1 to n_fft / 2 = {most}")


class DiscriminatorConfig(Config):
    """The paper's six: one scale and five periods (specification 4.9); spectrogram ones are an addition."""

    scale: bool = True
    """VITS's scale discriminator."""
    averaged_scales: int = Field(default=0, ge=0, le=3)
    """How many of HiFi-GAN's scale discriminators: on the waveform, and averaged down once, twice."""
    periods: tuple[_Count, ...] = (2, 3, 5, 7, 11)
    period_channels: tuple[_Count, ...] = (32, 128, 512, 1024, 1024)
    period_conv1d: bool = False
    """The same period discriminator with the period in the batch: faster on a CPU."""
    spectrogram_resolutions: tuple[tuple[_Count, _Count], ...] = ()
    """(n_fft, hop_length) of each spectrogram discriminator."""
    spectrogram_channels: int = Field(default=16, ge=1)
    complex_resolutions: tuple[tuple[_Count, _Count], ...] = ()
    """(n_fft, hop_length) of each discriminator of complex spectra (SoundStream's, EnCodec's)."""
    complex_channels: int = Field(default=32, ge=1)
    input_scale: float = Field(default=1.0, gt=0.0, allow_inf_nan=False)
    """Multiplies waveforms first: quiet recordings leave the discriminators at chance for hundreds of steps."""
