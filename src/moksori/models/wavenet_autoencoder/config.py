"""Settings of the WaveNet autoencoder; the defaults are those of unsupervised singing voice conversion."""

from typing import Literal

from pydantic import Field, model_validator

from moksori.config import Config


class EncoderConfig(Config):
    """E: one for all singers."""

    channels: int = Field(default=128, ge=1)
    kernel_size: int = Field(default=3, ge=1)
    cycles: int = Field(default=3, ge=1)
    """How often the dilations 1, 2, 4 ... are gone through."""
    layers: int = Field(default=10, ge=1)
    """Of each cycle."""
    code_channels: int = Field(default=64, ge=1)
    pool: int = Field(default=800, ge=1)
    """Samples whose mean is one code: 50 ms at 16 kHz."""
    stride: int = Field(default=1, ge=1)
    """Samples that the first convolution takes at once; 1 as in the papers. More is so many times cheaper."""
    pre_activation: bool = False
    """A ReLU before each dilated convolution too, as in NSynth."""
    causal: bool = False
    """Codes look at no sample behind their window, for the least delay."""
    bounded: bool = False
    """Codes go through tanh, so that noise on them means something."""
    code_noise: float = Field(default=0.0, ge=0.0)
    """Standard deviation of what is added to codes in training."""
    standardized: bool = False
    """Each number of the codes has mean 0 and deviation 1 over the batch, before tanh (at work over what training
    heard). Without it the codes of `compact` stopped changing within a hundred steps: nothing holds what goes into
    tanh, and there they were all at its ends."""

    @property
    def dilations(self) -> tuple[int, ...]:
        return tuple(2**layer for _ in range(self.cycles) for layer in range(self.layers))

    @property
    def context_samples(self) -> int:
        """Samples on each side of a window that its code looks at; twice as many before it where it is causal."""
        steps = (self.kernel_size - 1) // 2 * (sum(self.dilations) + (1 if self.stride == 1 else 0))
        return steps * self.stride

    @model_validator(mode="after")
    def _windows_are_whole(self) -> "EncoderConfig":
        if self.pool % self.stride:
            raise ValueError(f"stride {self.stride} does not divide pool {self.pool}: a window holds whole steps")
        if self.kernel_size % 2 == 0:
            raise ValueError(f"kernel_size {self.kernel_size} is even: a centred convolution needs an odd one")
        if self.code_noise and not self.bounded:
            raise ValueError(f"code_noise {self.code_noise:g} needs bounded=true: free codes would outgrow it")
        return self


class SampleDecoderConfig(Config):
    """D: a WaveNet."""

    residual_channels: int = Field(default=128, ge=1)
    skip_channels: int = Field(default=128, ge=1)
    kernel_size: int = Field(default=2, ge=2)
    first_kernel_size: int = Field(default=2, ge=1)
    cycles: int = Field(default=4, ge=1)
    layers: int = Field(default=10, ge=1)
    one_hot: bool = False
    """Past samples are looked up in a table; false as in the papers: they are one number each."""
    mixtures: int = Field(default=0, ge=0)
    """Logistic distributions over samples of 16 bits; 0: a softmax over 256 mu-law codes."""
    head_condition: bool = False
    """The code enters the head too, as in NSynth."""
    residual_scale: float = Field(default=1.0, gt=0.0)
    """Of the residual sum; 0.7071 keeps its variance."""

    @property
    def dilations(self) -> tuple[int, ...]:
        return tuple(2**layer for _ in range(self.cycles) for layer in range(self.layers))

    @model_validator(mode="after")
    def _codes_or_samples(self) -> "SampleDecoderConfig":
        if self.mixtures and self.one_hot:
            raise ValueError("one_hot looks codes up, and mixtures makes samples that are none: set one of them")
        return self


