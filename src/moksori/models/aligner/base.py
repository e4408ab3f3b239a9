"""What both networks of the aligner have in common, and all that the rest of the toolkit asks of them."""

from abc import ABC, abstractmethod

from jaxtyping import Float, Int
from torch import Tensor, nn

from moksori.audio.mel import MelSpectrogram
from moksori.models.aligner.config import AlignerConfig
from moksori.nn.standardize import Standardize
from moksori.types import SpeechBatch


class Aligner(nn.Module, ABC):
    """Frames of each token of a text in its recording."""

    def __init__(self, config: AlignerConfig) -> None:
        super().__init__()
        self.config = config
        self.front_end = MelSpectrogram(config.mel)
        self.standardize = Standardize(config.mel.n_mels)

    @property
    def sample_rate(self) -> int:
        """Of the recordings, in Hz."""
        return self.config.mel.sample_rate

    @property
    def hop_length(self) -> int:
        """Samples of a frame."""
        return self.config.mel.hop_length

    def mel(self, batch: SpeechBatch) -> Float[Tensor, "batch mels frames"]:
        """Standardised log-mel of the recordings."""
        return self.standardize(self.front_end(batch.waveform))

    def frame_lengths(self, batch: SpeechBatch) -> Int[Tensor, " batch"]:
        return batch.waveform_lengths // self.config.mel.hop_length

    @abstractmethod
    def minimum_frames(self, tokens: Int[Tensor, "*batch tokens"]) -> Int[Tensor, "*batch"]:
        """Fewest frames that can hold these tokens (without padding); shorter recordings have no alignment."""

    @abstractmethod
    def align(self, batch: SpeechBatch) -> Int[Tensor, "batch tokens"]:
        """Frames of each token; the sum over an item is its number of frames.

        Raises AlignmentError where a recording is too short for its text.
        """

    @abstractmethod
    def misfit(self, batch: SpeechBatch) -> Float[Tensor, " batch"]:
        """How badly each recording fits its text, in the network's own unit; comparable within one trained network."""

    @abstractmethod
    def log_likelihood(self, batch: SpeechBatch) -> Float[Tensor, " batch"]:
        """Mean log-likelihood of a frame along the best path in nats, up to a constant of the network.

        Only its differences mean something: between recordings or texts, within one trained network.
        """
