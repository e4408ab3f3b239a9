"""Settings of WaveNet: as a vocoder, or of sound that nothing conditions."""

from collections.abc import Mapping
from math import prod
from typing import Annotated, Literal

from pydantic import Field, model_validator

from moksori.audio.mel import MEL_16KHZ, MelConfig
from moksori.config import Config
from moksori.nn.wavenet_network import cycled_dilations


class MuLawConfig(Config):
    """Samples as codes, finer where it is quiet; the network says how probable each is."""

    kind: Literal["mu_law"] = "mu_law"
    levels: int = Field(default=256, ge=4, le=65536)
    """Codes: 256 are 8 bits; 512 and 1024 hiss less and cost more."""
    one_hot: bool = True
    """The network looks codes up in a table; false: it is given one number a sample, code / (levels - 1) - 0.5."""


class LogisticsConfig(Config):
    """Samples of 16 bits as they are; the network gives a mixture of logistic distributions."""

    kind: Literal["logistics"] = "logistics"
    mixtures: int = Field(default=10, ge=1)
    """Components, of three parameters each."""


CodingConfig = Annotated[MuLawConfig | LogisticsConfig, Field(discriminator="kind")]


class NetworkConfig(Config):
    """The network itself; the defaults are the published mel vocoder's."""

    residual_channels: int = Field(default=128, ge=1)
    """R: of the path through the layers; each gate has twice as many."""
    skip_channels: int = Field(default=128, ge=1)
    """S: of what the layers hand to the head."""
    kernel_size: int = Field(default=3, ge=2)
    """Taps of each layer."""
    first_kernel_size: int = Field(default=1, ge=1)
    """Taps of the first convolution."""
    layers: int = Field(default=6, ge=1, le=20)
    """In each cycle, with dilations 1, 2, 4 ..."""
    cycles: int = Field(default=4, ge=1)
    residual_scale: float = Field(default=1.0, gt=0.0, le=1.0)
    """Factor on the sum of a layer and what goes around it; 0.7071 keeps its variance."""
    head_condition: bool = False
    """The condition is added in the head too, as in NSynth."""
    weight_norm: bool = False
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)

    @property
    def dilations(self) -> tuple[int, ...]:
        """Of every layer in turn."""
        return cycled_dilations(self.layers, self.cycles)

    @property
    def receptive_field(self) -> int:
        """Samples that what is said of the next one depends on."""
        return self.first_kernel_size + (self.kernel_size - 1) * sum(self.dilations)


class ConditionConfig(Config):
    """What becomes of mel frames before they steer the layers."""

    channels: int = Field(default=80, ge=1)
    """Of the condition."""
    kernel_size: int = Field(default=5, ge=1)
    """Frames that a layer sees; odd."""
    num_layers: int = Field(default=1, ge=0)
    """Convolutions over frames, ReLU between them; 0: the mels as they are, and `channels` is their number."""
    rates: tuple[int, ...] = (4, 4, 4, 4)
    """Transposed convolutions, one for each, that make so many steps of one, at first by drawing straight lines; what
    is left to a sample's rate is repetition. Empty: frames are repeated, which with small networks can be heard."""

    @property
    def steps(self) -> int:
        """Of the condition for each frame."""
        return prod(self.rates)

    @model_validator(mode="after")
    def _check(self) -> "ConditionConfig":
        if self.kernel_size % 2 == 0:
            raise ValueError(f"kernel_size {self.kernel_size} is even: a centred convolution needs an odd one")
        if any(rate < 2 or rate % 2 for rate in self.rates):
            raise ValueError(f"rates {self.rates}: each must be even")
        return self


class WavenetConfig(Config):
    """The whole model; the defaults are the published mel vocoder's, at 16 kHz."""

    sample_rate: int = Field(default=16000, gt=0)
    """Of the sound, in Hz."""
    mel: MelConfig | None = MEL_16KHZ
    """What it turns into sound; null: nothing, it draws sound freely."""
    coding: CodingConfig = LogisticsConfig()
    network: NetworkConfig = NetworkConfig()
    condition: ConditionConfig = ConditionConfig()
    standardize: bool = False
    """Brings each mel band to mean 0 and deviation 1 of the training data first."""
    pre_emphasis: float = Field(default=0.0, ge=0.0, lt=1.0)
    """x_t - a x_(t-1) is what is learnt, and undone in what is drawn: the hiss of 8 bits is then fainter where it is
    heard best. 0 = none, 0.97 is usual."""
    temperature: float = Field(default=1.0, ge=0.0, le=2.0)
    """Of what is drawn: below 1 the likelier becomes likelier still, 0 takes the likeliest."""
    quiet_temperature: float | None = Field(default=None, ge=0.0, le=2.0)
    """The same in quiet frames, whose hiss is heard most; null: none differ."""
    quiet_level: float = -9.0
    """A frame is quiet where its mean log-mel lies below this."""

    @model_validator(mode="after")
    def _fits_together(self) -> "WavenetConfig":
        if self.mel is None:
            if self.standardize or self.network.head_condition or self.quiet_temperature is not None:
                raise ValueError("mel null: leave out standardize, network.head_condition and quiet_temperature")
            return self
        if self.mel.sample_rate != self.sample_rate:
            raise ValueError(f"sample_rate {self.sample_rate} and mel.sample_rate {self.mel.sample_rate} differ")
        if self.mel.hop_length % self.condition.steps:
            raise ValueError(
                f"mel.hop_length {self.mel.hop_length} is no multiple of the product of condition.rates, "
                f"{self.condition.steps}"
            )
        if not self.condition.num_layers and self.condition.channels != self.mel.n_mels:
            raise ValueError(
                f"condition.num_layers 0 leaves the mels as they are: condition.channels {self.condition.channels} "
                f"must be mel.n_mels {self.mel.n_mels}"
            )
        return self


class WavenetObjectiveConfig(Config):
    """How WaveNet is trained: on crops, every sample of them at once, given the true ones before it."""

    crop_frames: int = Field(default=32, ge=1)
    """Of each recording, at a random place; a frame is a hop of the mel's, without mels 256 samples."""
    context_frames: int = Field(default=0, ge=0)
    """Heard before the crop and not scored: then no sample of it lacks the past that it has in the recording."""
    picture_seconds: float = Field(default=0.5, gt=0.0)
    """Of sound that is drawn freely for the pictures of a run: the only ones that tell how it sounds."""
    loss_weights: Mapping[str, float] = {"nats": 1.0}

    @model_validator(mode="after")
    def _knows_its_losses(self) -> "WavenetObjectiveConfig":
        if set(self.loss_weights) != {"nats"}:
            raise ValueError(f"loss_weights {dict(self.loss_weights)}: the one loss here is nats")
        return self
