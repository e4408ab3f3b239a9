"""Sound of any verb that is made while somebody reads it: its blocks, what it is, and its bytes in a format."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float

from moksori.audio.encode import Encoder, StreamFormat
from moksori.errors import BadInput
from moksori.models.contract import CHUNK_FRAMES
from moksori.pipeline.convert import Converter, ConvertOptions, conversion_metadata
from moksori.pipeline.made_sound import MadeSound
from moksori.pipeline.performer import Performer
from moksori.pipeline.recordings import open_recording
from moksori.pipeline.say_options import SayOptions
from moksori.pipeline.seeds import chosen_seed
from moksori.pipeline.sentences import readings
from moksori.pipeline.speech import synthetic_metadata
from moksori.pipeline.speech_timings import SentenceTiming
from moksori.pipeline.streaming import SpeechStream
from moksori.pipeline.together import Together
from moksori.pipeline.watermark import in_file

BUSY_CHUNK_FRAMES = (160,)
"""Frames in the blocks of a stream where others wait: most sentences are one block then, which takes less work in all,
and so everybody waits for less."""
_AT_ONCE_SAMPLES = 1 << 15


@dataclass(frozen=True)
class SoundInProgress:
    """blocks: float32 samples in [-1, 1] at `sample_rate` Hz, made as they are read, once.

    tags: what a file of it says. source: who was taken to speak in a recording. notes: what a person should know.
    sentences: what is heard when, of what is spoken so far; it grows.
    """

    blocks: Iterator[Float[np.ndarray, " block"]]
    sample_rate: int
    model: str
    voice: str
    seed: int
    tags: Mapping[str, str]
    source: str = ""
    notes: tuple[str, ...] = ()
    sentences: Sequence[SentenceTiming] = field(default_factory=list)

    @classmethod
    def spoken(
        cls,
        speaker: Performer,
        text: str,
        options: SayOptions,
        seed: int | None,
        voice: str,
        language: str,
        ssml: bool | None = None,
        chunk_frames: Sequence[int] = CHUNK_FRAMES,
        together: Together | None = None,
    ) -> "SoundInProgress":
        """A text, looked through before its first sample; raises as `Speaker.say` does. together: see SpeechStream."""
        seed = chosen_seed(seed)
        speaker.check(readings(text, language, ssml), options)
        texts = readings(text, language, ssml)
        stream = SpeechStream(speaker, texts, options, seed, chunk_frames, together=together)
        tags = synthetic_metadata(speaker.name, seed, text)
        return cls(stream, stream.sample_rate, speaker.name, voice, seed, tags, sentences=stream.sentences)

    @classmethod
    def converted(
        cls, converter: Converter, recording: Path, options: ConvertOptions, seed: int | None
    ) -> "SoundInProgress":
        """A recording in another voice; raises as `Converter.convert` does."""
        seed = chosen_seed(seed)
        converter.check(options)
        job = converter.job(open_recording(recording, converter.sample_rate), options, seed)
        tags = conversion_metadata(converter.name, seed, job.source_name, job.target.name)
        return cls(
            job.blocks, converter.sample_rate, converter.name, job.target.name, seed, tags, job.source_name, job.notes
        )

    @classmethod
    def made(
        cls, sound: MadeSound, model: str, voice: str, seed: int, tags: Mapping[str, str], notes: tuple[str, ...] = ()
    ) -> "SoundInProgress":
        """Sound that is whole already."""
        starts = range(0, len(sound.samples), _AT_ONCE_SAMPLES)
        blocks = (sound.samples[start : start + _AT_ONCE_SAMPLES] for start in starts)
        return cls(blocks, sound.sample_rate, model, voice, seed, tags, notes=notes)


@dataclass(frozen=True)
class EncodedPart:
    """The next bytes of a sound in progress, perhaps none; samples: that were made for them, at the sound's own rate.

    sentences: those that were begun since the part before.
    """

    data: bytes
    samples: int
    sentences: tuple[SentenceTiming, ...] = ()


class EncodedSound:
    """A sound in progress as the bytes of a file; iterate over `parts`, once.

    heard_rate: Hz, see `Encoder`. most_seconds: more sound than this is refused when it comes to it. watermark: whether
    it is marked, see `pipeline.watermark`. Raises AudioError for a format or rate that does not exist.
    """

    def __init__(
        self,
        sound: SoundInProgress,
        form: StreamFormat,
        heard_rate: int | None = None,
        most_seconds: float = float("inf"),
        watermark: bool = False,
    ) -> None:
        self.sound, self._most = sound, most_seconds
        self._blocks, tags = in_file(self._within_limit(), sound.sample_rate, sound.tags, watermark)
        self._encoder = Encoder(sound.sample_rate, form, tags, heard_rate)
        self.sample_rate = self._encoder.sample_rate
        """Of what is heard, in Hz."""
        self.parts: Generator[EncodedPart, None, None] = self._made()

    def close(self) -> None:
        """Ends it, also where nothing of it was read."""
        self.parts.close()
        if isinstance(self.sound.blocks, SpeechStream):
            self.sound.blocks.close()

    def _made(self) -> Generator[EncodedPart, None, None]:
        told = 0
        try:
            for block in self._blocks:
                begun = tuple(self.sound.sentences[told:])
                told += len(begun)
                yield EncodedPart(self._encoder.push(block), len(block), begun)
            for data in self._encoder.finish():
                yield EncodedPart(data, 0)
        finally:
            self._encoder.close()
            for begun_before in (self._blocks, self.sound.blocks):
                if isinstance(begun_before, Generator | SpeechStream):
                    begun_before.close()

    def _within_limit(self) -> Iterator[Float[np.ndarray, " block"]]:
        left = self._most * self.sound.sample_rate
        for block in self.sound.blocks:
            left -= len(block)
            if left < 0:
                raise BadInput(f"it would last longer than {self._most:g} s, which is the most here: give less")
            yield block
