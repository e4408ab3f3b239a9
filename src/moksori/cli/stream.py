"""Speech that leaves while it is made: text from stdin as it arrives, sound to stdout or to the sound device."""

import codecs
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, get_args

import typer

from moksori.errors import BadInput, TextError

if TYPE_CHECKING:
    from moksori.audio.pipe import PipeFormat
    from moksori.pipeline.sentences import Sentence
    from moksori.pipeline.speaker import SayOptions, Speaker

STDIO = "-"
_BLOCK_BYTES = 2**16


def pipe_format(output: Path | None, stream: bool, form: str | None) -> "PipeFormat | None":
    """How sound goes to stdout: `wav` or `pcm`; None where it does not go there.

    Raises BadInput for options that contradict each other, and where nobody can take the sound.
    """
    if not stream and (output is None or str(output) != STDIO):
        if form is not None:
            raise BadInput(f"--format {form}: is for --stream; a file's format is that of its suffix: -o hello.flac")
        return None
    from moksori.audio.pipe import PipeFormat

    if output is not None and str(output) != STDIO:
        raise BadInput(f"--stream: writes to standard output, not to {output}: leave out --stream, or -o {output}")
    formats: tuple[PipeFormat, ...] = get_args(PipeFormat)
    found = next((known for known in formats if known == (form or "wav").lower()), None)
    if found is None:
        raise BadInput(f"--format {form!r}: unknown: take {' or '.join(formats)}")
    if sys.stdout is None:
        raise BadInput("--stream: standard output is closed: pipe it into a player or a file")
    if sys.stdout.isatty():
        raise BadInput("--stream: standard output is a terminal: pipe it (... | aplay), or name a file: -o hello.wav")
    return found


def is_stdin(text: str | None, file: Path | None) -> bool:
    """Whether the text comes from stdin, by leaving it out or as `-`."""
    return text in (None, STDIO) and (file is None or str(file) == STDIO)


@contextmanager
def spoken_as_read(
    model: "Speaker", open_text: Callable[[], TextIO] | None, options: "SayOptions", ssml: bool | None
) -> "Iterator[Iterable[Sentence]]":
    """The sentences of a text that is there, checked before the first is spoken, or of stdin (None) as they arrive."""
    from moksori.pipeline import say as speaking

    language = options.language or model.language_of(options.speaker)
    if open_text is None:
        yield speaking.arriving(_stdin_parts(), language, ssml)
        return
    with open_text() as source:
        model.check(speaking.readings(source, language, ssml), options)
    with open_text() as source:
        yield speaking.readings(source, language, ssml)


def write_to_stdout(
    model: "Speaker",
    open_text: Callable[[], TextIO] | None,
    options: "SayOptions",
    seed: int | None,
    ssml: bool | None,
    form: "PipeFormat",
    timings: Path | None,
    watermark: bool = False,
) -> None:
    """Speaks to stdout; what there is to tell goes to stderr."""
    from moksori.audio.pipe import write_pipe
    from moksori.pipeline import say as speaking
    from moksori.pipeline.watermark import in_file

    seed = speaking.chosen_seed(seed)
    with spoken_as_read(model, open_text, options, ssml) as texts:
        stream = speaking.SpeechStream(model, texts, options, seed)
        if form == "pcm":
            _tell(f"stdout: signed 16-bit little-endian samples, {stream.sample_rate} Hz, one channel")
        said = speaking.synthetic_metadata(model.name, seed)
        blocks, tags = in_file(stream, stream.sample_rate, said, watermark)
        write_pipe(blocks, stream.sample_rate, sys.stdout.buffer, form, tags)
    if timings is not None:
        stream.save_timings(timings)
    _tell(f"stdout: {stream.duration_seconds:.2f} s of speech, seed {seed}")


def _tell(line: str) -> None:
    typer.echo(line, err=True)


def _stdin_parts() -> Iterator[str]:
    """Text from stdin, as much as there is each time."""
    source: Any = sys.stdin.buffer
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    position = 0
    while data := source.read1(_BLOCK_BYTES):
        held = len(decoder.getstate()[0])
        try:
            text = decoder.decode(data)
        except UnicodeDecodeError as error:
            raise _no_text(position - held + error.start) from error
        position += len(data)
        if text:
            yield text
    if held := len(decoder.getstate()[0]):
        raise _no_text(position - held)


def _no_text(place: int) -> TextError:
    return TextError(f"stdin: no UTF-8 text at byte {place}: convert it (iconv -t utf-8)")
