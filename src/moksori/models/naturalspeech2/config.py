"""Settings of NaturalSpeech 2; the defaults are the paper's sizes."""

import math
from typing import Literal

from pydantic import Field, model_validator

from moksori.config import Config
from moksori.models.postfilter import MelGameConfig, PostfilterConfig
from moksori.text.tokenizer import TextConfig

SamplerName = Literal["euler", "sde", "ddim", "heun", "dpmpp2m", "karras"]


class TransformerConfig(Config):
    """An encoder: self-attention and convolutions (table 1 of the paper)."""

    num_layers: int = Field(default=6, ge=1)
    ffn_channels: int = Field(default=2048, ge=1)
    kernel_size: int = Field(default=9, ge=1)
    """Of the first of the two layers of a feed-forward part; the second looks at one step."""
    dropout: float = Field(default=0.2, ge=0.0, lt=1.0)
    window: int = Field(default=4, ge=0)
    """Reach of the learned relative positions; 0: convolutions alone tell the order."""


class PredictorConfig(Config):
    """A predictor: convolutions, before every few of which it attends to the prompt."""

    num_layers: int = Field(default=30, ge=1)
    kernel_size: int = Field(default=3, ge=1)
    attention_every: int = Field(default=3, ge=1)
    """Layers to an attention."""
    residual: Literal["after_attention", "before_attention"] = "after_attention"
    """What a layer's convolution is added to: what the layer heard of the prompt, or (Amphion) what came into it."""
    dropout: float = Field(default=0.5, ge=0.0, lt=1.0)


class PitchConfig(Config):
    """How pitch is found in recordings, predicted, and told to the denoiser."""

    predictor: PredictorConfig = PredictorConfig(kernel_size=5)
    bins: int = Field(default=512, ge=2)
    """Of the embedding, at equal steps in log F0."""
    lowest_hz: float = Field(default=50.0, gt=0.0)
    highest_hz: float = Field(default=1100.0, gt=0.0)
    interpolate: bool = False
    """Between the two nearest bins lies a mix of both, so that few bins tell any pitch; false, as in the paper: the
    bin that it falls into stands for it."""
    voicing: bool = False
    """Whether frames are voiced is predicted and told too; false, as in the paper: unvoiced frames have the pitch of
    their neighbours, and nothing tells."""
    tracked_hz: tuple[float, float] = (60.0, 500.0)
    """Where pitch is looked for in recordings; people who sing go higher."""
    method: Literal["auto", "fast"] = "auto"
    """How, see `audio.f0`: `auto` takes a tenth of a recording's length, `fast` next to nothing and finds less."""

    @model_validator(mode="after")
    def _are_ranges(self) -> "PitchConfig":
        for name, (low, high) in (
            ("lowest_hz, highest_hz", (self.lowest_hz, self.highest_hz)),
            ("tracked_hz", self.tracked_hz),
        ):
            if not 0.0 < low < high:
                raise ValueError(f"{name}: {low:g} Hz must be above 0 and below {high:g} Hz")
        return self


class DenoiserConfig(Config):
    """The network of the diffusion: a WaveNet that is told time, condition and prompt."""

    channels: int = Field(default=512, ge=4)
    num_layers: int = Field(default=40, ge=1)
    kernel_size: int = Field(default=3, ge=1)
    dilations: tuple[int, ...] = (2,)
    """Of its layers, repeated as often as needed."""
    film_every: int = Field(default=3, ge=1)
    """The first layer and each that many layers after another attend to the prompt, which steers their gates."""
    dropout: float = Field(default=0.2, ge=0.0, lt=1.0)
    prompt: Literal["tokens", "frames", "none"] = "tokens"
    """What it hears of the prompt: `tokens` that queries read off it; `frames`, all of it, or `none`: ablations."""
    voice: bool = False
    """One more token is what the prompt's latents are like over all its frames, and goes into every layer beside the
    time; false, as in the paper: the voice is heard by attention alone. Without tokens there is none."""
    preconditioned: bool = False
    """The guess is alpha_t z_t + sigma_t times what the network says: without it the best that is known of standardised
    latents. The network then need not learn to let its input through, which takes it thousands of steps; it says, but
    for the sign, the v of Salimans and Ho (2022). false, as in the paper: the guess is what it says."""
    time_scale: float = Field(default=1000.0, gt=0.0)
    """Factor on the time before its sines and cosines."""

    @model_validator(mode="after")
    def _has_dilations(self) -> "DenoiserConfig":
        if not self.dilations or min(self.dilations) < 1:
            raise ValueError(f"dilations {self.dilations}: expected at least one, each of 1 or more")
        return self

    @property
    def hears_voice(self) -> bool:
        return self.voice and self.prompt == "tokens"

    @property
    def all_dilations(self) -> tuple[int, ...]:
        """One for each layer."""
        return tuple(self.dilations[layer % len(self.dilations)] for layer in range(self.num_layers))


