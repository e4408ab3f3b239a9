"""Settings of VITS: the paper's own values are the defaults; each departure is a switch beside them."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from moksori.audio.mel import MelConfig
from moksori.config import Config
from moksori.text.tokenizer import TextConfig


class TextEncoderConfig(Config):
    """Transformer over tokens (paper section 2.5; specification 4.1)."""

    channels: int = 192
    hidden_channels: int = 768
    num_heads: int = 2
    num_layers: int = 6
    kernel_size: int = 3
    dropout: float = 0.1
    window: int = 4
    """Reach of the relative positions, in tokens."""
    pre_norm: bool = False
    stress_embedding: bool = False
    """Adds an embedding of the stress 0, 1, 2 of each token, for tokens that carry no stress marks."""


class PosteriorConfig(Config):
    """WaveNet over the linear spectrogram (paper section 2.5)."""

    channels: int = 192
    kernel_size: int = 5
    num_layers: int = 16
    log_magnitude: bool = False
    """False: the raw magnitude, as in the paper. True: its logarithm, standardised per bin, which learns faster."""


class FlowConfig(Config):
    """Mean-only coupling flow of the prior."""

    channels: int = 192
    kernel_size: int = 5
    num_layers: int = 4
    num_couplings: int = 4


class TokenPriorConfig(Config):
    """The paper's prior: one Gaussian per token, repeated over its frames."""

    kind: Literal["token"] = "token"


class FramePriorConfig(Config):
    """A prior per frame: the token's state with the frame's place in the token, through ConvNeXt blocks.

    Without it all frames of a token share one Gaussian and the flow alone must bend them apart, which takes long.
    """

    kind: Literal["frame"] = "frame"
    inner_channels: int = 384
    num_layers: int = 3


class DurationConfig(Config):
    """Which duration predictors there are and how they are used."""

    stochastic: bool = True
    deterministic: bool = False
    channels: int = 192
    """Of the stochastic predictor."""
    deterministic_channels: int = 256
    dropout: float = 0.5
    mix: float = Field(default=1.0, ge=0.0, le=1.0)
    """Weight of the stochastic prediction where both exist: log w = mix * stochastic + (1 - mix) * deterministic."""
    rounding: Literal["ceil", "nearest"] = "ceil"
    """`ceil` is the paper's; `nearest` rounds the running sum, so that the total length keeps its expectation."""


class HifiganConfig(Config):
    """The paper's decoder, HiFi-GAN V1 (Kong et al. 2020)."""

    kind: Literal["hifigan"] = "hifigan"
    channels: int = 512
    rates: tuple[int, ...] = (8, 8, 2, 2)
    kernel_sizes: tuple[int, ...] = (16, 16, 4, 4)
    residual_kernel_sizes: tuple[int, ...] = (3, 7, 11)
    residual_dilations: tuple[tuple[int, ...], ...] = ((1, 3, 5), (1, 3, 5), (1, 3, 5))
    residual_kind: Literal[1, 2] = 1
    """1: two convolutions a step (HiFi-GAN V1); 2: one (V3, Piper's low and medium)."""


class IstftConfig(Config):
    """ConvNeXt blocks at frame rate and an inverse STFT (Siuzdak 2023, "Vocos")."""

    kind: Literal["istft"] = "istft"
    channels: int = 256
    inner_channels: int = 768
    num_layers: int = 8


class HomomorphicConfig(Config):
    """Pulse train and noise, each through a filter given by its cepstrum (Liu et al. 2020)."""

    kind: Literal["homomorphic"] = "homomorphic"
    channels: int = 256
    inner_channels: int = 768
    num_layers: int = 8
    rate: int = 2
    """Filters per latent frame."""
    n_fft: int = 512
    """Of the filters: half the blur in time of the latents' own transform."""
    fine_channels: int = 128
    fine_inner_channels: int = 384
    fine_layers: int = 2
    """Width, inner width and number of the blocks at the filters' rate."""
    pulse_quefrencies: int = 128
    noise_quefrencies: int = 64
    """Cepstral coefficients of each filter: how much detail over frequency it can have."""
    pitch_channels: int = 96
    pitch_layers: int = 3


DecoderConfig = Annotated[HifiganConfig | IstftConfig | HomomorphicConfig, Field(discriminator="kind")]
PriorConfig = Annotated[TokenPriorConfig | FramePriorConfig, Field(discriminator="kind")]


