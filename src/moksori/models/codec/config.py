"""Settings of codecs; the defaults are those of the faithful `codec/16khz`."""

import math
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from moksori.audio.mel import MEL_16KHZ_200, MelConfig
from moksori.config import Config
from moksori.models.decoders.config import DiscriminatorConfig, IstftConfig, RefinedConfig, SourcedConfig


class SeanetConfig(Config):
    """Strided convolutions of the samples (nn.seanet), on either side."""

    kind: Literal["seanet"] = "seanet"
    channels: int = Field(default=64, ge=2, multiple_of=2)
    """Of the layer next to the waveform; each stride doubles them. 64 gives the 27 M of the paper."""
    strides: tuple[int, ...] = (2, 4, 5, 5)
    """From the waveform on; their product is the hop. Not printed: those of the same team's FACodec."""
    residual_layers: int = Field(default=3, ge=0)
    """Residual units for each stride."""
    dilation_base: int = Field(default=2, ge=1)
    """Of residual unit j, to the power j."""
    kernel_size: int = Field(default=7, ge=1)
    last_kernel_size: int = Field(default=7, ge=1)
    causal: bool = False
    """No step depends on what follows, for streaming."""


class MelEncoderConfig(Config):
    """Log-mels through ConvNeXt blocks (Liu et al. 2022), at frame rate throughout."""

    kind: Literal["mel"] = "mel"
    channels: int = Field(default=256, ge=1)
    inner_channels: int = Field(default=768, ge=1)
    num_layers: int = Field(default=4, ge=1)


class RestoredConfig(Config):
    """Latents to log-mels, and these to sound by the decoder that the house's vocoders have."""

    kind: Literal["restored"] = "restored"
    mel: MelEncoderConfig = MelEncoderConfig()
    """The blocks from latents to mels."""
    sound: Annotated[RefinedConfig | SourcedConfig, Field(discriminator="kind")] = RefinedConfig()
    """From mels to sound. Weights of a vocoder of the same size fit: `moksori train codec/compact --from VOCODER`."""


EncoderConfig = Annotated[SeanetConfig | MelEncoderConfig, Field(discriminator="kind")]
CodecDecoderConfig = Annotated[SeanetConfig | IstftConfig | RestoredConfig, Field(discriminator="kind")]


class QuantizerConfig(Config):
    """The residual codebooks (nn.residual_quantize)."""

    stages: int = Field(default=16, ge=1, le=64)
    size: int = Field(default=1024, ge=2, le=65536)
    """Entries of each codebook: 1,024 are 10 bits a stage and frame."""
    decay: float = Field(default=0.99, gt=0.0, lt=1.0)
    """Of the moving average that codes are."""
    dropout: float = Field(default=0.5, ge=0.0, le=1.0)
    """Share of the items of which only the first stages are used, in training."""
    restart_below: float = Field(default=0.05, ge=0.0, lt=1.0)
    """Of an even share: a code that has less moves to a residual of the batch."""
    restart_after: int = Field(default=20, ge=0)
    """Steps in a row with less; 0: codes stay."""


class CodecConfig(Config):
    """The whole model; the defaults are the paper's codec at 16 kHz."""

    mel: MelConfig = MEL_16KHZ_200
    """Its rate and hop are the codec's. An encoder of mels hears these, and validation compares them."""
    latent_channels: int = Field(default=256, ge=1)
    """Width of z, which diffusion models learn."""
    encoder: EncoderConfig = SeanetConfig()
    quantizer: QuantizerConfig = QuantizerConfig()
    decoder: CodecDecoderConfig = SeanetConfig()

    @model_validator(mode="after")
    def _fits_together(self) -> "CodecConfig":
        for name, part in (("encoder", self.encoder), ("decoder", self.decoder)):
            if isinstance(part, SeanetConfig) and math.prod(part.strides) != self.mel.hop_length:
                raise ValueError(
                    f"{name}.strides {part.strides} multiply to {math.prod(part.strides)}, but mel.hop_length is "
                    f"{self.mel.hop_length}"
                )
        return self


HEARD_LOSSES = ("waveform", "multi_mel", "mel", "stft", "adversarial", "feature_matching")
"""Those that depend on the waveform that comes back."""
LOSSES = (*HEARD_LOSSES, "restored", "magnitude", "pitch", "voicing", "commitment")


class CodecObjectiveConfig(Config):
    """How a codec is trained; the defaults are those of `codec/16khz`."""

    slice_frames: int = Field(default=64, ge=4)
    """Of each recording, at a random place: 0.8 s."""
    slice_margin_frames: int = Field(default=8, ge=0)
    """Frames heard and rendered on each side of a slice, and thrown away, so that losses see no edges."""
    gain_db: tuple[float, float] = (0.0, 0.0)
    """Range of the gain that each slice gets: users' recordings are louder and quieter than the corpus."""
    loss_weights: Mapping[str, float] = {
        "waveform": 0.1,
        "multi_mel": 15.0,
        "adversarial": 1.0,
        "feature_matching": 2.0,
        "commitment": 0.25,
    }
    """`restored` and `magnitude` belong to a decoder of kind `restored`, `pitch` and `voicing` to one whose `sound` is
    `sourced`; `mel` and `stft` may be added to any."""
    restored_steps: int = Field(default=0, ge=0)
    """First steps of a `restored` decoder, in which only latents and mels are learnt, and nothing is rendered."""
    magnitude_steps: int = Field(default=0, ge=0)
    """First steps in which its magnitudes are learnt too, and still nothing is rendered."""
    refinements: int | None = Field(default=None, ge=0)
    """Griffin-Lim steps of a `restored` decoder in training; None: as many as it has."""
    pitch_method: Literal["auto", "fast"] = "auto"
    """How the recordings' F0 is found for a decoder with a source (audio.f0)."""
    pitch_limits_hz: tuple[float, float] | None = None
    """Where it is looked for; None: where people speak. Those who sing go higher."""
    fixed_codes: bool = False
    """Encoder and codebooks stay as they are, and only what makes sound of latents learns: codes in files, and latents
    that other models have learnt, keep their meaning."""
    discriminators: DiscriminatorConfig = DiscriminatorConfig(
        scale=False, periods=(), complex_resolutions=((2048, 512), (1024, 256), (512, 128), (256, 64), (128, 32))
    )
    adversarial_loss: Literal["hinge", "least_squares"] = "hinge"
    adversarial_start: int | None = Field(default=0, ge=0)
    """First step with the discriminators; None: never."""
    head_start_steps: int = Field(default=0, ge=0)
    """Steps in which the discriminators learn alone, before the codec hears them."""
    balance: bool = False
    """The weights of what is heard are shares of the gradient at the waveform (losses.balance), whatever the losses'
    scales, as in EnCodec; commitment, `restored` and `magnitude` stay beside it."""
    judged_from: int = Field(default=300, ge=0)
    """First step from which a codebook that is not used is warned of."""

    @model_validator(mode="after")
    def _knows_its_losses(self) -> "CodecObjectiveConfig":
        unknown = sorted(set(self.loss_weights) - set(LOSSES))
        if unknown:
            raise ValueError(f"unknown loss {unknown[0]!r}: known here: {', '.join(LOSSES)}")
        low, high = self.gain_db
        if low > high:
            raise ValueError(f"gain_db {self.gain_db}: the lower gain comes first")
        return self

    def loss_weights_for(self, terms: Mapping[str, object]) -> Mapping[str, float]:
        """The weights of the terms that a step has computed."""
        return {name: weight for name, weight in self.loss_weights.items() if name in terms}
