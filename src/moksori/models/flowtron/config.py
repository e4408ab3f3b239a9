"""Settings of Flowtron: the authors' own values are the defaults; each departure is a switch beside them."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from moksori.audio.mel import MEL_22KHZ, MelConfig
from moksori.config import Config
from moksori.models.postfilter import MelGameConfig, PostfilterConfig
from moksori.text.tokenizer import TextConfig

Direction = Literal["forward", "backward"]


class TextEncoderConfig(Config):
    """Convolutions and a bidirectional LSTM over tokens, as in Tacotron 2."""

    channels: int = Field(default=512, ge=2, multiple_of=2)
    """Of the embedding, the convolutions and the output; half of it for each direction of the LSTM."""
    num_layers: int = Field(default=3, ge=1)
    kernel_size: int = Field(default=5, ge=1)
    dropout: float = Field(default=0.5, ge=0.0, lt=1.0)
    """After each convolution; the default network has no other."""
    stress_embedding: bool = False
    """Adds an embedding of the stress 0, 1, 2 of each token, for tokens that carry no stress marks."""


class GaussianPriorConfig(Config):
    """The latent is a standard Gaussian."""

    kind: Literal["gaussian"] = "gaussian"


class MixturePriorConfig(Config):
    """Each number of the latent has its own sum over Gaussians, whose shares a network reads off the mel itself."""

    kind: Literal["mixture"] = "mixture"
    num_components: int = Field(ge=2)
    means: Literal["fixed", "learned"] = "fixed"
    """`fixed`: one band for each component, drawn at random, with a mean of `mean_scale`, all others 0, and variances
    of 1. `learned`: means and variances are read off the mel as the shares are."""
    mean_scale: float = 1.0
    channels: int = Field(default=512, ge=2, multiple_of=2)
    """Of the network that reads the mel."""
    dropout: float = Field(default=0.5, ge=0.0, lt=1.0)


class FlowtronConfig(Config):
    """The whole model; the defaults are the authors' LJ Speech model."""

    mel: MelConfig = MEL_22KHZ
    text: TextConfig = TextConfig()
    num_symbols: int | None = None
    """Size of the embedding table; None: as many as the text settings have symbols."""
    text_encoder: TextEncoderConfig = TextEncoderConfig()
    num_speakers: int = Field(default=1, ge=1)
    speaker_channels: int = Field(default=128, ge=0)
    """Of the speaker vector that stands beside every token's state; 0: none."""
    speaker_table: Literal["always", "several", "dummy"] = "always"
    """`always`: one row a speaker, also where there is one, as in the authors' models. `several`: no table for one
    speaker. `dummy`: everybody has the first row, so that the latent must say who speaks."""
    num_flows: int = Field(default=2, ge=1)
    directions: tuple[Direction, ...] | None = None
    """Of the flows, from the mel to the latent; None: forward and backward by turns."""
    group: int = Field(default=1, ge=1)
    """Frames that are made in one step; they are stacked to group times as many bands."""
    hidden_channels: int = Field(default=1024, ge=1)
    """Of both LSTMs and the dense layers."""
    attention_channels: int = Field(default=640, ge=1)
    """Of queries, keys and values."""
    cumulative_attention: bool = False
    """Attention knows where it has been. Training then runs one step after the other and takes many times as long; it
    is there to be switched on at the end, for a model that was trained without (`--from`)."""
    num_decoder_layers: int = Field(default=2, ge=1)
    num_dense_layers: int = Field(default=2, ge=0)
    prior: Annotated[GaussianPriorConfig | MixturePriorConfig, Field(discriminator="kind")] = GaussianPriorConfig()
    """What the latent is distributed as."""
    standardize: bool = False
    """Mels go into the first flow standardised band by band. Likelihoods are of the raw mel all the same."""
    decorrelate: bool = False
    """The groups of frames go through the flows along the principal axes of what they add to the group before, where
    numbers that are drawn one by one make a spectrum that hangs together. The latent is turned back to bands."""
    text_mean_channels: int = Field(default=0, ge=0)
    """Of a network in the first flow that foretells the mel from what the attention has read, and from no frame before;
    0: none. The flow is then autoregressive over what that leaves open, and cannot drift away from the text."""
    pitch: bool = False
    """Frames hold log F0 in a band of its own beside the mel's. The first flow draws it before the mel of the same
    step, and the text mean is that of a mel with this pitch: without, it is one of all pitches, and has no harmonics.
    Needs `text_mean_channels` and `standardize`."""
    match_spread: float = Field(default=0.0, ge=0.0, le=1.0)
    """Gives the fine structure of spoken mels so much of the recordings' spread (`nn.detail`), 1 all of it, measured
    when a model is exported. The mels of given latents stay as they are."""
    postfilter: PostfilterConfig | None = None
    """A network that spoken mels go through last, after `match_spread`; the mels of given latents do not. It is the
    identity until `objective.postfilter` has trained it. Needs `standardize`."""
    log_scale_limit: float | None = Field(default=None, gt=0.0)
    """Bounds the log scale of a step smoothly, as limit * tanh(raw / limit); None, as in the paper: not."""
    attention_window: tuple[int, int] | None = None
    """Tokens behind and before its place that the attention may look at when speaking, and it never goes back; None, as
    in the paper: all of them, always. See `sampling.Guide`."""
    attention_temperature: float = Field(default=1.0, gt=0.0)
    """When speaking: below 1 the attention is sharper."""
    best_of: int = Field(default=1, ge=1)
    """Draws when speaking, of which the one is kept whose attention went best."""
    variation: float = Field(default=0.5, ge=0.0)
    """Default `--variation`: standard deviation of the latent when speaking."""

    @model_validator(mode="after")
    def _fits_together(self) -> "FlowtronConfig":
        if self.attention_window is not None and not (self.attention_window[0] >= 0 < self.attention_window[1]):
            raise ValueError(f"attention_window {self.attention_window}: expected at least (0, 1)")
        if self.pitch and not (self.text_mean_channels and self.standardize):
            raise ValueError("pitch needs text_mean_channels above 0 and standardize: the text's mean is for a pitch")
        if self.postfilter is not None and not self.standardize:
            raise ValueError("postfilter needs standardize: it works on standardised mels")
        prior = self.prior
        if isinstance(prior, MixturePriorConfig) and prior.means == "fixed" and prior.num_components > self.mel.n_mels:
            raise ValueError(
                f"prior.num_components {prior.num_components} with fixed means, which have a band each: the mel has "
                f"{self.mel.n_mels} bands; take fewer, or prior.means=learned"
            )
        if self.directions is not None and len(self.directions) != self.num_flows:
            raise ValueError(
                f"directions names {len(self.directions)} flows, num_flows is {self.num_flows}: they must agree"
            )
        return self

    @property
    def has_speaker_table(self) -> bool:
        return self.speaker_channels > 0 and (self.speaker_table != "several" or self.num_speakers > 1)

    @property
    def memory_channels(self) -> int:
        """Width of a token's state with the speaker vector beside it."""
        return self.text_encoder.channels + (self.speaker_channels if self.has_speaker_table else 0)

    @property
    def bands(self) -> int:
        """Of a frame, as of the latent: the mel's, and that of the pitch."""
        return self.mel.n_mels + self.pitch

    @property
    def flow_directions(self) -> tuple[Direction, ...]:
        """Of each flow, from the mel to the latent."""
        alternating: tuple[Direction, ...] = ("forward", "backward")
        return self.directions or tuple(alternating[index % 2] for index in range(self.num_flows))


