"""Settings of the vocoders: HiFi-GAN's are the defaults."""

from collections.abc import Mapping

from pydantic import Field, model_validator

from moksori.audio.mel import MEL_22KHZ, MelConfig
from moksori.config import Config
from moksori.models.decoders.config import DecoderConfig, DiscriminatorConfig, HifiganConfig, check_decoder


class VocoderConfig(Config):
    """The whole model; the defaults are HiFi-GAN V1 at 22.05 kHz."""

    mel: MelConfig = MEL_22KHZ
    """What it turns into sound."""
    decoder: DecoderConfig = HifiganConfig()
    standardize: bool = False
    """Brings each mel band to mean 0 and deviation 1 of the training data first; the paper does not."""

    @model_validator(mode="after")
    def _fits_together(self) -> "VocoderConfig":
        check_decoder(self.decoder, self.mel.hop_length)
        return self


_LOSSES = ("mel", "stft", "pitch", "voicing", "adversarial", "feature_matching")


class VocoderObjectiveConfig(Config):
    """How a vocoder is trained; the defaults are HiFi-GAN's."""

    slice_frames: int = Field(default=32, ge=4)
    """Of each recording, at a random place: 8,192 samples."""
    slice_margin_frames: int = Field(default=0, ge=0)
    """Frames rendered and thrown away on each side of a slice, so that losses see no edges."""
    loss_weights: Mapping[str, float] = {"mel": 45.0, "adversarial": 1.0, "feature_matching": 1.0}
    """`stft`, `pitch`, `voicing` may be added; the last two belong to a decoder with a source."""
    discriminators: DiscriminatorConfig = DiscriminatorConfig(scale=False, averaged_scales=3)
    adversarial_start: int | None = Field(default=0, ge=0)
    """First step with the discriminators; None: never."""
    head_start_steps: int = Field(default=0, ge=0)
    """Steps in which the discriminators learn alone, before the vocoder hears them."""
    blur: float = Field(default=0.0, ge=0.0, le=1.0)
    """Share of the recordings whose mels are smoothed over time and bands before they are vocoded: those that other
    models produce are smoother than recordings'."""

    @model_validator(mode="after")
    def _knows_its_losses(self) -> "VocoderObjectiveConfig":
        unknown = sorted(set(self.loss_weights) - set(_LOSSES))
        if unknown:
            raise ValueError(f"unknown loss {unknown[0]!r}: known here: {', '.join(_LOSSES)}")
        return self

    def loss_weights_for(self, terms: Mapping[str, object]) -> Mapping[str, float]:
        """The weights of the terms that a step has computed."""
        return {name: weight for name, weight in self.loss_weights.items() if name in terms}
