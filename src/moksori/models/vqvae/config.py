"""Settings of VQ-VAE conversion; the defaults are those of van Niekerk et al. (2020)."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from moksori.audio.mel import MEL_16KHZ, MelConfig
from moksori.config import Config

NARROW_MEL = MelConfig(sample_rate=16000, n_fft=2048, hop_length=160, window_length=400, f_min_hz=50.0, floor=1e-4)
"""What the faithful encoder hears: 10 ms apart, windows of 25 ms; the floor lies some 80 dB under loud speech."""


JUDGED_AFTER = 300
"""Steps with codes before a run is judged: until then running means still hold what was before."""


class MelEncoderConfig(Config):
    """From mels to states: five convolutions, of which the third takes `stride` frames at once."""

    kind: Literal["mel"] = "mel"
    mel: MelConfig = NARROW_MEL
    pre_emphasis: float = Field(default=0.97, ge=0.0, lt=1.0)
    """x_t - a x_(t-1) is what mels are taken of; 0 = the sound itself."""
    channels: int = Field(default=768, ge=1)
    stride: Literal[1, 2, 4] = 2
    """Frames to a code."""
    norm: Literal["batch", "layer", "none"] = "batch"
    """After each convolution. `batch`, as in the paper, is of each process's own share where processes share a batch,
    and in conversion it goes by what it remembers; `layer` is of each frame by itself."""
    state_norm: Literal["none", "batch", "layer"] = "none"
    """Of the states before they are quantised: a remedy against collapse."""
    instance_frames: int = Field(default=0, ge=0)
    """Instance norm: each band's mean and deviation over so many frames on each side are taken out of what the encoder
    hears, and with them much of the speaker and the room; 0, as in the paper: none. It delays by as many frames."""


class WaveEncoderConfig(Config):
    """From samples to states: convolutions of four samples, each of which halves the rate (van den Oord 2017)."""

    kind: Literal["wave"] = "wave"
    channels: int = Field(default=256, ge=1)
    layers: int = Field(default=6, ge=1, le=12)
    """Six: 64 samples to a code."""
    norm: Literal["batch", "layer", "none"] = "none"
    state_norm: Literal["none", "batch", "layer"] = "none"


class CodebookConfig(Config):
    """A codebook of vectors (nn.vector_quantize.VectorQuantizer)."""

    kind: Literal["codebook"] = "codebook"
    size: int = Field(default=512, ge=2)
    """K."""
    decay: float | None = Field(default=0.999, gt=0.0, lt=1.0)
    """Of the moving average that codes are, 0.99 adapts faster; null: they are learnt by a term of the loss."""
    commitment: float = Field(default=0.25, ge=0.0)
    """beta: how strongly states are drawn to their codes."""
    look_up_channels: int | None = Field(default=None, ge=1)
    """Codes are compared in so many dimensions, 8 say; null: in all."""
    normalised: bool = False
    """Codes are compared on a sphere."""
    restart_after: int = Field(default=100, ge=0)
    """Steps after which a code that next to nothing takes moves to a state of the batch; 0: it stays."""


class ScalarsConfig(Config):
    """No codebook: numbers that are rounded (nn.vector_quantize.ScalarQuantizer); nothing can collapse."""

    kind: Literal["scalars"] = "scalars"
    levels: tuple[int, ...] = (8, 5, 5, 5)
    """Of each number; their product is how many codes there are."""

    @model_validator(mode="after")
    def _has_levels(self) -> "ScalarsConfig":
        if not self.levels or min(self.levels) < 2:
            raise ValueError(f"levels {self.levels}: expected at least one number, each with 2 levels or more")
        return self


class MelDecoderConfig(Config):
    """Codes to mels, all frames at once, for the shared vocoder: ConvNeXt blocks."""

    kind: Literal["mel"] = "mel"
    mel: MelConfig = MEL_16KHZ
    channels: int = Field(default=256, ge=1)
    inner_channels: int = Field(default=768, ge=1)
    num_layers: int = Field(default=6, ge=1)


class WavenetDecoderConfig(Config):
    """Codes to samples, one after the other: the house's WaveNet over mu-law codes."""

    kind: Literal["wavenet"] = "wavenet"
    residual_channels: int = Field(default=64, ge=1)
    skip_channels: int = Field(default=128, ge=1)
    kernel_size: int = Field(default=2, ge=2)
    first_kernel_size: int = Field(default=2, ge=1)
    cycles: int = Field(default=2, ge=1)
    layers: int = Field(default=10, ge=1, le=20)
    one_hot: bool = True
    """Past samples are looked up in a table; false: they are one number each."""
    residual_scale: float = Field(default=1.0, gt=0.0, le=1.0)
    upsampling: Literal["repeat", "linear"] = "repeat"
    """Of codes to the rate of the condition; `linear` draws straight lines between codes."""
    pre_emphasis: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Of what is drawn, undone afterwards: the hiss of 8 bits becomes softer."""
    temperature: float = Field(default=1.0, ge=0.0)
    """Of sampling: below 1 the likelier becomes likelier still, 0 takes the likeliest."""
    input_dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of the past samples that are taken for silence in training: a decoder that knows the past too well need
    not listen to the codes. 0.1 to 0.3 where it ignores them."""

    @property
    def dilations(self) -> tuple[int, ...]:
        return tuple(2**layer for _ in range(self.cycles) for layer in range(self.layers))


