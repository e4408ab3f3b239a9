"""Speech that is heard while it is made: block after block, sentence after sentence, text as it arrives."""

from collections.abc import Generator, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Self

import numpy as np
import torch
from jaxtyping import Float

from moksori.errors import BadInput
from moksori.models.contract import CHUNK_FRAMES, CanStream
from moksori.pipeline.performer import Performer, nothing_to_say
from moksori.pipeline.say_options import SayOptions
from moksori.pipeline.sentences import Gap, Piece, Sentence
from moksori.pipeline.speaker import Finish, Line, Speaker
from moksori.pipeline.speech_timings import SentenceTiming, Word
from moksori.pipeline.timing_files import TimingHeader, write_timings
from moksori.pipeline.together import Together, Turn
from moksori.types import SpokenFlags

Block = Float[np.ndarray, " block"]
_NOTHING = np.zeros(0, np.float32)


class SpeechStream:
    """An iterator over blocks of float32 samples in [-1, 1]; silence between sentences is among them.

    Nothing is made before it is asked for, and no more of the text is read than the next block needs. A model that
    cannot stream gives a block a sentence, and so does the cast of a dialogue.
    texts: sentences as `readings` or `arriving` give them. seed: the blocks together are what `say` gives for it.
    first, gap, whole: of a text that is spoken by several streams, the number of the first of these sentences, the
    state before it, and whether the text ends with them: only then there is silence behind. together: its first
    sentence may be spoken with those of other streams; then it is looked at before it is asked for.
    Raises what `Speaker.pieces` does, and TextError at the end of a text that had nothing to speak.
    """

    def __init__(
        self,
        speaker: Performer,
        texts: Iterable[Sentence],
        options: SayOptions,
        seed: int,
        chunk_frames: Sequence[int] = CHUNK_FRAMES,
        first: int = 0,
        gap: Gap = Gap(),
        whole: bool = True,
        together: Together | None = None,
    ) -> None:
        self.speaker, self.seed = speaker, seed
        self.gap = gap
        """What the silence before the next sentence depends on."""
        self._first, self._whole = first, whole
        self.sentences: list[SentenceTiming] = []
        """What is heard when, of the sentences begun so far; they can be given back to `say` as `durations`."""
        self.samples = 0
        """Samples in the blocks so far."""
        self._options, self._chunks = options, check_chunks(chunk_frames)
        self._turn: Turn | None = None
        lines: Iterable[Line] = ()
        if isinstance(speaker, Speaker):
            lines = speaker.lines(texts, options, seed, first)
            if together is not None and (begun := next(iter(lines), None)) is not None:
                self._turn = together.expect(speaker.model, begun)
                lines = chain([begun], lines)
        self._blocks = self._made(texts, lines)

    @property
    def sample_rate(self) -> int:
        """Of the blocks, in Hz."""
        return self.speaker.sample_rate

    @property
    def duration_seconds(self) -> float:
        """Seconds of sound in the blocks so far."""
        return self.samples / self.sample_rate

    @property
    def timings(self) -> list[Word]:
        """When each word of the sentences begun so far is heard, in seconds from the first sample."""
        return [word for sentence in self.sentences for word in sentence.words]

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Block:
        block = next(self._blocks)
        self.samples += len(block)
        return block

    def save_timings(self, path: str | Path) -> Path:
        """Writes when what was spoken so far is heard: .json, .srt, .vtt or .TextGrid, by the suffix.

        Raises BadInput for another suffix, MoksoriError if the disk refuses; nothing is left half written.
        """
        path = Path(path)
        header = TimingHeader(self.speaker.name, self.seed, self.sample_rate, self.duration_seconds)
        write_timings(path, lambda: self.sentences, header)
        return path

    def close(self) -> None:
        """Ends the stream, and closes the texts where they are a generator's; its sentence waits for nobody more."""
        self._turn = None
        self._blocks.close()

    def _made(self, texts: Iterable[Sentence], lines: Iterable[Line]) -> Generator[Block, None, None]:
        if isinstance(self.speaker, Speaker):
            gap, seen = yield from self._in_chunks(self.speaker, lines)
        else:
            gap, seen = yield from self._by_sentence(texts)
        self.gap = gap
        if not self._whole:
            return
        if not gap.started:
            raise nothing_to_say(seen)
        after = self.speaker.silence(gap.seconds_at_end(self._options.pause))
        if len(after):
            yield after

    def _by_sentence(self, texts: Iterable[Sentence]) -> Generator[Block, None, tuple[Gap, str]]:
        gap, seen = self.gap, ""
        for piece in self.speaker.pieces(texts, self._options, self.seed, self._first, gap):
            seen = seen or piece.sentence.text
            if piece.timing is not None:
                self.sentences.append(piece.timing.shifted(self.duration_seconds))
                yield piece.samples
            gap = gap.after(piece)
        return gap, seen

    def _in_chunks(self, speaker: Speaker, lines: Iterable[Line]) -> Generator[Block, None, tuple[Gap, str]]:
        gap, seen = self.gap, ""
        for line in lines:
            seen = seen or line.sentence.text
            timing = None
            if line.batch is not None:
                start, before = self.duration_seconds, speaker.silence(gap.seconds(self._options.pause))
                if len(before):  # heard while the text is being looked at
                    yield before
                timing, blocks = self._begun(speaker, line, len(before))
                self.sentences.append(timing.shifted(start))
                yield from blocks
            gap = gap.after(Piece(line.number, line.sentence, _NOTHING, timing))
        return gap, seen

    def _begun(self, speaker: Speaker, line: Line, before: int) -> tuple[SentenceTiming, Iterator[Block]]:
        """A sentence once its durations are known: what is heard when, and the sound, still to be made.

        before: samples of silence ahead of it.
        """
        model, batch = speaker.model, line.batch
        flags: tuple[SpokenFlags, ...] = ()
        assert batch is not None
        turn, self._turn = self._turn, None
        along = None if turn is None else turn.take()
        with torch.inference_mode():
            if along is not None:
                length, durations, made = int(along.waveform_lengths[0]), along.durations, iter([along.waveform])
            elif isinstance(model, CanStream):
                spoken = model.stream(batch, line.controls, self._chunks, line.generator)
                length, durations, made = int(spoken.waveform_lengths[0]), spoken.durations, spoken.blocks
            else:
                whole = model.say(batch, line.controls, line.generator)
                length, durations, flags = int(whole.waveform_lengths[0]), whole.durations, whole.flags
                made = iter([whole.waveform[:, :length]])
        return speaker.timing(line, before, length, durations, flags), self._finished(line, made)

    def _finished(self, line: Line, made: Iterator[torch.Tensor]) -> Iterator[Block]:
        finish = Finish(self.speaker.name, line, self.sample_rate)
        for waveform in made:
            block = finish(waveform[0].float().cpu().numpy())
            if len(block):
                yield block
        rest = finish.rest()
        if len(rest):
            yield rest


def check_chunks(sizes: int | Sequence[int]) -> tuple[int, ...]:
    """The sizes as a tuple; raises BadInput unless there is one and each is a whole number of frames from 1 on."""
    given = tuple(sizes) if isinstance(sizes, Iterable) and not isinstance(sizes, str) else (sizes,)
    for size in given:
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise BadInput(f"chunk_frames {size!r}: expected whole numbers of frames from 1 on, such as {CHUNK_FRAMES}")
    if not given:
        raise BadInput(f"chunk_frames is empty: give at least one number of frames, such as {CHUNK_FRAMES}")
    return given
