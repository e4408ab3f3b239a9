"""Settings of the vocoders: HiFi-GAN's are the defaults."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from moksori.audio.mel import MEL_22KHZ, MelConfig
from moksori.config import Config
from moksori.models.decoders.config import (
    DiscriminatorConfig,
    HifiganConfig,
    HomomorphicConfig,
    IstftConfig,
    RefinedConfig,
    SourcedConfig,
    check_decoder,
)

VocoderDecoderConfig = Annotated[
    HifiganConfig | IstftConfig | HomomorphicConfig | RefinedConfig | SourcedConfig, Field(discriminator="kind")
]


class VocoderConfig(Config):
    """The whole model; the defaults are HiFi-GAN V1 at 22.05 kHz."""

    mel: MelConfig = MEL_22KHZ
    """What it turns into sound."""
    decoder: VocoderDecoderConfig = HifiganConfig()
    standardize: bool = False
    """Brings each mel band to mean 0 and deviation 1 of the training data first; the paper does not."""

    @model_validator(mode="after")
    def _fits_together(self) -> "VocoderConfig":
        if not isinstance(self.decoder, RefinedConfig | SourcedConfig):
            check_decoder(self.decoder, self.mel.hop_length)
        elif self.standardize:
            raise ValueError(f"decoder.kind {self.decoder.kind} reads magnitudes off the mel: leave standardize false")
        return self


_LOSSES = ("mel", "stft", "magnitude", "pitch", "voicing", "adversarial", "feature_matching")


class VocoderObjectiveConfig(Config):
    """How a vocoder is trained; the defaults are HiFi-GAN's."""

    slice_frames: int = Field(default=32, ge=4)
    """Of each recording, at a random place: 8,192 samples."""
    slice_margin_frames: int = Field(default=0, ge=0)
    """Frames rendered and thrown away on each side of a slice, so that losses see no edges."""
    loss_weights: Mapping[str, float] = {"mel": 45.0, "adversarial": 1.0, "feature_matching": 1.0}
    """`stft`, `magnitude`, `pitch`, `voicing` may be added: `magnitude` for a `refined` or `sourced` decoder, the last
    two for one with a source."""
    refinements: int | None = Field(default=None, ge=0)
    """Griffin-Lim steps of such a decoder in training; None: as many as it has. Fewer take less time."""
    magnitude_steps: int = Field(default=0, ge=0)
    """First steps, in which such a decoder learns its magnitudes, and its pitch if it has one, and nothing is rendered:
    a fifth of the work."""
    pitch_method: Literal["auto", "fast"] = "auto"
    """How the recordings' F0 is found for a decoder with a source (audio.f0)."""
    pitch_limits_hz: tuple[float, float] | None = None
    """Where it is looked for; None: where people speak. Those who sing go higher."""
    discriminators: DiscriminatorConfig = DiscriminatorConfig(scale=False, averaged_scales=3)
    adversarial_start: int | None = Field(default=0, ge=0)
    """First step with the discriminators; None: never."""
    head_start_steps: int = Field(default=0, ge=0)
    """Steps in which the discriminators learn alone, before the vocoder hears them."""
    blur: float = Field(default=0.0, ge=0.0, le=1.0)
    """Share of the recordings whose mels are smoothed over time and bands before they are vocoded: those that other
    models produce are smoother than recordings'."""

    mels_of: str = ""
    """Name or folder of a model whose mels of the recordings are vocoded, the recordings being the target: fine-tuning
    for the models that the vocoder is to serve."""
    mels_of_share: float = Field(default=0.5, ge=0.0, le=1.0)
    """Share of the recordings in a batch whose mels are that model's; the others' are their own."""

    @model_validator(mode="after")
    def _knows_its_losses(self) -> "VocoderObjectiveConfig":
        unknown = sorted(set(self.loss_weights) - set(_LOSSES))
        if unknown:
            raise ValueError(f"unknown loss {unknown[0]!r}: known here: {', '.join(_LOSSES)}")
        return self

    def loss_weights_for(self, terms: Mapping[str, object]) -> Mapping[str, float]:
        """The weights of the terms that a step has computed."""
        return {name: weight for name, weight in self.loss_weights.items() if name in terms}