class PitchConfig(Config):
    """The decoder is given the melody: ln F0 against its mean, and voicing. Otherwise it makes one up."""

    hop_length: int | None = Field(default=None, ge=1)
    """Samples for which a pitch holds; null: the decoder's mel hop, or a code's samples."""
    lowest_hz: float = Field(default=60.0, gt=0.0)
    highest_hz: float = Field(default=500.0, gt=0.0)
    method: Literal["auto", "fast"] = "fast"
    """How pitch is found, see audio.f0."""
    harmonics: bool = False
    """The decoder is also given the mels of a pulse train of each pitch, at the height where the target speaks: it then
    need not learn to draw harmonics, which it does last. For a decoder of mels."""

    @model_validator(mode="after")
    def _is_a_range(self) -> "PitchConfig":
        if self.lowest_hz >= self.highest_hz:
            raise ValueError(f"lowest_hz {self.lowest_hz:g} must lie below highest_hz {self.highest_hz:g}")
        return self


EncoderConfig = Annotated[MelEncoderConfig | WaveEncoderConfig, Field(discriminator="kind")]
QuantizerConfig = Annotated[CodebookConfig | ScalarsConfig, Field(discriminator="kind")]
DecoderConfig = Annotated[MelDecoderConfig | WavenetDecoderConfig, Field(discriminator="kind")]


