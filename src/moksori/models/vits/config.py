"""Settings of VITS: the paper's own values are the defaults; each departure is a switch beside them."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from moksori.audio.mel import MelConfig
from moksori.config import Config
from moksori.models.decoders.config import DecoderConfig, DiscriminatorConfig, HifiganConfig, check_decoder
from moksori.text.tokenizer import TextConfig


class TextEncoderConfig(Config):
    """Transformer over tokens (paper section 2.5; specification 4.1)."""

    channels: int = Field(default=192, ge=1)
    hidden_channels: int = Field(default=768, ge=1)
    num_heads: int = Field(default=2, ge=1)
    num_layers: int = Field(default=6, ge=1)
    kernel_size: int = Field(default=3, ge=1)
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    window: int = Field(default=4, ge=0)
    """Reach of the relative positions, in tokens."""
    pre_norm: bool = False
    stress_embedding: bool = False
    """Adds an embedding of the stress 0, 1, 2 of each token, for tokens that carry no stress marks."""


class PosteriorConfig(Config):
    """WaveNet over the linear spectrogram (paper section 2.5)."""

    channels: int = Field(default=192, ge=1)
    kernel_size: int = Field(default=5, ge=1)
    num_layers: int = Field(default=16, ge=1)
    log_magnitude: bool = False
    """False: the raw magnitude, as in the paper. True: its logarithm, standardised per bin, which learns faster."""


class FlowConfig(Config):
    """Mean-only coupling flow of the prior."""

    channels: int = Field(default=192, ge=1)
    kernel_size: int = Field(default=5, ge=1)
    num_layers: int = Field(default=4, ge=1)
    num_couplings: int = Field(default=4, ge=1)


class TokenPriorConfig(Config):
    """The paper's prior: one Gaussian per token, repeated over its frames."""

    kind: Literal["token"] = "token"


class FramePriorConfig(Config):
    """A prior per frame: the token's state with the frame's place in the token, through ConvNeXt blocks.

    Without it all frames of a token share one Gaussian and the flow alone must bend them apart, which takes long.
    """

    kind: Literal["frame"] = "frame"
    inner_channels: int = Field(default=384, ge=1)
    num_layers: int = Field(default=3, ge=1)


class DurationConfig(Config):
    """Which duration predictors there are and how they are used."""

    stochastic: bool = True
    deterministic: bool = False
    channels: int = Field(default=192, ge=1)
    """Of the stochastic predictor."""
    deterministic_channels: int = Field(default=256, ge=1)
    dropout: float = Field(default=0.5, ge=0.0, lt=1.0)
    mix: float = Field(default=1.0, ge=0.0, le=1.0)
    """Weight of the stochastic prediction where both exist: log w = mix * stochastic + (1 - mix) * deterministic."""
    rounding: Literal["ceil", "nearest"] = "ceil"
    """`ceil` is the paper's; `nearest` rounds the running sum, so that the total length keeps its expectation."""


PriorConfig = Annotated[TokenPriorConfig | FramePriorConfig, Field(discriminator="kind")]


