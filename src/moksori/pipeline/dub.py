"""Dubbing: subtitles spoken at the times where they are shown, faster where the words would not fit."""

import hashlib
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from moksori.audio.stream import write_blocks
from moksori.errors import BadInput
from moksori.pipeline.progress import Progress, no_progress
from moksori.pipeline.say import check_output, check_timings, disk_error, job_settings, speak_into
from moksori.pipeline.say_options import FASTEST, SayOptions
from moksori.pipeline.seeds import chosen_seed
from moksori.pipeline.sentences import Gap, Piece, Sentence
from moksori.pipeline.speaker import Speaker
from moksori.pipeline.speech import synthetic_metadata
from moksori.pipeline.speech_job import SpeechJob
from moksori.pipeline.speech_timings import SentenceTiming
from moksori.pipeline.subtitles import Cue
from moksori.pipeline.timing_files import TimingHeader, write_timings
from moksori.pipeline.watermark import Block, in_file

DEFAULT_FASTEST = 1.5
"""Times the usual speed; faster speech is hard to follow."""
OVERTIME_SECONDS = 0.5
"""A cue may be heard so long after it was shown, where nothing follows by then."""
BREATH_SECONDS = 0.08
"""Of silence between cues at the least."""
_ATTEMPTS = 4
_LATE_SECONDS = 0.05


@dataclass(frozen=True)
class Trouble:
    """A cue whose time could not be kept. late_seconds: it begins after it is shown, since the one before lasts as
    long. over_seconds: it lasts longer than it has room for, at the fastest speed allowed."""

    cue: Cue
    late_seconds: float
    over_seconds: float


@dataclass(frozen=True)
class WrittenDub:
    """What `dub_to_file` did."""

    path: Path
    seed: int
    cues: int
    troubles: Sequence[Trouble]
    duration_seconds: float
    spoken_seconds: float
    compute_seconds: float
    resumed: int


class Dubber:
    """A voice that fits each cue into the time it has; it speaks as a Speaker does, without the silence between.

    fastest: the most that a cue is sped up, as a factor of the options' speed. Raises BadInput outside 1 to 3, and for
    durations, which would decide the time themselves.
    """

    def __init__(self, speaker: Speaker, cues: Sequence[Cue], fastest: float = DEFAULT_FASTEST) -> None:
        if not 1.0 <= fastest <= 3.0:
            raise BadInput(f"fastest {fastest!r}: expected a factor from 1 to 3")
        self._speaker, self.cues = speaker, cues
        self._fastest = fastest if getattr(speaker.model, "changes_speed", True) else 1.0
        limits = [*(then.start_seconds - BREATH_SECONDS for then in cues[1:]), math.inf]
        self.rooms = [_room(cue, limit) for cue, limit in zip(cues, limits, strict=True)]
        """Seconds that each cue may last."""

    @property
    def name(self) -> str:
        return self._speaker.name

    @property
    def sample_rate(self) -> int:
        return self._speaker.sample_rate

    @property
    def identity(self) -> dict[str, object]:
        """What decides how it sounds, the options aside."""
        spans = repr([(round(room, 4)) for room in self.rooms])
        digest = hashlib.sha256(spans.encode()).hexdigest()[:16]
        return {**self._speaker.identity, "rooms": digest, "fastest": self._fastest}

    @property
    def sentences(self) -> list[Sentence]:
        """The cues as what is spoken in one go each."""
        return [Sentence(cue.text) for cue in self.cues]

    def silence(self, seconds: float) -> Float[np.ndarray, " samples"]:
        """Zeros."""
        return self._speaker.silence(seconds)

    def check(self, texts: Iterable[Sentence], options: SayOptions | None = None) -> int:
        """As `Speaker.check`."""
        if options is not None and options.durations is not None:
            raise BadInput("durations: the subtitles decide how long is spoken: leave them out")
        return self._speaker.check(texts, options)

    def pieces(
        self, texts: Iterable[Sentence], options: SayOptions, seed: int, first: int = 0, gap: Gap = Gap()
    ) -> Iterator[Piece]:
        """Cue after cue as sound alone, each at the speed that its room asks for."""
        told = set[str]()
        for number, sentence in enumerate(texts, start=first):
            yield self._fitted(sentence, replace(options, pause_seconds=0.0), seed, number, told)

    def _fitted(self, sentence: Sentence, options: SayOptions, seed: int, number: int, told: set[str]) -> Piece:
        room, most = self.rooms[number] * self.sample_rate, min(options.speed * self._fastest, FASTEST)
        speed = options.speed
        for _ in range(_ATTEMPTS):
            said = replace(options, speed=speed)
            (piece,) = self._speaker.pieces([sentence], said, seed, number, Gap(), told)
            if len(piece.samples) <= room or speed >= most:
                break
            # Sounds are rounded up to whole frames, so that it is a little more than in proportion.
            speed = min(speed * len(piece.samples) / room * 1.02, most)
        return piece


