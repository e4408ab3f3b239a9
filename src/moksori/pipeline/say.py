"""Speaking: `load` a voice, `Speaker.say` a text, `speak_to_file` a book, `play` what is spoken."""

import errno
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from moksori.audio.stream import check_suffix, write_blocks
from moksori.errors import BadInput, MissingExtra, MoksoriError, UnsupportedTask
from moksori.models.checkpoint import Loaded, load_model
from moksori.models.contract import CanLowerPrecision
from moksori.nn.conv import arranged_for_inference
from moksori.pipeline.models import find_model
from moksori.pipeline.performer import Performer, nothing_to_say
from moksori.pipeline.progress import Progress, no_progress
from moksori.pipeline.seeds import chosen_seed
from moksori.pipeline.sentences import Sentence, arriving, readings, sentences
from moksori.pipeline.speaker import SayOptions, Speaker
from moksori.pipeline.speech import Speech, synthetic_metadata
from moksori.pipeline.speech_job import SpeechJob
from moksori.pipeline.speech_timings import Durations, Phoneme, SentenceTiming, Word
from moksori.pipeline.streaming import SpeechStream
from moksori.pipeline.timing_files import TimingHeader, check_timings_path, write_timings
from moksori.pipeline.watermark import in_file
from moksori.text.lexicon import Lexicon, LexiconSource, read_lexicon

__all__ = [
    "Durations",
    "Lexicon",
    "Phoneme",
    "SayOptions",
    "Sentence",
    "SentenceTiming",
    "Speaker",
    "Speech",
    "SpeechStream",
    "Word",
    "Written",
    "arriving",
    "chosen_seed",
    "load",
    "play",
    "read_lexicon",
    "readings",
    "sentences",
    "speak_to_file",
    "synthetic_metadata",
]


_LAST_SECONDS = 0.1
"""Of silence at the least, so that a device that stops early takes nothing of the speech."""


@dataclass(frozen=True)
class Written:
    """What `speak_to_file` did.

    compute_seconds: work for the `spoken_seconds` of new sound, so that a resumed job's rate is right.
    resumed: sentences taken over from an interrupted job.
    """

    path: Path
    seed: int
    sentences: int
    duration_seconds: float
    spoken_seconds: float
    compute_seconds: float
    resumed: int

    @property
    def real_time_factor(self) -> float:
        """Seconds of work per second of sound."""
        return self.compute_seconds / self.spoken_seconds if self.spoken_seconds > 0 else 0.0


def load(
    name: str | Path | None = None,
    device: str = "cpu",
    lexicon: LexiconSource | None = None,
    precision: Literal["fp32", "bf16"] = "fp32",
    vocoder: str | Path | None = None,
) -> Speaker:
    """The voice called `name` (a model's name, a family, or a model folder), ready to speak; None is the default voice.

    lexicon: pronunciations for all that the voice says: a mapping of word to IPA or respelling, or lexicon files.
    precision: bf16 is faster where the processor has it, and differs by less than -40 dB. vocoder: for a voice that
    makes mels, a name or folder; None: the one that it names, or one for such mels.
    Raises UnknownName with the nearest names, CheckpointError for a broken folder, UnsupportedTask for a model that
    cannot speak, or not in this precision, BadInput for a precision that does not exist.
    """
    check_precision(precision)
    loaded = load_model(find_model(name), device=device)
    arranged_for_inference(loaded.model)
    lower_precision(loaded, precision)
    return Speaker(loaded, lexicon, vocoder)


def check_precision(precision: str) -> None:
    """Raises BadInput for a precision that does not exist."""
    if precision not in ("fp32", "bf16"):
        raise BadInput(f"precision {precision!r}: expected fp32 or bf16")


def lower_precision(loaded: Loaded, precision: str) -> None:
    """Brings a model to a precision; raises UnsupportedTask where it has only fp32."""
    if precision == "bf16":
        if not isinstance(loaded.model, CanLowerPrecision):
            raise UnsupportedTask(f"{loaded.manifest.name}: cannot speak in bf16: leave the precision out")
        loaded.model.lower_precision()


