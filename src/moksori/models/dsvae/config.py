"""Settings of D-DSVAE: the papers' values are the defaults."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from moksori.audio.mel import MEL_16KHZ, MelConfig
from moksori.config import Config
from moksori.text.symbols import SYMBOLS

MEL_UNITS = ("kmeans_mel", "random_projection")
"""Units that the model finds in mels by itself; the others come with the batch."""


class SharedEncoderConfig(Config):
    """Convolutions that both posteriors read."""

    channels: int = 256
    num_layers: int = 3
    kernel_size: int = 5


class SpeakerPosteriorConfig(Config):
    """q(z_s | x)."""

    hidden_channels: int = 512
    """Of each direction."""
    num_layers: int = 2
    pooling: bool = True
    """Mean over time, which makes z_s one vector: this decides which latent is the speaker. False takes the last frame
    of each direction instead; it is there to be compared with."""


class ContentPosteriorConfig(Config):
    """q(z_c | x)."""

    kind: Literal["recurrent"] = "recurrent"
    hidden_channels: int = 512
    """Of each direction."""
    num_layers: int = 2
    recurrent_channels: int = 512
    """Of the one-directional network after them."""


class ConvolutionalContentConfig(Config):
    """q(z_c | x) of ConvNeXt blocks (models.dsvae.convolutional)."""

    kind: Literal["convolutional"] = "convolutional"
    channels: int = 192
    inner_channels: int = 576
    num_layers: int = 4


class ContentPriorConfig(Config):
    """p(z_c): an autoregressive LSTM."""

    hidden_channels: int = 256
    feed: Literal["own", "posterior"] = "own"
    """What step t is given of step t - 1: `own`, the prior's own sample, as in the paper, so that the prior does not
    depend on the recording; `posterior`, the posterior's sample, which is the exact sequential bound."""
    units: Literal["none", "kmeans_mel", "random_projection", "labels", "units"] = "none"
    """C-DSVAE (Lian et al. 2022b): what the prior is told of each frame, in training alone. `kmeans_mel`: its cluster
    among mels; `random_projection`: the nearest of random codes after a random projection; `labels`: its phone, from
    the corpus's texts and the aligner; `units`: any ids from files, see objective.unit_folder."""
    num_units: int = Field(default=50, ge=2)
    """Clusters, codes or ids; `labels` has as many as there are symbols."""

    @property
    def unit_count(self) -> int:
        """Different units that the prior knows; 0 without."""
        return {"none": 0, "labels": len(SYMBOLS)}.get(self.units, self.num_units)


class DecoderConfig(Config):
    """p(x | z_s, z_c)."""

    kind: Literal["recurrent"] = "recurrent"
    channels: int = 512
    num_layers: int = 3
    kernel_size: int = 5
    first_channels: int = 512
    """Of the first LSTM."""
    recurrent_channels: int = 1024
    """Of those after it."""
    recurrent_layers: int = 2
    """LSTMs after the first; 0 = none."""
    post_channels: int = 512
    post_layers: int = 4
    """Convolutions of the post-net before the one that gives mels."""


class ConvolutionalDecoderConfig(Config):
    """p(x | z_s, z_c) of ConvNeXt blocks (models.dsvae.convolutional)."""

    kind: Literal["convolutional"] = "convolutional"
    channels: int = 256
    inner_channels: int = 768
    num_layers: int = 6


class PitchConfig(Config):
    """The predictor of pitch and voicing from mels (models.dsvae.harmonics)."""

    channels: int = 128
    num_layers: int = 4


class DsvaeConfig(Config):
    """The whole model; the defaults are the papers' (45,186,848 weights)."""

    mel: MelConfig = MEL_16KHZ
    speaker_channels: int = 64
    """Width of z_s."""
    content_channels: int = 64
    """Width of z_c."""
    shared: SharedEncoderConfig = SharedEncoderConfig()
    speaker: SpeakerPosteriorConfig = SpeakerPosteriorConfig()
    content: Annotated[ContentPosteriorConfig | ConvolutionalContentConfig, Field(discriminator="kind")] = (
        ContentPosteriorConfig()
    )
    prior: ContentPriorConfig = ContentPriorConfig()
    pitch: PitchConfig | None = None
    """None, as in the paper: z_c holds the pitch. Else it is predicted, and the decoder is told of it."""
    decoder: Annotated[DecoderConfig | ConvolutionalDecoderConfig, Field(discriminator="kind")] = DecoderConfig()
    recentre: bool = False
    """Whether conversions give z_c the target's mean in place of the source's (models.dsvae.recentre); False, as in the
    papers: z_c is taken as it is."""
    centred: bool = False
    """Whether the decoder gets z_c without its mean over voiced frames, in training too, so that who speaks is to be
    had from z_s alone; False, as in the papers."""
    reach: float = Field(default=1.0, ge=1.0, le=2.0)
    """How far conversions move z_s on the way from the source's to the target's, or where the source is not known from
    the mean of all voices': more than 1 makes up for what the decoder leaves of the source; 1, as in the papers."""

    @model_validator(mode="after")
    def _one_mean(self) -> "DsvaeConfig":
        if self.recentre and self.centred:
            raise ValueError(
                "recentre and centred: where the decoder never sees the mean of z_c it cannot be the target's"
            )
        return self