class VitsConfig(Config):
    """The whole model; the defaults are the paper's LJ Speech model."""

    mel: MelConfig = MelConfig(f_max_hz=11025.0, epsilon=1e-6)
    """The mel of the reconstruction loss; its transform is also the posterior's input."""
    text: TextConfig = TextConfig(mode="characters", blanks=True, ends=False)
    num_symbols: int | None = None
    """Size of the embedding table; None: as many as the text settings have symbols."""
    latent_channels: int = 192
    num_speakers: int = 1
    speaker_channels: int = 256
    text_encoder: TextEncoderConfig = TextEncoderConfig()
    posterior: PosteriorConfig = PosteriorConfig()
    flow: FlowConfig = FlowConfig()
    prior: PriorConfig = TokenPriorConfig()
    duration: DurationConfig = DurationConfig()
    decoder: DecoderConfig = HifiganConfig()
    weight_norm: bool = True
    clamp_log_std: bool = False
    """Holds log standard deviations in [-9, 4]: a guard for short, fast trainings; the paper has none."""
    variation: float = 0.667
    """Default `--variation`: standard deviation of the prior's noise when speaking."""
    maximum_token_seconds: float = 2.0
    """No token lasts longer than this: one bad sample must not allocate gigabytes."""

    @model_validator(mode="after")
    def _decoder_fits_hop(self) -> "VitsConfig":
        if isinstance(self.decoder, HifiganConfig):
            product = 1
            for rate in self.decoder.rates:
                product *= rate
            if product != self.mel.hop_length:
                raise ValueError(
                    f"decoder.rates {self.decoder.rates} multiply to {product}, "
                    f"but mel.hop_length is {self.mel.hop_length}"
                )
        if not (self.duration.stochastic or self.duration.deterministic):
            raise ValueError("duration.stochastic and duration.deterministic are both off: one is needed to speak")
        return self

    @model_validator(mode="after")
    def _filters_fit(self) -> "VitsConfig":
        decoder, hop = self.decoder, self.mel.hop_length
        if not isinstance(decoder, HomomorphicConfig):
            return self
        if decoder.rate < 1 or hop % decoder.rate:
            raise ValueError(f"decoder.rate {decoder.rate} does not divide mel.hop_length {hop}")
        fine_hop, most = hop // decoder.rate, decoder.n_fft // 2
        if decoder.n_fft < 2 * fine_hop or decoder.n_fft % 2:
            raise ValueError(f"decoder.n_fft {decoder.n_fft} must be even and at least two hops of {fine_hop}")
        counts = (decoder.pulse_quefrencies, decoder.noise_quefrencies)
        if not all(0 < count <= most for count in counts):
            raise ValueError(f"decoder quefrencies {counts[0]} and {counts[1]} must lie in 1 to n_fft / 2 = {most}")
        return self

    @property
    def condition_channels(self) -> int:
        """Width of the speaker vector that conditions the modules; 0 for one speaker."""
        return self.speaker_channels if self.num_speakers > 1 else 0


class DiscriminatorConfig(Config):
    """The paper's six: one scale and five periods (specification 4.9); spectrogram ones are an addition."""

    scale: bool = True
    periods: tuple[int, ...] = (2, 3, 5, 7, 11)
    period_channels: tuple[int, ...] = (32, 128, 512, 1024, 1024)
    period_conv1d: bool = False
    """The same period discriminator with the period in the batch: faster on a CPU."""
    spectrogram_resolutions: tuple[tuple[int, int], ...] = ()
    """(n_fft, hop_length) of each spectrogram discriminator."""
    spectrogram_channels: int = 16
    input_scale: float = 1.0
    """Multiplies waveforms first: quiet recordings leave the discriminators at chance for hundreds of steps."""


_LOSSES = ("mel", "stft", "kl", "duration", "pitch", "voicing", "adversarial", "feature_matching")


class VitsObjectiveConfig(Config):
    """How VITS is trained; the defaults are the paper's."""

    alignment: Literal["search", "given"] = "search"
    """`search`: monotonic alignment search in every step. `given`: durations of the aligner."""
    search_noise: float = 0.0
    """Noise added to the search's scores, relative to their spread (VITS2); falls by 2e-6 a step."""
    window_frames: int | None = None
    """With given durations: posterior, flow and prior see random windows of this length; None: whole utterances."""
    window_edge_frames: int = 8
    """Frames next to a cut that no loss counts, since their context is missing."""
    slice_frames: int = 32
    """What the decoder renders in training."""
    slice_margin_frames: int = 0
    """Frames rendered and thrown away on each side of a slice, so that losses see no edges."""
    trained_parts: tuple[str, ...] = ()
    """Names of the model's parts to train, the others are frozen; empty: all."""
    loss_weights: Mapping[str, float] = {
        "mel": 45.0,
        "kl": 1.0,
        "duration": 1.0,
        "adversarial": 1.0,
        "feature_matching": 1.0,
    }
    """`stft`, `pitch`, `voicing` may be added."""
    posterior_temperature: float = Field(default=1.0, ge=0.0, le=1.0)
    """Of the posterior's noise in the decoder's latents. Speech is made with little noise in the prior, and a decoder
    that goes on alone may learn on latents as clean. Where the posterior learns it must be 1: so the KL supposes."""
    energy_repulsion: float = 0.0
    """1 turns the spectral losses of a decoder with its own noise into the generalised energy distance."""
    discriminators: DiscriminatorConfig = DiscriminatorConfig()
    match_spread: float = Field(default=0.0, ge=0.0, le=1.0)
    """How far a homomorphic decoder's filters are scaled, before they are exported, to the spread that recordings have:
    0 not at all, 1 all the way."""
    adversarial_start: int | None = 0
    """First step with the discriminators; None: never."""
    head_start_steps: int = 0
    """Steps in which the discriminators learn alone, before the decoder hears them."""

    @model_validator(mode="after")
    def _knows_its_losses(self) -> "VitsObjectiveConfig":
        unknown = sorted(set(self.loss_weights) - set(_LOSSES))
        if unknown:
            raise ValueError(f"unknown loss {unknown[0]!r}: known here: {', '.join(_LOSSES)}")
        return self

    def loss_weights_for(self, terms: Mapping[str, object]) -> Mapping[str, float]:
        """The weights of the terms that a step has computed."""
        return {name: weight for name, weight in self.loss_weights.items() if name in terms}