class SamplingConfig(Config):
    """How it speaks where nobody says otherwise."""

    sampler: SamplerName = "euler"
    steps: int = Field(default=150, ge=1)
    guidance: float = Field(default=1.0, ge=0.0)
    """w of z_null + w (z_full - z_null); 1 is none. Takes a model that was trained with `objective.drop_prompt`."""
    variation: float = Field(default=1.0 / 1.2, ge=0.0)
    """Standard deviation of the noise that it starts from: 1/1.2 in the paper."""
    mean_correction: float = Field(default=0.0, ge=0.0, le=1.0)
    """How much is added to all frames of what the model does not believe of the prompt's mean latent, though it hears
    it (`speaking.missed_mean`). Takes a model that was trained with `objective.drop_condition`."""


class Naturalspeech2Config(Config):
    """The whole model."""

    text: TextConfig = TextConfig(mode="phones", blanks=False, ends=True)
    num_symbols: int | None = Field(default=None, ge=1)
    """Rows of the symbol table; null: as many as `text` has."""
    codec: str = "codec"
    """The codec whose latents it makes: a model's name or folder."""
    sample_rate: int = Field(default=16000, gt=0)
    """In Hz, the codec's."""
    hop_length: int = Field(default=200, gt=0)
    """Samples to a frame, the codec's."""
    latent_channels: int = Field(default=256, ge=1)
    """Numbers of a frame, the codec's."""
    stages: int = Field(default=16, ge=1)
    """Codebooks whose codes are learnt from; at most as many as the codec has."""
    code_count: int = Field(default=1024, ge=2)
    """Entries of each codebook."""
    hidden_channels: int = Field(default=512, ge=1)
    """Of both encoders, both predictors and the condition."""
    num_heads: int = Field(default=8, ge=1)
    phoneme_encoder: TransformerConfig = TransformerConfig()
    prompt_adaptive_norm: bool = False
    """The norms of the phoneme encoder are steered by the prompt's mean (Amphion); false, as in the paper."""
    prompt_encoder: TransformerConfig = TransformerConfig()
    prompt_tokens: int = Field(default=32, ge=1)
    """m: what queries read off the prompt for the denoiser."""
    predictor_prompt: bool = True
    """Whether the predictors attend to the prompt; false is an ablation."""
    duration: PredictorConfig = PredictorConfig()
    pitch: PitchConfig = PitchConfig()
    denoiser: DenoiserConfig = DenoiserConfig()
    beta_0: float = Field(default=0.05, gt=0.0)
    beta_1: float = Field(default=20.0, gt=0.0)
    """The process, see `nn.diffusion`."""
    sampling: SamplingConfig = SamplingConfig()
    postfilter: PostfilterConfig | None = None
    """What moves said latents to where a discriminator takes them for a recording's; null, as in the paper: nothing."""
    longest_token_seconds: float = Field(default=1.5, gt=0.0)
    """What a predicted duration is cut to."""

    @model_validator(mode="after")
    def _fits_together(self) -> "Naturalspeech2Config":
        for name, channels in (
            ("hidden_channels", self.hidden_channels),
            ("denoiser.channels", self.denoiser.channels),
        ):
            if channels % self.num_heads:
                raise ValueError(f"{name} {channels} cannot be shared by num_heads {self.num_heads}")
        if self.beta_0 >= self.beta_1:
            raise ValueError(f"beta_0 {self.beta_0:g} must lie below beta_1 {self.beta_1:g}")
        return self

    @property
    def longest_token_frames(self) -> int:
        return max(1, math.floor(self.longest_token_seconds * self.sample_rate / self.hop_length))


