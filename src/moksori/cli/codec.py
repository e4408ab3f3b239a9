"""`moksori codec`: recordings to codes of a few kilobits a second, and back."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from moksori.cli.progress import progress_bar
from moksori.cli.stream import STDIO, pipe_format
from moksori.errors import BadInput

if TYPE_CHECKING:
    from moksori.pipeline.codec_streams import CodecWork, Read

codec = typer.Typer(help="Code recordings at a few kilobits a second, and decode them.", no_args_is_help=True)

Model = Annotated[
    str | None, typer.Option("--model", "--voice", help="A codec's name or folder.", show_default="codec")
]


def register(app: typer.Typer) -> None:
    app.add_typer(codec, name="codec")


@codec.command("encode")
def encode(
    recording: Annotated[
        Path, typer.Argument(help="The recording: wav, flac, ogg, opus or mp3, of any length; - is a wav on stdin.")
    ],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="An .mkc file; - is stdout.", show_default=False)
    ] = None,
    model: Model = None,
    stages: Annotated[
        int | None,
        typer.Option("--stages", help="Codebooks to use: fewer take fewer bits.", show_default="all of the codec"),
    ] = None,
) -> None:
    """Code a recording.

    Examples: moksori codec encode talk.wav -o talk.mkc; moksori codec encode talk.wav -o talk.mkc --stages 4; arecord
    -t wav -f S16_LE -r 16000 | moksori codec encode - -o - | ssh there moksori codec decode - -o - | aplay
    """
    if output is None:
        raise BadInput("no output: name an .mkc file (-o talk.mkc), or - for stdout")
    to_pipe, from_pipe = str(output) == STDIO, str(recording) == STDIO
    if to_pipe and (sys.stdout is None or sys.stdout.isatty()):
        raise BadInput("-o -: standard output is a terminal: pipe it, or name a file: -o talk.mkc")
    from moksori.pipeline import codec_streams as coding
    from moksori.pipeline.codec import SoundCodec
    from moksori.pipeline.codecs import find_codec

    coding.check_code_paths(None if from_pipe else recording, None if to_pipe else output)
    source = _stdin("a wav") if from_pipe else recording
    sound_codec = SoundCodec(find_codec(model))
    if to_pipe:
        work = coding.encode_to_pipe(sound_codec, source, sys.stdout.buffer, stages)
    else:
        with progress_bar("coding") as progress:
            work = coding.encode_to_file(sound_codec, source, output, stages, progress)
    _tell("stdout" if to_pipe else str(output), work, sound_codec.name, to_pipe)


@codec.command("decode")
def decode(
    codes: Annotated[Path, typer.Argument(help="An .mkc file; - is one on stdin.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="wav, flac, ogg, opus or mp3, by the suffix; - is stdout.", show_default=False
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "--voice", help="A codec's name or folder.", show_default="the one here that made the codes"
        ),
    ] = None,
    stages: Annotated[
        int | None,
        typer.Option("--stages", help="Listen to the first so many codebooks.", show_default="all that were used"),
    ] = None,
    form: Annotated[
        str | None, typer.Option("--format", help="What stdout gets: wav, or pcm (16 bits).", show_default="wav")
    ] = None,
) -> None:
    """Decode what 'moksori codec encode' has coded.

    Examples: moksori codec decode talk.mkc -o talk.wav; moksori codec decode talk.mkc -o - | aplay
    """
    if output is None:
        raise BadInput("no output: name a sound (-o talk.wav), or - for stdout")
    pipe, from_pipe = pipe_format(output, False, form), str(codes) == STDIO
    from moksori.pipeline import codec_streams as coding
    from moksori.pipeline.codec import SoundCodec
    from moksori.pipeline.codecs import codec_of_file

    coding.check_paths(None if from_pipe else codes, None if pipe else output)
    with coding.codes_ahead(_stdin("an .mkc") if from_pipe else codes) as ahead:
        head = ahead.head
        sound_codec = SoundCodec(codec_of_file(ahead.source, head.name, head.fingerprint, model))
        if pipe is not None:
            work = coding.decode_to_pipe(sound_codec, ahead, sys.stdout.buffer, pipe, stages)
        else:
            with progress_bar("decoding") as progress:
                work = coding.decode_to_file(sound_codec, ahead, output, stages, progress)
    _tell("stdout" if pipe else str(output), work, sound_codec.name, pipe is not None)


@codec.command("info")
def info(codes: Annotated[Path, typer.Argument(help="An .mkc file.")]) -> None:
    """Tell what an .mkc file holds, after checking it whole."""
    from moksori.pipeline import codec_streams as coding

    with coding.codes_ahead(codes) as ahead:
        head, samples = ahead.head, ahead.samples or 0
    seconds = samples / head.sample_rate
    typer.echo(
        f"{codes}: {seconds:.2f} s at {head.sample_rate} Hz, {head.stages} stages of {head.code_count} entries, "
        f"{head.bits_per_second / 1000:.2f} kbit/s, by the codec {head.name} ({head.fingerprint})"
    )


def _stdin(what: str) -> "Read":
    if sys.stdin is None or sys.stdin.isatty():
        raise BadInput(f"nothing on stdin: pipe {what} into it, or name a file")
    source: Any = sys.stdin.buffer
    return source.read1


def _tell(name: str, work: "CodecWork", codec_name: str, on_stderr: bool) -> None:
    stages = f"{work.stages} stage{'' if work.stages == 1 else 's'}"
    typer.echo(
        f"{name}: {work.duration_seconds:.2f} s by {codec_name}, {stages}, {work.bits_per_second / 1000:.2f} kbit/s "
        f"({work.bytes} bytes of codes), real-time factor {work.real_time_factor:.3f}",
        err=on_stderr,
    )