class PostfilterObjectiveConfig(MelGameConfig):
    """How the postfilter learns (`postfilter_game`)."""

    variation: tuple[float, float] = (0.15, 0.45)
    """Least and greatest standard deviation of the latents that the model says the recordings' texts with; drawn for
    each batch."""


class FlowtronObjectiveConfig(Config):
    """The loss: likelihood, gate, and three helps that make the attention align (specification, section 6)."""

    trained_parts: tuple[str, ...] = ()
    """Names of the model's parts to train (`speaker_embedding`, `flows.1.step.gate`), the others are frozen; empty:
    all."""
    postfilter: PostfilterObjectiveConfig | None = None
    """Trains the postfilter and nothing else, against a discriminator; all other losses are left out."""
    alignment: Literal["given", "search", "none"] = "none"
    """Where the path of the path term comes from: `given`, the aligner's durations; `search`, the best path through the
    attention itself; `none`: there is no path term."""
    gate_weight: float = Field(default=1.0, ge=0.0)
    gate_positive_weight: float = Field(default=1.0, gt=0.0)
    """How much more the one frame at which to stop counts in the gate's loss than each of the others."""
    gate_trunk_from: int | None = 0
    """Step from which the gate's loss reaches what the gate reads; None: it only ever teaches the gate itself."""
    forward_sum_weight: float = Field(default=0.01, ge=0.0)
    forward_sum_start: int = Field(default=0, ge=0)
    """Step from which the forward-sum loss counts."""
    blank_logit: float = -8.0
    """Of a frame that belongs to no token, in the forward-sum loss."""
    path_weight: float = Field(default=1.0, ge=0.0)
    path_final_weight: float = Field(default=0.1, ge=0.0)
    """What the path term's weight falls to while the prior is annealed away."""
    prior: bool = True
    """Whether the beta-binomial prior helps the attention at first."""
    prior_scale: float = Field(default=1.0, gt=0.0)
    """Larger is narrower around the diagonal."""
    prior_hold_steps: int = Field(default=200_000, ge=0)
    """Steps with the whole prior. Speaking has none, so it must be gone long before the end."""
    prior_anneal_steps: int = Field(default=50_000, ge=0)
    """Steps after these in which its factor falls to 0."""
    text_mean_weight: float = Field(default=1.0, ge=0.0)
    """Of the mean square that the text mean leaves of the standardised mel, where the model has one."""
    pitch_dither: float = Field(default=0.005, ge=0.0)
    """Standard deviation of what is added to log F0 in training, where the model has one: it is a straight line where
    nothing is voiced, of which a density would be infinite."""
    frame_dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of the frames (groups) that are hidden from the LSTMs, which must then ask the text. The affine map keeps
    the true ones, so the likelihood stays a true one."""

    def prior_factor(self, step: int) -> float:
        """Of the log prior at a step: 1, then down to 0."""
        if not self.prior:
            return 0.0
        past = step - self.prior_hold_steps
        if past <= 0:
            return 1.0
        return max(0.0, 1.0 - past / self.prior_anneal_steps) if self.prior_anneal_steps else 0.0

    def path_weight_at(self, step: int) -> float:
        """Of the path term at a step."""
        past = step - self.prior_hold_steps
        fallen = min(max(past / self.prior_anneal_steps, 0.0), 1.0) if self.prior_anneal_steps else float(past > 0)
        return self.path_weight + fallen * (self.path_final_weight - self.path_weight)