class VqvaeConfig(Config):
    """The whole model."""

    sample_rate: int = Field(default=16000, gt=0)
    """In Hz."""
    num_speakers: int = Field(default=1, ge=1)
    """Rows of the speaker table; taken from the corpus."""
    speaker_channels: int = Field(default=64, ge=1)
    """Width of a speaker's vector."""
    code_channels: int = Field(default=64, ge=1)
    """D: width of a state and of a code."""
    encoder: EncoderConfig = MelEncoderConfig()
    quantizer: QuantizerConfig = CodebookConfig()
    jitter: float = Field(default=0.5, ge=0.0, le=1.0)
    """Probability with which a code is replaced by a neighbour in training; 0.12 in Chorowski et al. (2019)."""
    decoder: DecoderConfig = MelDecoderConfig()
    pitch: PitchConfig | None = None
    """null, as in the papers: the melody is made up by the decoder."""

    @property
    def code_samples(self) -> int:
        """Samples to a code."""
        if isinstance(self.encoder, WaveEncoderConfig):
            return int(2**self.encoder.layers)
        return self.encoder.mel.hop_length * self.encoder.stride

    @property
    def condition_samples(self) -> int:
        """Samples for which a frame of what the decoder is given holds."""
        if isinstance(self.decoder, MelDecoderConfig):
            return self.decoder.mel.hop_length
        if self.pitch is not None and self.pitch.hop_length is not None:
            return self.pitch.hop_length
        return self.code_samples

    @property
    def melody_channels(self) -> int:
        """Of what the decoder is given beside codes: height and voicing, and the harmonics in each of its bands."""
        if self.pitch is None:
            return 0
        bands = self.decoder.mel.n_mels if isinstance(self.decoder, MelDecoderConfig) else 0
        return 2 + (bands if self.pitch.harmonics else 0)

    @property
    def frames_per_code(self) -> int:
        """Frames of what the decoder is given to a code."""
        return self.code_samples // self.condition_samples

    @property
    def codes_per_second(self) -> float:
        return self.sample_rate / self.code_samples

    @model_validator(mode="after")
    def _fits_together(self) -> "VqvaeConfig":
        mels = [
            part.mel for part in (self.encoder, self.decoder) if isinstance(part, MelEncoderConfig | MelDecoderConfig)
        ]
        for mel in mels:
            if mel.sample_rate != self.sample_rate:
                raise ValueError(f"sample_rate {self.sample_rate} and a mel's sample_rate {mel.sample_rate} differ")
        if self.pitch is not None:
            if self.pitch.highest_hz > self.sample_rate / 2:
                raise ValueError(f"pitch.highest_hz {self.pitch.highest_hz:g} lies above half of {self.sample_rate} Hz")
            if self.pitch.harmonics and not isinstance(self.decoder, MelDecoderConfig):
                raise ValueError("pitch.harmonics are mels, and this decoder makes samples: set it to false")
            hop = self.pitch.hop_length
            if hop is not None and hop != self.condition_samples:
                raise ValueError(f"pitch.hop_length {hop} must be decoder.mel.hop_length {self.condition_samples}")
        if self.code_samples % self.condition_samples:
            raise ValueError(
                f"a code holds {self.code_samples} samples, which are no whole frames of {self.condition_samples}: "
                "change encoder.stride, a mel's hop_length or pitch.hop_length"
            )
        return self


class ScrubbingConfig(Config):
    """The classifier that reads the speaker off codes, and how the encoder resists it."""

    weight: float = Field(default=0.0, ge=0.0)
    """Of the reversed gradient, 0.1 say; 0: the classifier only measures how much the codes tell."""
    channels: int = Field(default=128, ge=1)
    num_layers: int = Field(default=2, ge=0)
    ramp_steps: int = Field(default=0, ge=0)
    """Steps over which the weight rises from 0."""


class VqvaeObjectiveConfig(Config):
    """How it is trained: L = L_rec + |sg(z) - e|^2 + beta |z - sg(e)|^2."""

    crop_codes: int = Field(default=32, ge=2)
    """Of each recording, at a random place."""
    distance: Literal["absolute", "squared"] = "absolute"
    """Of mels, where the decoder makes mels."""
    start: Literal["kmeans", "none"] = "kmeans"
    """`kmeans` lays the codebook among the first states, `none` leaves it within 1/K of 0."""
    pass_steps: int = Field(default=0, ge=0)
    """First steps in which states reach the decoder as they are, and nothing draws them to codes; then the codebook is
    laid among them. An encoder that is drawn to codes before the decoder listens makes all states alike."""
    scrubbing: ScrubbingConfig = ScrubbingConfig()
    unscored_samples: int = Field(default=0, ge=0)
    """First samples of a crop that only give context, where the decoder makes samples."""
    watch_from_step: int = Field(default=1000, ge=1)
    """First step at which a collapse stops the run."""

    @property
    def judged_from(self) -> int:
        """The same, but some hundred steps after codes have begun to count."""
        return max(self.watch_from_step, self.pass_steps + JUDGED_AFTER if self.pass_steps else 0)
