"""Settings of the aligner."""

from typing import Annotated, Literal

from pydantic import Field

from moksori.audio.mel import MEL_22KHZ, MelConfig
from moksori.config import Config
from moksori.text.tokenizer import TextConfig


class MelStates(Config):
    """Each token's sound as one or two mel frames, matched by squared error."""

    kind: Literal["mel_states"] = "mel_states"
    channels: int = 128
    num_layers: int = 2
    kernel_size: int = 5
    shared_silence: bool = True
    """A gap or punctuation mark may also sound like the end of the recording. Most gaps of connected speech are no
    silence, and a state that learnt them does not hold a long pause, which the words beside it then get."""


class ForwardSum(Config):
    """Tokens and mel frames encoded into one space, matched by distance; trained on all monotonic paths at once."""

    kind: Literal["forward_sum"] = "forward_sum"
    channels: int = 80
    """Of the space in which tokens and frames meet."""
    text_channels: int = 256
    mel_channels: int = 160
    text_kernels: tuple[int, ...] = (3, 1, 1)
    """Widths of the convolutions over tokens, first to last; odd."""
    mel_kernels: tuple[int, ...] = (3, 1, 1)
    """Widths of the convolutions over frames, first to last; odd. Wide ones blur boundaries."""
    temperature: float = Field(0.05, gt=0)
    """Factor of the squared distance in the logits."""
    prior_scale: float = Field(1.0, gt=0)
    """Of the beta-binomial prior in training; larger is narrower around the diagonal."""


class AlignerConfig(Config):
    """The aligner: its front ends, and one of two networks."""

    mel: MelConfig = MEL_22KHZ
    text: TextConfig = TextConfig()
    num_speakers: int = 1
    """With more than one, mel_states adds a learned offset per speaker to every state's mel; forward_sum needs none."""
    network: Annotated[MelStates | ForwardSum, Field(discriminator="kind")] = MelStates()


class AlignerObjectiveConfig(Config):
    """How it is trained; each network has its own part."""

    uniform_steps: int = 100
    """mel_states: steps on evenly spread paths; from random states the search would lock onto anything."""
    blank_logit: float = -1.0
    """forward_sum: the logit of belonging to no token."""
    binarisation_start: int = 200
    """forward_sum: step from which the soft alignment is drawn to its best path."""
    binarisation_ramp: int = 200
    """forward_sum: steps over which that loss rises to its weight."""
    binarisation_weight: float = 1.0
