"""Settings of the aligner."""

from moksori.audio.mel import MEL_22KHZ, MelConfig
from moksori.config import Config
from moksori.text.tokenizer import TextConfig


class AlignerConfig(Config):
    """The network: it says what each part of each token sounds like, and nothing more."""

    mel: MelConfig = MEL_22KHZ
    text: TextConfig = TextConfig()
    channels: int = 128
    num_layers: int = 2
    kernel_size: int = 5
    num_speakers: int = 1
    """With more than one, a learned offset per speaker is added to every state's mel."""


class AlignerObjectiveConfig(Config):
    """How it is trained."""

    uniform_steps: int = 100
    """Steps on evenly spread paths, before the search is trusted: from random states it would lock onto anything."""