def speak_to_file(
    speaker: Performer,
    texts: Iterable[Sentence],
    path: str | Path,
    *,
    options: SayOptions | None = None,
    seed: int | None = None,
    timings: str | Path | None = None,
    job: str | Path | None = None,
    progress: Progress = no_progress,
    total: int = 0,
    watermark: bool = False,
) -> Written:
    """Speaks sentences into a wav, flac, ogg, opus or mp3 file, in bounded memory; interrupted, the same call goes on.

    texts: from `readings` or `sentences`. seed: None takes the interrupted job's, or draws one. timings: a file for
    the times of sentences, words and phonemes: .json, .srt, .vtt or .TextGrid. job: the job file, `PATH.job` by
    default; it is there while the job runs, and afterwards only if the job was interrupted. Sentences whose text or
    order changed since are spoken anew. total: sentences in all, for `progress`. watermark: with the inaudible mark
    that `moksori verify` finds.
    The output appears when it is whole, with the bytes that an uninterrupted job would have written (ogg and opus: but
    for the stream number that libsndfile draws for each file).
    Raises TextError if there is nothing to speak, AudioError or BadInput for a path that cannot be written, and
    MoksoriError when the disk is full.
    """
    path = Path(path)
    options = options or SayOptions()
    timings_path = None if timings is None else Path(timings)
    check_output(path)
    if timings_path is not None:
        check_timings(timings_path)
    job_path = path.with_name(path.name + ".job") if job is None else Path(job)
    if job is not None:
        check_folder(job_path)
    fresh = chosen_seed(seed)
    settings = job_settings(speaker, options)
    started = time.perf_counter()
    try:
        with SpeechJob(job_path, settings, seed, fresh) as state:
            resumed = speak_into(state, speaker, texts, options, progress, total)
            spoken = (state.samples - resumed.samples) / speaker.sample_rate
            compute = time.perf_counter() - started
            tail = speaker.silence(state.gap.seconds_at_end(options.pause))
            frames = state.samples + len(tail)
            metadata = synthetic_metadata(speaker.name, state.seed)
            blocks, tags = in_file(_chained(state.blocks(), tail), speaker.sample_rate, metadata, watermark)
            write_blocks(path, blocks, speaker.sample_rate, frames, tags)
            if timings_path is not None:
                header = TimingHeader(speaker.name, state.seed, speaker.sample_rate, frames / speaker.sample_rate)
                write_timings(timings_path, state.timings, header)
            state.remove()
    except OSError as error:
        raise disk_error(path, error) from error
    return Written(path, state.seed, len(state.done), frames / speaker.sample_rate, spoken, compute, resumed.count)


@dataclass(frozen=True)
class Resumed:
    """What a job had already: sentences and samples."""

    count: int
    samples: int


def speak_into(
    state: SpeechJob, speaker: Performer, texts: Iterable[Sentence], options: SayOptions, progress: Progress, total: int
) -> Resumed:
    """Speaks what an open job lacks; returns what it had. Raises TextError if there is nothing to speak."""
    remaining = iter(texts)
    first_new: list[Sentence] = []
    count = 0
    seen = ""
    for sentence in remaining:
        seen = seen or sentence.text
        if count >= len(state.done) or state.done[count].key != state.key(sentence):
            first_new = [sentence]
            break
        count += 1
    state.keep(count)
    had = Resumed(count, state.samples)
    progress(count, total)
    for piece in speaker.pieces(_joined(first_new, remaining), options, state.seed, first=count, gap=state.gap):
        state.add(piece, speaker.sample_rate)
        progress(len(state.done), max(total, len(state.done)) if total else 0)
    if state.samples == 0:
        raise nothing_to_say(seen)
    return had


def play(speaker: Speaker, texts: Iterable[Sentence], options: SayOptions, seed: int) -> float:
    """Speaks through the sound device, which is heard while the rest is made; returns the seconds of sound.

    Raises MissingExtra without the package sounddevice, MoksoriError without a sound device.
    """
    device = _output_stream(speaker.sample_rate)
    stream = SpeechStream(speaker, texts, options, seed)
    with device:
        for block in stream:
            device.write(block[:, None])
        if options.pause < _LAST_SECONDS:
            device.write(speaker.silence(_LAST_SECONDS)[:, None])
    return stream.duration_seconds


def _output_stream(sample_rate: int) -> Any:
    """An open sound device; every way in which there is none ends in one line that names `-o`."""
    try:
        import sounddevice
    except ImportError as error:
        raise MissingExtra("sounddevice", "play", "no output file is named (-o hello.wav), and playing") from error
    except OSError as error:
        raise MoksoriError("no sound system here (PortAudio is missing): name an output file: -o hello.wav") from error
    try:
        return sounddevice.OutputStream(samplerate=sample_rate, channels=1, dtype="float32")
    except (sounddevice.PortAudioError, ValueError) as error:
        raise MoksoriError(f"no sound device to play on ({error}): name an output file: -o hello.wav") from error


def check_output(path: Path) -> None:
    """Raises AudioError or BadInput unless an audio file can be written to `path`; tried before any work is done."""
    check_suffix(path)
    check_folder(path)


def check_timings(path: Path) -> None:
    """Raises BadInput unless timings can be written to `path`: the suffix names a form, and the folder takes files."""
    check_timings_path(path)
    check_folder(path)


def check_folder(path: Path) -> None:
    """Raises BadInput unless a file can be made at `path`."""
    folder = path.parent
    if path.is_dir():
        raise BadInput(f"{path}: is a folder: name a file in it")
    if not folder.is_dir():
        raise BadInput(f"{path}: its folder {folder} does not exist: create it first (mkdir -p {folder})")
    trial = folder / f".{path.name[:100]}.trial"
    try:
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise disk_error(path, error) from error


def job_settings(speaker: Performer, options: SayOptions) -> dict[str, Any]:
    """All that decides the samples of a job, the seed aside."""
    return {**speaker.identity, "sample_rate": speaker.sample_rate, "options": options.as_json()}


def disk_error(path: Path, error: OSError) -> MoksoriError:
    """What to tell a person of a disk that refused."""
    reason = (error.strerror or str(error)).lower()
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return MoksoriError(
            f"{path}: {reason}: free some space and run the same command again, it goes on where it stopped"
        )
    return BadInput(f"{path}: cannot be written: {reason}: choose another folder")


def _joined(first: Iterable[Sentence], rest: Iterator[Sentence]) -> Iterator[Sentence]:
    yield from first
    yield from rest


def _chained(blocks: Iterator[Any], tail: Any) -> Iterator[Any]:
    yield from blocks
    yield tail
