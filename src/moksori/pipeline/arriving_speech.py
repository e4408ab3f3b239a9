"""Speech of sentences that come one by one, with any time between them: nothing waits inside for the next one."""

from collections.abc import Generator, Iterator, Sequence

from moksori.audio.encode import Encoder, StreamFormat
from moksori.errors import BadInput
from moksori.models.contract import CHUNK_FRAMES
from moksori.pipeline.performer import Performer, nothing_to_say
from moksori.pipeline.say_options import SayOptions
from moksori.pipeline.sentences import Gap, Sentence
from moksori.pipeline.sound_in_progress import EncodedPart
from moksori.pipeline.speech import synthetic_metadata
from moksori.pipeline.speech_timings import SentenceTiming
from moksori.pipeline.streaming import Block, SpeechStream
from moksori.pipeline.watermark import TAG, Marker


class ArrivingSpeech:
    """What `SpeechStream` gives for all the sentences together, a sentence at a time: `say` each, then `finish`.

    seed: with the same one the same sentences have the same samples, however they came.
    """

    def __init__(
        self, speaker: Performer, options: SayOptions, seed: int, chunk_frames: Sequence[int] = CHUNK_FRAMES
    ) -> None:
        self.speaker, self.seed = speaker, seed
        self.sentences: list[SentenceTiming] = []
        """What is heard when, of the sentences begun so far."""
        self.samples = 0
        self._options, self._chunks, self._number, self._gap = options, chunk_frames, 0, Gap()

    @property
    def sample_rate(self) -> int:
        return self.speaker.sample_rate

    def say(self, sentence: Sentence) -> Iterator[Block]:
        """The sound of the next sentence, the silence before it included; read it to its end before the next."""
        self.speaker.check([sentence], self._options)
        stream = SpeechStream(
            self.speaker, [sentence], self._options, self.seed, self._chunks, self._number, self._gap, whole=False
        )
        start, told = self.samples / self.sample_rate, 0
        for block in stream:
            self.sentences += [timing.shifted(start) for timing in stream.sentences[told:]]
            told = len(stream.sentences)
            self.samples += len(block)
            yield block
        self._number, self._gap = self._number + 1, stream.gap

    def finish(self) -> Block:
        """The silence behind; raises TextError where nothing was spoken."""
        if not self._gap.started:
            raise nothing_to_say("")
        after = self.speaker.silence(self._gap.seconds_at_end(self._options.pause))
        self.samples += len(after)
        return after


class ArrivingSound:
    """The same as the bytes of one file. Arguments as for `sound_in_progress.EncodedSound`."""

    def __init__(
        self,
        speech: ArrivingSpeech,
        form: StreamFormat,
        heard_rate: int | None = None,
        most_seconds: float = float("inf"),
        watermark: bool = False,
    ) -> None:
        self.speech, self._most = speech, most_seconds
        self._marker = Marker(speech.sample_rate) if watermark else None
        tags = synthetic_metadata(speech.speaker.name, speech.seed)
        self._encoder = Encoder(speech.sample_rate, form, {**tags, **TAG} if watermark else tags, heard_rate)
        self.sample_rate = self._encoder.sample_rate
        """Of what is heard, in Hz."""
        self._told = 0

    @property
    def duration_seconds(self) -> float:
        """Of the sound so far."""
        return self.speech.samples / self.speech.sample_rate

    def say(self, sentence: Sentence) -> Generator[EncodedPart, None, None]:
        """The bytes of the next sentence; raises BadInput beyond the limit, otherwise as `Speaker.say` does."""
        for block in self.speech.say(sentence):
            if self.duration_seconds > self._most:
                raise BadInput(f"it lasts longer than {self._most:g} s, which is the most here: give less")
            yield self._part(block)

    def finish(self) -> Generator[EncodedPart, None, None]:
        """The last bytes; raises TextError where nothing was spoken."""
        yield self._part(self.speech.finish())
        if self._marker is not None:
            yield EncodedPart(self._encoder.push(self._marker.finish()), 0)
        for data in self._encoder.finish():
            yield EncodedPart(data, 0)

    def close(self) -> None:
        """Lets go of everything."""
        self._encoder.close()

    def _part(self, block: Block) -> EncodedPart:
        begun: Sequence[SentenceTiming] = self.speech.sentences[self._told :]
        self._told += len(begun)
        heard = block if self._marker is None else self._marker.push(block)
        return EncodedPart(self._encoder.push(heard), len(block), tuple(begun))
