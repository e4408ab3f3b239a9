"""Recordings of any length to codes and back, through files and pipes, in memory that does not grow with them."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Float

from moksori.audio.pipe import PipeFormat, read_pipe, write_pipe
from moksori.audio.resample import Resampler
from moksori.audio.stream import write_blocks
from moksori.errors import AudioError, BadInput
from moksori.pipeline.codec import SoundCodec, decoded_metadata, gain_to_level
from moksori.pipeline.codec_files import (
    BLOCK_FRAMES,
    CodecHead,
    MkcReader,
    MkcWriter,
    check_mkc_path,
    check_stages,
    open_mkc,
)
from moksori.pipeline.made_sound import is_same_file, told
from moksori.pipeline.progress import Progress, no_progress
from moksori.pipeline.recordings import level_of, open_sound
from moksori.pipeline.whole_files import written_whole
from moksori.types import LongRecording

LEVEL_SECONDS = 1.0
"""Of what comes through a pipe, its level is that of so much of its beginning: nobody can wait for its end."""

Read = Callable[[int], bytes]
"""Gives at most so many bytes of a pipe, b"" at its end."""


@dataclass(frozen=True)
class CodecWork:
    """What was coded or decoded. bytes: of the codes' file. compute_seconds: of work, reading and writing included."""

    stages: int
    bits_per_second: float
    duration_seconds: float
    bytes: int
    compute_seconds: float

    @property
    def real_time_factor(self) -> float:
        """Seconds of work per second of sound."""
        return self.compute_seconds / self.duration_seconds


@dataclass(frozen=True)
class CodesAhead:
    """Codes that are about to be decoded, after a look at what says whose they are.

    frames, samples: in all, where they are known: those of a file are, those of a pipe are not.
    """

    source: str
    reader: MkcReader
    frames: int | None = None
    samples: int | None = None

    @property
    def head(self) -> CodecHead:
        return self.reader.head


def check_paths(source: str | Path | None, output: Path | None) -> None:
    """Raises AudioError or BadInput unless a sound can be written to `output`, which is not the source itself.

    None is a pipe.
    """
    from moksori.pipeline.say import check_output

    if output is not None:
        check_output(output)
        _refuse_itself(source, output)


def check_code_paths(source: str | Path | None, output: Path | None) -> None:
    """The same for an `.mkc`."""
    if output is not None:
        check_mkc_path(output)
        _refuse_itself(source, output)


def encode_to_file(
    codec: SoundCodec,
    source: str | Path | Read,
    output: str | Path,
    stages: int | None = None,
    progress: Progress = no_progress,
) -> CodecWork:
    """Writes the codes of a recording, whole or not at all.

    source: a wav, flac, ogg, opus or mp3 file, or what reads a wav from a pipe. progress: is told seconds of sound.
    Raises BadInput for a number of stages that there is not or another suffix than `.mkc`, AudioError for a source that
    cannot be read, MoksoriError when the disk is full.
    """
    path = Path(output)
    check_code_paths(None if callable(source) else source, path)
    with written_whole(path) as part, part.open("wb") as file:
        return _encode(codec, source, file, stages, progress, BLOCK_FRAMES)


def encode_to_pipe(
    codec: SoundCodec, source: str | Path | Read, file: BinaryIO, stages: int | None = None
) -> CodecWork:
    """The same to a pipe: what has been coded is written at once."""
    return _encode(codec, source, file, stages, no_progress, 1)


@contextmanager
def codes_ahead(source: str | Path | Read, name: str = "stdin") -> Iterator[CodesAhead]:
    """Codes in a file, which is looked through first, so that nothing is made of one that is damaged; or in a pipe.

    name: of the pipe, for messages. Raises AudioError for what is no `.mkc`, and of a file for any damage.
    """
    if callable(source):
        yield CodesAhead(name, MkcReader(source, name))
        return
    with open_mkc(source) as file:
        looked = MkcReader(file.read, str(source))
        for _ in looked.blocks():
            pass
        file.seek(0)
        yield CodesAhead(str(source), MkcReader(file.read, str(source)), looked.frames, looked.samples)


def decode_to_file(
    codec: SoundCodec,
    codes: CodesAhead,
    output: str | Path,
    stages: int | None = None,
    progress: Progress = no_progress,
) -> CodecWork:
    """Writes the sound of codes as a wav, flac, ogg, opus or mp3 file, by its suffix, whole or not at all.

    stages: of those that the codes have, how many are listened to; None: all. progress: is told seconds of sound.
    Raises CheckpointError for codes of another codec, BadInput for a number of stages that they have not, AudioError
    for another suffix and for damage, MoksoriError when the disk is full.
    """
    path, started = Path(output), time.perf_counter()
    check_paths(codes.source, path)
    sound = _Sound(codec, codes, stages)
    samples = codes.samples or 0
    blocks = told(iter(sound), codec.sample_rate, samples, progress) if samples else iter(sound)
    write_blocks(path, blocks, codec.sample_rate, samples, decoded_metadata(codec.name, sound.bits_per_second))
    return sound.work(started)