class PitchConfig(Config):
    """PitchNet: the decoder is given the pitch, so that codes need not hold it."""

    hop_length: int = Field(default=80, ge=1)
    """Samples for which a pitch holds: 5 ms at 16 kHz."""
    excitation: bool = False
    """Also a sine and a cosine of that pitch beside each sample (models.wavenet_autoencoder.pitch)."""
    harmonics: int = Field(default=1, ge=1, le=64)
    """Multiples of the pitch that the excitation has sines and cosines of, the pitch itself among them."""
    partials: int = Field(default=0, ge=0, le=256)
    """Multiples of the pitch of which the harmonic part is made before the decoder draws the rest; 0, as in the paper:
    it draws all (models.wavenet_autoencoder.partials)."""
    rest: float = Field(default=1.0, ge=0.0, le=1.0)
    """What the decoder draws beside the partials counts by so much in voiced frames when it sings."""
    over_source: float | None = Field(default=None, gt=0.0)
    """Where nothing is voiced, a conversion is at most so many times as loud as its source (RMS of 5 ms, both
    pre-emphasised); None: as loud as it is drawn."""
    envelope_channels: int = Field(default=128, ge=1)
    """Width of the network that tells how strong partials are."""
    envelope_knots: int = Field(default=48, ge=4)
    """Mel-spaced frequencies at which it does."""
    lowest_hz: float = Field(default=60.0, gt=0.0)
    highest_hz: float = Field(default=1000.0, gt=0.0)
    method: Literal["auto", "fast"] = "fast"
    """How pitch is found, see audio.f0: `fast` is WORLD's dio, `auto` its slower harvest."""

    @model_validator(mode="after")
    def _is_a_range(self) -> "PitchConfig":
        if self.lowest_hz >= self.highest_hz:
            raise ValueError(f"lowest_hz {self.lowest_hz:g} must lie below highest_hz {self.highest_hz:g}")
        if self.partials and not self.excitation:
            raise ValueError("partials need excitation=true: the decoder is told of them beside it")
        if self.over_source is not None and not self.partials:
            raise ValueError("over_source is for what is drawn beside partials: set model.pitch.partials too")
        if self.partials and self.partials < self.harmonics:
            raise ValueError(f"partials {self.partials} are fewer than harmonics {self.harmonics}, which are of them")
        return self


class WavenetAutoencoderConfig(Config):
    """The whole model."""

    sample_rate: int = Field(default=16000, gt=0)
    """In Hz."""
    num_speakers: int = Field(default=1, ge=1)
    """Singers of the table, or domains; taken from the corpus."""
    speaker_channels: int = Field(default=64, ge=0)
    """Width of a singer's vector; 0 for a decoder that is told of no singer (NSynth)."""
    decoders: Literal["shared", "per_domain"] = "shared"
    """One decoder that is given the singer's vector, or one for each domain, as in music translation."""
    encoder: EncoderConfig = EncoderConfig()
    decoder: SampleDecoderConfig = SampleDecoderConfig()
    pitch: PitchConfig | None = None
    """None, as in the paper: the codes hold the pitch."""
    upsampling: Literal["repeat", "linear"] = "repeat"
    """Of codes to the rate of the decoder's condition; `linear` takes the steps out that small models buzz at."""
    pre_emphasis: float = Field(default=0.0, ge=0.0, lt=1.0)
    """x_t - a x_(t-1) is what the decoder makes; undone afterwards, which makes the hiss of 8 bits softer."""

    temperature: float = Field(default=1.0, ge=0.0)
    """Of sampling: less takes likelier samples, 0 the likeliest."""
    voiced_temperature: float = Field(default=1.0, ge=0.0)
    """The same for voiced frames, where the model is given the pitch."""

    @property
    def condition_hop(self) -> int:
        """Samples for which a frame of the decoder's condition holds."""
        if self.pitch is not None:
            return self.pitch.hop_length
        return self.encoder.pool

    @property
    def singer_channels(self) -> int:
        """Width of the vector that the decoder is given: none where each domain has its own."""
        return self.speaker_channels if self.decoders == "shared" else 0

    @model_validator(mode="after")
    def _fits_together(self) -> "WavenetAutoencoderConfig":
        if self.encoder.pool % self.condition_hop:
            raise ValueError(
                f"pitch.hop_length {self.condition_hop} does not divide encoder.pool {self.encoder.pool}: a code's "
                "window holds whole frames of pitch"
            )
        if self.pitch is not None and self.pitch.highest_hz > self.sample_rate / 2:
            raise ValueError(f"pitch.highest_hz {self.pitch.highest_hz:g} lies above half of {self.sample_rate} Hz")
        if self.upsampling == "linear" and self.pitch is None:
            raise ValueError("upsampling linear needs frames between codes: set pitch, or take repeat")
        return self