class PostfilterObjectiveConfig(MelGameConfig):
    """How the postfilter learns (`postfilter_game`)."""

    rounds: int = Field(default=1, ge=1)
    """Updates of both sides that are made for each batch that is said, since saying costs far more than learning."""
    pool_items: int = Field(default=0, ge=0)
    """What was said last of so many recordings is kept, and rounds learn from all of it by turns, so that those of one
    batch do not follow each other; 0: from the batch alone. Takes `crop_frames` of the objective."""


class Naturalspeech2ObjectiveConfig(Config):
    """L = L_data + L_score + 0.1 L_ce-rvq + L_duration + L_pitch (equation 6), and how prompts are cut."""

    postfilter: PostfilterObjectiveConfig | None = None
    """Trains the postfilter and nothing else, against a discriminator; all other losses are left out."""
    prompt_seconds: tuple[float, float] = (1.0, 3.0)
    """Shortest and longest prompt; never more than half of an utterance."""
    other_prompt: float = Field(default=0.0, ge=0.0, le=1.0)
    """Probability that prompts of a batch come from other utterances of the same speaker in it, where there are any
    (with several processes: in each one's share). The target then stays whole."""
    junction_frames: int = Field(default=2, ge=0)
    """On each side of where the prompt was cut out nothing is learnt: what meets there was never said so."""
    crop_frames: int | None = Field(default=None, ge=1)
    """Of each target, at a place drawn anew, that the denoiser and the pitch predictor learn from at a time, so that a
    batch costs what it costs however long its longest utterance is; null, as in the paper: all. The text's encoder and
    the duration predictor take all of it."""
    t_min: float = Field(default=1e-3, gt=0.0, lt=1.0)
    """Times are drawn between it and 1."""
    drop_prompt: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Probability that the denoiser is given learnt tokens that stand for no prompt: for guidance."""
    drop_condition: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Likewise, a learnt condition that stands for no text."""
    score_weight: Literal["min_snr", "snr", "literal"] = "min_snr"
    """Of the square in the score loss: alpha²/sigma² capped at `score_cap`; uncapped, as when noise is compared; or
    alpha²/sigma⁴, what the equation says literally, which drowns everything else at small times."""
    score_cap: float = Field(default=5.0, gt=0.0)
    cross_entropy_stages: int = Field(default=4, ge=1)
    """Codebooks, drawn anew for each step, whose cross-entropy is taken."""
    cross_entropy_temperature: float = Field(default=1.0, gt=0.0)
    """tau: what squared distances are divided by."""
    cross_entropy_unit: Literal["one", "code", "error"] = "one"
    """What squared distances count in. `one`, as in the paper: they count as they are, whatever the codec's scale.
    `code`: in mean squared lengths of the stage's codes. `error`: in twice the mean square by which the guess is off a
    number of an item, as for a code that is seen through such noise: at late times it then asks for little, at early
    ones for much."""
    data_weight: float = Field(default=1.0, ge=0.0)
    score_loss_weight: float = Field(default=1.0, ge=0.0)
    cross_entropy_weight: float = Field(default=0.1, ge=0.0)
    duration_weight: float = Field(default=1.0, ge=0.0)
    pitch_weight: float = Field(default=1.0, ge=0.0)
    voicing_weight: float = Field(default=1.0, ge=0.0)
    watch_from_step: int = Field(default=2000, ge=1)
    """First step whose validation warns of what is not well."""

    @model_validator(mode="after")
    def _fits_together(self) -> "Naturalspeech2ObjectiveConfig":
        shortest, longest = self.prompt_seconds
        if not 0.0 < shortest <= longest:
            raise ValueError(f"prompt_seconds {self.prompt_seconds}: expected 0 < shortest <= longest")
        if self.postfilter is not None and self.postfilter.pool_items and self.crop_frames is None:
            raise ValueError("postfilter.pool_items: what is kept has one length; set crop_frames too")
        if self.score_weight == "literal" and self.t_min < 0.01:
            raise ValueError(f"score_weight literal needs a t_min of at least 0.01, not {self.t_min:g}")
        return self