class VitsConfig(Config):
    """The whole model; the defaults are the paper's LJ Speech model."""

    mel: MelConfig = MelConfig(f_max_hz=11025.0, epsilon=1e-6)
    """The mel of the reconstruction loss; its transform is also the posterior's input."""
    text: TextConfig = TextConfig(mode="characters", blanks=True, ends=False)
    num_symbols: int | None = Field(default=None, ge=1)
    """Size of the embedding table; None: as many as the text settings have symbols."""
    latent_channels: int = Field(default=192, ge=1)
    num_speakers: int = Field(default=1, ge=1)
    speaker_channels: int = Field(default=256, ge=1)
    text_encoder: TextEncoderConfig = TextEncoderConfig()
    posterior: PosteriorConfig = PosteriorConfig()
    flow: FlowConfig = FlowConfig()
    prior: PriorConfig = TokenPriorConfig()
    duration: DurationConfig = DurationConfig()
    decoder: DecoderConfig = HifiganConfig()
    weight_norm: bool = True
    clamp_log_std: bool = False
    """Holds log standard deviations in [-9, 4]: a guard for short, fast trainings; the paper has none."""
    variation: float = Field(default=0.667, ge=0.0, allow_inf_nan=False)
    """Default `--variation`: standard deviation of the prior's noise when speaking."""
    maximum_token_seconds: float = Field(default=2.0, gt=0.0, allow_inf_nan=False)
    """No token lasts longer than this: one bad sample must not allocate gigabytes."""

    @model_validator(mode="after")
    def _fits_together(self) -> "VitsConfig":
        check_decoder(self.decoder, self.mel.hop_length)
        if not (self.duration.stochastic or self.duration.deterministic):
            raise ValueError("duration.stochastic and duration.deterministic are both off: one is needed to speak")
        return self

    @property
    def condition_channels(self) -> int:
        """Width of the speaker vector that conditions the modules; 0 for one speaker."""
        return self.speaker_channels if self.num_speakers > 1 else 0


_LOSSES = ("mel", "stft", "kl", "duration", "pitch", "voicing", "adversarial", "feature_matching")


class VitsObjectiveConfig(Config):
    """How VITS is trained; the defaults are the paper's."""

    alignment: Literal["search", "given"] = "search"
    """`search`: monotonic alignment search in every step. `given`: durations of the aligner."""
    search_noise: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    """Noise added to the search's scores, relative to their spread (VITS2); falls by 2e-6 a step."""
    window_frames: int | None = Field(default=None, ge=1)
    """With given durations: posterior, flow and prior see random windows of this length; None: whole utterances."""
    window_edge_frames: int = Field(default=8, ge=0)
    """Frames next to a cut that no loss counts, since their context is missing."""
    slice_frames: int = Field(default=32, ge=1)
    """What the decoder renders in training."""
    slice_margin_frames: int = Field(default=0, ge=0)
    """Frames rendered and thrown away on each side of a slice, so that losses see no edges."""
    trained_parts: tuple[str, ...] = ()
    """Names of the model's parts to train, the others are frozen; empty: all."""
    loss_weights: Mapping[str, Annotated[float, Field(ge=0.0, allow_inf_nan=False)]] = {
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
    energy_repulsion: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    """1 turns the spectral losses of a decoder with its own noise into the generalised energy distance."""
    discriminators: DiscriminatorConfig = DiscriminatorConfig()
    match_spread: float = Field(default=0.0, ge=0.0, le=1.0)
    """How far a homomorphic decoder's filters are scaled, before they are exported, to the spread that recordings have:
    0 not at all, 1 all the way."""
    adversarial_start: int | None = Field(default=0, ge=0)
    """First step with the discriminators; None: never."""
    head_start_steps: int = Field(default=0, ge=0)
    """Steps in which the discriminators learn alone, before the decoder hears them."""

    @model_validator(mode="after")
    def _knows_its_losses(self) -> "VitsObjectiveConfig":
        unknown = sorted(set(self.loss_weights) - set(_LOSSES))
        if unknown:
            raise ValueError(f"unknown loss {unknown[0]!r}: known here: {', '.join(_LOSSES)}")
        return self

    @model_validator(mode="after")
    def _counts_something(self) -> "VitsObjectiveConfig":
        least = 2 * self.window_edge_frames + 1
        if self.window_frames is not None and self.window_frames < least:
            raise ValueError(
                f"window_frames {self.window_frames} leaves nothing to learn from between two edges of "
                f"window_edge_frames {self.window_edge_frames}: expected {least} or more"
            )
        return self

    def loss_weights_for(self, terms: Mapping[str, object]) -> Mapping[str, float]:
        """The weights of the terms that a step has computed."""
        return {name: weight for name, weight in self.loss_weights.items() if name in terms}
