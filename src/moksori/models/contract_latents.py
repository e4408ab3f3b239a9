"""What codecs promise, and the models whose output is a codec's latents: `models.contract`'s protocols of this kind."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Generator, Tensor

from moksori.types import (
    ConvertControls,
    LatentBatch,
    LongRecording,
    SayControls,
    SpokenLatentBlocks,
    SpokenLatents,
    TextBatch,
)


@runtime_checkable
class CanCompress(Protocol):
    """A codec: sound to codes of residual codebooks, their sum as a latent, and latents back to sound.

    Everything is as in evaluation mode and without gradients. Frames have `hop_length` samples at `sample_rate` Hz.
    stages: codebooks, each of `code_count` entries of `latent_channels` numbers.
    """

    @property
    def sample_rate(self) -> int: ...

    @property
    def hop_length(self) -> int: ...

    @property
    def stages(self) -> int: ...

    @property
    def code_count(self) -> int: ...

    @property
    def latent_channels(self) -> int: ...

    @property
    def look_ahead_frames(self) -> int:
        """Frames of latents that must have come after a frame before its sound can be made."""
        ...

    @property
    def codebooks(self) -> Float[Tensor, "stages codes channels"]:
        """The rows whose sum over the stages is a latent; raw, not standardised."""
        ...

    def compress(
        self, waveform: Float[Tensor, "batch samples"], stages: int | None = None
    ) -> Int[Tensor, "batch stages frames"]:
        """Codes of the first `stages` codebooks, None: of all; frames = ceil(samples / hop_length), zeros follow.

        Raises ValueError for a number of stages that there is not, AudioError where there is no sample.
        """
        ...

    def compress_blocks(
        self, recording: LongRecording, stages: int | None = None
    ) -> Iterator[Int[Tensor, "1 stages frames"]]:
        """What `compress` gives of the whole recording, block by block, in memory that does not grow with it.

        recording: at `sample_rate`.
        """
        ...

    def latents(self, codes: Int[Tensor, "batch stages frames"]) -> Float[Tensor, "batch channels frames"]:
        """The sum of the codebooks' rows; of fewer stages than there are, the sum of those."""
        ...

    def expand(self, latent: Float[Tensor, "batch channels frames"]) -> Float[Tensor, "batch samples"]:
        """The sound of latents, frames * hop_length samples."""
        ...

    def expand_blocks(
        self, blocks: Iterable[Float[Tensor, "1 channels frames"]], frames: int | None = None
    ) -> Iterator[Float[Tensor, "1 samples"]]:
        """What `expand` gives of all blocks together, as soon as it can be made, in memory that does not grow.

        frames: in all blocks together, where that is known. Raises ValueError where there are others than announced.
        """
        ...


@runtime_checkable
class CanShowMels(Protocol):
    """A codec that reads log-mels off latents, of which it then makes sound."""

    def standard_mels(self, latent: Float[Tensor, "batch channels frames"]) -> Float[Tensor, "batch mels frames"]:
        """Of raw latents, with gradients; each band of mean 0 and deviation 1 over the codec's training data.

        Raises UnsupportedTask where this codec makes sound of latents as they are.
        """
        ...


@runtime_checkable
class CanSayLatents(Protocol):
    """A model that turns tokens into latents of a codec, in a voice that it hears for the first time in a prompt.

    prompt: for each item, what the codec makes of some seconds of the voice. Where the text gives `durations` it keeps
    to them. f0: Hz of each frame, 0 where unvoiced, which it keeps to, moved by `controls.shift_semitones`; it goes
    with given durations. prosody: another recording's latents, whose manner the predictors follow instead of the
    prompt's. The same text, prompt and generator's state give the same latents whatever else is in the batch.
    """

    @property
    def sample_rate(self) -> int: ...

    @property
    def hop_length(self) -> int: ...

    @property
    def latent_channels(self) -> int: ...

    def say_latents_like(
        self,
        text: TextBatch,
        prompt: LatentBatch,
        controls: SayControls,
        f0: Float[Tensor, "batch frames"] | None = None,
        prosody: LatentBatch | None = None,
        generator: Generator | None = None,
    ) -> SpokenLatents: ...


@runtime_checkable
class CanStreamLatents(Protocol):
    """A model of `CanSayLatents` whose first latents are there before the last are made; to rounding and what little
    comes from far away the blocks together are what `say_latents_like` gives.

    chunk_frames: frames in the first, second, ... block; the last one holds for all that follow. Whether the input is
    good is found before the first block is asked for.
    """

    def stream_latents_like(
        self,
        text: TextBatch,
        prompt: LatentBatch,
        controls: SayControls,
        chunk_frames: Sequence[int],
        f0: Float[Tensor, "batch frames"] | None = None,
        prosody: LatentBatch | None = None,
        generator: Generator | None = None,
    ) -> SpokenLatentBlocks: ...


@runtime_checkable
class CanConvertLatents(Protocol):
    """A model that makes latents of a codec anew in another voice: what is said stays, and how long it takes.

    target: a prompt of who is to speak; None: nobody in particular, what is no speech goes. own: a prompt of who speaks
    in the source; None: the source itself. `controls.strength`: how far to go from the one to the other;
    `controls.variation`: of the noise that the way back starts from, by how much it is drawn anew, 0 to 1, None: not.
    text: what is said, with durations, f0: the pitch that it is to have; without a text nothing is known of either.
    """

    def convert_latents(
        self,
        source: LatentBatch,
        target: LatentBatch | None,
        own: LatentBatch | None,
        controls: ConvertControls,
        text: TextBatch | None = None,
        f0: Float[Tensor, "batch frames"] | None = None,
        generator: Generator | None = None,
    ) -> LatentBatch: ...