def decode_to_pipe(
    codec: SoundCodec, codes: CodesAhead, file: BinaryIO, form: PipeFormat = "wav", stages: int | None = None
) -> CodecWork:
    """The same to a pipe, as it is made: 16-bit samples, behind a wav header or alone (`pcm`)."""
    started = time.perf_counter()
    sound = _Sound(codec, codes, stages)
    write_pipe(sound, codec.sample_rate, file, form, decoded_metadata(codec.name, sound.bits_per_second))
    return sound.work(started)


def _refuse_itself(source: str | Path | None, output: Path) -> None:
    if source is not None and is_same_file(output, source):
        raise BadInput(f"{output}: is the source itself, which would be lost: name another output")


class _Sound:
    """The sound of codes, cut to as many samples as the recording had: the end alone tells how many these are."""

    def __init__(self, codec: SoundCodec, codes: CodesAhead, stages: int | None) -> None:
        codec.check(codes.head, codes.source)
        if stages is not None:
            check_stages(stages, codes.head.stages)
        self.codec, self.codes = codec, codes
        self.stages = codes.head.stages if stages is None else stages
        self.bits_per_second = codes.head.bits_per_second * self.stages / codes.head.stages

    def __iter__(self) -> Iterator[Float[np.ndarray, " block"]]:
        reader, hop = self.codes.reader, self.codes.head.hop_length
        parts = (codes[: self.stages] for codes in reader.blocks())
        held, sent = np.zeros(0, np.float32), 0
        for block in self.codec.sound(parts, self.codes.head.gain, self.codes.frames):
            held = np.concatenate([held, block])
            ready = max(len(held) - hop, 0)  # of the last frame nobody knows yet how much is sound
            if ready:
                yield held[:ready]
            held, sent = held[ready:], sent + ready
        yield held[: reader.samples - sent]

    def work(self, started: float) -> CodecWork:
        reader = self.codes.reader
        seconds = reader.samples / self.codec.sample_rate
        return CodecWork(self.stages, self.bits_per_second, seconds, reader.bytes, time.perf_counter() - started)


def _encode(
    codec: SoundCodec, source: str | Path | Read, file: BinaryIO, stages: int | None, progress: Progress, at_least: int
) -> CodecWork:
    started = time.perf_counter()
    head = codec.head(stages)  # a wrong number of stages is told before anything is read
    recording, gain, counted = _piped(source, codec.sample_rate) if callable(source) else _read(source, codec)
    writer = MkcWriter(file, codec.head(stages, gain), at_least)
    hop, total = codec.model.hop_length, -(-recording.samples // codec.sample_rate)
    for codes in codec.codes(recording, gain, stages):
        writer.push(codes)
        progress(writer.frames * hop // codec.sample_rate, total)
    samples = counted()
    writer.finish(samples)
    seconds = samples / codec.sample_rate
    return CodecWork(head.stages, head.bits_per_second, seconds, writer.bytes, time.perf_counter() - started)


def _read(source: str | Path, codec: SoundCodec) -> tuple[LongRecording, float, Callable[[], int]]:
    """A recording in a file, the gain that it needs, and its samples."""
    opened = open_sound(source, codec.sample_rate)
    return opened.sound, gain_to_level(opened.scan.level), lambda: opened.sound.samples


def _piped(read: Read, sample_rate: int) -> tuple[LongRecording, float, Callable[[], int]]:
    """What comes through a pipe, read once; its samples are known when it has ended."""
    rate, blocks = read_pipe(read, "stdin")
    resampler, count = Resampler(rate, sample_rate), 0

    def resampled() -> Iterator[Float[np.ndarray, " block"]]:
        nonlocal count
        for block in blocks:
            made = resampler.push(block)
            count += len(made)
            yield made
        made = resampler.finish()
        count += len(made)
        yield made

    coming = resampled()
    first = [np.zeros(0, np.float32)]
    while sum(map(len, first)) < LEVEL_SECONDS * sample_rate and (block := next(coming, None)) is not None:
        first.append(block)
    begin = np.concatenate(first)
    if not len(begin):
        raise AudioError("stdin: holds no sample: pipe a longer sound")

    def whole() -> Iterator[Float[np.ndarray, " block"]]:
        yield begin
        yield from coming

    return LongRecording(0, sample_rate, whole), gain_to_level(level_of(begin, sample_rate)), lambda: count