class AdversaryConfig(Config):
    """The game with a discriminator of mels (models.dsvae.adversary), which the papers do not play."""

    channels: tuple[int, ...] = (24, 48, 96, 96)
    start_step: int = Field(default=0, ge=0)
    head_start_steps: int = Field(default=100, ge=0)
    """In which the discriminator learns alone."""
    weight: float = Field(default=0.2, ge=0.0)
    """Of being taken for real, copies and conversions alike."""
    feature_matching_weight: float = Field(default=0.5, ge=0.0)
    """Of copies looking like their recordings in every layer."""
    mismatch_weight: float = Field(default=1.0, ge=0.0)
    """Of telling a recording from one that another's voice is claimed of, against telling it from what is made."""


class SameVoiceConfig(Config):
    """Learning that two stretches of a recording are one voice (models.dsvae.same_voice)."""

    weight: float = Field(default=0.1, ge=0.0)
    temperature: float = Field(default=0.1, gt=0.0)
    bend: float = Field(default=0.5, ge=0.0)
    """By how much, in ln magnitude, the spectrum of the first stretch is bent, so that a microphone is no voice."""


class DsvaeObjectiveConfig(Config):
    """The loss L = L_rec + alpha KL_s + beta KL_c, with reductions as in models.dsvae.objective."""

    crop_frames: int = Field(default=100, ge=8)
    """Of each recording, at a random place; 1.6 s at 16 ms."""
    alpha: float = Field(default=0.01, ge=0.0)
    """Weight of the speaker's KL."""
    beta: float = Field(default=10.0, ge=0.0)
    """Weight of the content's KL. beta / alpha decides what goes through which latent."""
    beta_warmup_steps: int = Field(default=0, ge=0)
    """Steps over which beta rises from 0."""
    speaker_capacity: float | None = Field(default=None, ge=0.0)
    """Nats per recording that KL_s is drawn to, from above and below, instead of to 0."""
    content_capacity: float | None = Field(default=None, ge=0.0)
    """Nats per frame that KL_c is drawn to, from above and below, instead of to 0."""
    free_nats: float = Field(default=0.0, ge=0.0)
    """Nats that each dimension of z_c has for nothing in each recording: a guard against content collapse."""
    distance: Literal["squared", "absolute"] = "squared"
    """Of mels: a Gaussian or a Laplace likelihood."""
    disguise: float = Field(default=0.0, ge=0.0, le=0.5)
    """How much the content posterior's recordings are disguised, as the share by which frequencies are stretched at
    most (models.dsvae.disguise); 0, as in the paper: both posteriors hear the same."""
    same_voice: SameVoiceConfig | None = None
    """None, as in the papers: z_s of a stretch serves that stretch alone."""
    centre_weight: float = Field(default=10.0, ge=0.0)
    """With model.centred, of half the square of z_c's mean, over voiced frames and over all, against beta's: what the
    decoder never sees need not be told."""
    adversary: AdversaryConfig | None = None
    """None, as in the papers: mels are averages."""
    pitch_weight: float = Field(default=1.0, ge=0.0)
    """Of the error of ln F0 and the cross entropy of voicing, where the model predicts them."""
    unit_folder: str | None = None
    """For model.prior.units=units: where each training recording has a NAME.npy or NAME.txt with an id from 0 to
    num_units - 1 for every frame."""

    @model_validator(mode="after")
    def _one_controller(self) -> "DsvaeObjectiveConfig":
        if self.content_capacity is not None and self.free_nats:
            raise ValueError("content_capacity and free_nats both hold the content's KL up: set one of them")
        return self