def dub_to_file(
    dubber: Dubber,
    path: str | Path,
    *,
    options: SayOptions | None = None,
    seed: int | None = None,
    timings: str | Path | None = None,
    watermark: bool = False,
    progress: Progress = no_progress,
) -> WrittenDub:
    """Speaks subtitles into a wav, flac, ogg, opus or mp3 file: each cue begins when it is shown, or once the one
    before is over. Interrupted, the same call goes on; memory does not grow with the length.

    seed: None takes the interrupted job's, or draws one. timings: a file for the times of words, see `speak_to_file`.
    watermark: with the mark that `moksori verify` finds. progress: is told cues.
    The output appears when it is whole. Raises as `speak_to_file` does.
    """
    path, options = Path(path), options or SayOptions()
    timings_path = None if timings is None else Path(timings)
    check_output(path)
    if timings_path is not None:
        check_timings(timings_path)
    texts, rate = dubber.sentences, dubber.sample_rate
    dubber.check(texts, options)
    started = time.perf_counter()
    try:
        with SpeechJob(
            path.with_name(path.name + ".job"), job_settings(dubber, options), seed, chosen_seed(seed)
        ) as state:
            had = speak_into(state, dubber, texts, options, progress, len(texts))
            spoken = (state.samples - had.samples) / rate
            placed = _Placed(dubber, [done.samples for done in state.done])
            blocks, tags = in_file(
                placed.blocks(state.pcm_path), rate, synthetic_metadata(dubber.name, state.seed), watermark
            )
            write_blocks(path, blocks, rate, placed.samples, tags)
            if timings_path is not None:
                header = TimingHeader(dubber.name, state.seed, rate, placed.samples / rate)
                write_timings(timings_path, lambda: placed.timings(state.timings()), header)
            state.remove()
    except OSError as error:
        raise disk_error(path, error) from error
    compute = time.perf_counter() - started
    return WrittenDub(path, state.seed, len(texts), placed.troubles, placed.samples / rate, spoken, compute, had.count)


def _room(cue: Cue, limit: float) -> float:
    """Seconds from where a cue begins to where it may end; limit: seconds of the track where the next one needs it."""
    return max(min(cue.end_seconds + OVERTIME_SECONDS, limit), cue.end_seconds) - cue.start_seconds


class _Placed:
    """Where each cue stands in the track; ends: samples of the spoken cues up to the end of each, without silence."""

    def __init__(self, dubber: Dubber, ends: Sequence[int]) -> None:
        self._ends, self._rate = ends, dubber.sample_rate
        self.starts: list[int] = []
        self.troubles: list[Trouble] = []
        rate, free, begun = dubber.sample_rate, 0, 0
        for cue, room, end in zip(dubber.cues, dubber.rooms, ends, strict=True):
            length = end - begun
            start = max(round(cue.start_seconds * rate), free)
            late, over = start / rate - cue.start_seconds, length / rate - room
            if length and (late > _LATE_SECONDS or over > _LATE_SECONDS):
                self.troubles.append(Trouble(cue, max(late, 0.0), max(over, 0.0)))
            self.starts.append(start)
            free = start + length + (round(BREATH_SECONDS * rate) if length else 0)
            begun = end
        last = self.starts[-1] + ends[-1] - (ends[-2] if len(ends) > 1 else 0)
        self.samples = max(last, round(dubber.cues[-1].end_seconds * rate))

    def blocks(self, pcm: Path) -> Iterator[Block]:
        """The track; pcm: the samples of the cues, float32."""
        at = begun = 0
        with pcm.open("rb") as file:
            for start, end in zip(self.starts, self._ends, strict=True):
                yield from _silence(start - at)
                yield np.frombuffer(file.read(4 * (end - begun)), "<f4").astype(np.float32)
                at, begun = start + end - begun, end
        yield from _silence(self.samples - at)

    def timings(self, spoken: Iterable[SentenceTiming]) -> Iterator[SentenceTiming]:
        """When what was spoken is heard in the track."""
        for timing in spoken:
            begun = self._ends[timing.number - 1] if timing.number else 0
            yield timing.shifted((self.starts[timing.number] - begun) / self._rate)


def _silence(samples: int) -> Iterator[Block]:
    while samples > 0:
        yield np.zeros(min(samples, 2**16), np.float32)
        samples -= 2**16