class ConfusionConfig(Config):
    """The network C that reads the singer off the codes, and how the encoder resists it."""

    channels: int = Field(default=100, ge=1)
    num_layers: int = Field(default=3, ge=0)
    weight: float = Field(default=0.01, ge=0.0)
    """lambda. Too high: codes carry nothing, the decoder babbles. Too low: conversion keeps the source's voice."""
    resistance: Literal["negative", "reversal", "uniform"] = "negative"
    """See models.wavenet_autoencoder.confusion.Resistance; `negative` is the papers'."""
    ramp_steps: int = Field(default=0, ge=0)
    """Steps over which reversal, or the cross-entropy to equal odds, gains its strength."""
    standardize: bool = False
    """C hears codes of mean 0 and deviation 1, so that small ones are no way out; in the papers, codes as they are."""
    memory: int = Field(default=0, ge=0)
    """Crops of codes of the steps before that are kept, for C to learn from beside those at hand: it is a small network
    that a few crops a step teach slowly, and what it has not learnt nobody resists. 0, as in the papers: none."""
    own_codes: bool = True
    """C learns from codes of the crop as it is, computed for it, as in UMTN; false: from those that E learns with,
    which saves an encoder's pass."""


class BackTranslationConfig(Config):
    """Phase 2."""

    start_step: int = Field(default=20000, ge=0)
    """First step; reconstruction should be intelligible by then."""
    pool_crops: int = Field(default=500, ge=1)
    """Crops that virtual singers sing, of objective.crop_samples each."""
    refresh_crops: int = Field(default=16, ge=1)
    """Sung at once, side by side."""
    refresh_every: int = Field(default=100, ge=1)
    """Steps between two such times, once the pool is full."""
    temperature: float = Field(default=1.0, ge=0.0)
    """Of sampling; 0 takes the likeliest."""
    mixup: bool = True
    """Virtual singers lie between two of the table; false: they are others of the table."""
    every: int = Field(default=2, ge=1)
    """Each so many steps learn from the pool, the others from recordings: 2 mixes them one to one."""


class WavenetAutoencoderObjectiveConfig(Config):
    """How it is trained; the defaults are UMTN's and the paper's."""

    crop_samples: int = Field(default=12000, ge=16)
    """Of each recording, at a random place; cut to whole windows of the encoder."""
    unscored_samples: int = Field(default=0, ge=0)
    """First samples of a crop that only give context; 0 scores them with zeros before the first."""
    four_fold: bool = True
    """Crops as they are, reversed, with their sign flipped, or both."""
    slice_semitones: float = Field(default=0.5, ge=0.0, le=6.0)
    """How far a slice of what the encoder hears is moved at most; 0: none is."""
    speed: float = Field(default=0.0, ge=0.0, le=0.5)
    """How much faster or slower the encoder hears a crop, as a share; 0, as in the paper: as it is."""
    confusion: ConfusionConfig = ConfusionConfig()
    pitch_weight: float = Field(default=0.1, ge=0.0)
    """Of the pitch regressor that the codes resist, where the model is given the pitch."""
    pitch_channels: int = Field(default=100, ge=1)
    """Of that regressor's three layers."""
    partials_weight: float = Field(default=1.0, ge=0.0)
    """Of the share of voiced energy that the partials leave, where the model makes them."""
    strength_weight: float = Field(default=0.3, ge=0.0)
    """Of how far their strengths lie from the recording's, in nats."""
    back_translation: BackTranslationConfig | None = None
    """None: phase 1 only."""
    watch_from_step: int = Field(default=1000, ge=1)
    """First step at which a collapse stops the run."""
