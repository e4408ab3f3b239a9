"""`moksori convert`: a recording, spoken by somebody else."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from moksori.cli.options import Seed, SoundOutput, Temperature, Vocoder, Watermark
from moksori.cli.progress import progress_bar
from moksori.cli.stream import STDIO, pipe_format
from moksori.errors import BadInput

if TYPE_CHECKING:
    from moksori.audio.pipe import PipeFormat
    from moksori.pipeline.convert import Converter, ConvertOptions, WrittenConversion


def register(app: typer.Typer) -> None:
    app.command("convert")(convert)


def convert(
    recording: Annotated[
        Path,
        typer.Argument(help="The recording: wav, flac, ogg, opus or mp3, of any length; - is a wav on stdin."),
    ],
    speaker: Annotated[
        str | None,
        typer.Option("--speaker", help="Who is to speak, of a model's own speakers.", show_default=False),
    ] = None,
    singer: Annotated[
        str | None,
        typer.Option("--singer", help="Who is to sing: --speaker, and the model for songs.", show_default=False),
    ] = None,
    like: Annotated[
        list[Path] | None,
        typer.Option(
            "--like", help="A recording or a .voice file of who is to speak; may be repeated.", show_default=False
        ),
    ] = None,
    output: SoundOutput = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "--voice",
            help="A model's name or folder.",
            show_default="the one that knows --speaker, or that imitates",
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option("--source", help="Who speaks in the recording, by a name of the model.", show_default="best fit"),
    ] = None,
    strength: Annotated[
        float, typer.Option("--strength", help="With --like: 0 is the recording's own voice, 1 the target's.")
    ] = 1.0,
    text: Annotated[
        str | None,
        typer.Option(
            "--text",
            help="What is said in it: a model that says it anew is taken (naturalspeech2).",
            show_default=False,
        ),
    ] = None,
    language: Annotated[str | None, typer.Option("--language", help="Of --text.", show_default="the model's")] = None,
    variation: Temperature = None,
    pitch: Annotated[float, typer.Option("--pitch", help="Semitones up or down, -12 to 12.")] = 0.0,
    key: Annotated[
        str | None,
        typer.Option(
            "--key", help="Of a song: semitones, -24 to 24, or auto: to where --singer sings.", show_default="as it is"
        ),
    ] = None,
    seed: Seed = None,
    vocoder: Vocoder = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Convert while the sound comes, in short pieces, and write to stdout.")
    ] = False,
    form: Annotated[
        str | None, typer.Option("--format", help="What --stream writes: wav, or pcm (16 bits).", show_default="wav")
    ] = None,
    watermark: Watermark = False,
) -> None:
    """Change who speaks in a recording.

    Examples: moksori convert talk.wav --speaker kathleen -o out.wav; moksori convert talk.wav --like target.wav -o
    out.wav; moksori convert song.wav --singer kathleen --key auto -o out.wav; arecord -t wav -f S16_LE -r 16000 |
    moksori convert - --like target.wav --stream | aplay
    """
    if speaker is not None and singer is not None:
        raise BadInput(f"--speaker {speaker} and --singer {singer}: name one who is to be heard")
    speaker, sings = speaker or singer, singer is not None or key is not None
    if speaker is None and not like:
        raise BadInput(
            "nobody to become: name a speaker of a model, --speaker NAME (see 'moksori info MODEL'), or a recording of "
            "who is to speak, --like target.wav"
        )
    pipe = pipe_format(output, stream, form)
    if pipe is None and str(recording) == STDIO:
        raise BadInput("-: a recording on stdin is converted as it comes: --stream, and stdout to a file or a player")
    if pipe is None and output is None:
        raise BadInput("no output: name a file: -o out.wav")

    from moksori.pipeline import convert as converting

    options = converting.ConvertOptions(
        speaker, source, variation, pitch, tuple(like or ()), strength, _key(key), text=text, language=language
    )
    if pipe is not None:
        _check_live(options)
    else:
        assert output is not None
        converting.check_paths(recording, output, options.like)  # before a model is loaded: told at once
    converter = converting.find_converter(model, speaker, vocoder=vocoder, sings=sings, anew=text is not None)
    converter.check(options)
    if options.like:
        tell_consent()
    if pipe is not None:
        _stream(converter, recording, options, seed, pipe, watermark)
        return
    assert output is not None
    with progress_bar("converting") as progress:
        written = converting.convert_to_file(converter, recording, output, options, seed, progress, watermark)
    change = f"{written.source} to {written.speaker}" if written.source else f"to {written.speaker}"
    tell_written(written, change)


def _key(given: str | None) -> "float | Literal['auto'] | None":
    """What --key says; raises BadInput for what is neither a number nor auto."""
    if given is None or given == "auto":
        return "auto" if given else None
    try:
        return float(given)
    except ValueError as error:
        raise BadInput(f"--key {given!r}: expected semitones, such as +3, or auto") from error


def tell_consent() -> None:
    """Says once, on stderr, that imitating takes consent."""
    from moksori.pipeline.consent import consent_notice

    notice = consent_notice()
    if notice is not None:
        typer.echo(f"moksori: {notice}", err=True)


def tell_written(written: "WrittenConversion", change: str) -> None:
    """The notes on stderr, and one line for what was done."""
    for note in written.notes:
        typer.echo(f"moksori: {note}", err=True)
    typer.echo(
        f"{written.path}: {written.duration_seconds:.2f} s, {change}, "
        f"real-time factor {written.real_time_factor:.3f}, seed {written.seed}"
    )


def _check_live(options: "ConvertOptions") -> None:
    """Raises BadInput for what cannot be done before a recording has ended."""
    if options.strength != 1.0:
        raise BadInput(
            f"--strength {options.strength:g}: the recording's own voice is known at its end only: leave out --stream"
        )
    if options.key == "auto":
        raise BadInput("--key auto: where a song lies is known at its end only: give semitones, or leave out --stream")
    if options.shift_semitones:
        raise BadInput(f"--pitch {options.shift_semitones:g}: with --stream give --key instead")


def _stream(
    converter: "Converter",
    recording: Path,
    options: "ConvertOptions",
    seed: int | None,
    form: "PipeFormat",
    watermark: bool,
) -> None:
    """Converts to stdout; what there is to tell goes to stderr."""
    from moksori.audio.pipe import read_pipe, write_pipe
    from moksori.pipeline.watermark import in_file

    if str(recording) == STDIO:
        if sys.stdin is None or sys.stdin.isatty():
            raise BadInput("no recording on stdin: pipe a wav into it, or name a file")
        read: Any = sys.stdin.buffer
        rate, blocks = read_pipe(read.read1, "stdin")
    else:
        from moksori.audio.io import probe
        from moksori.audio.stream import read_blocks

        rate = probe(recording).sample_rate
        blocks = read_blocks(recording, rate)
    key = options.key if isinstance(options.key, float) else None
    stream = converter.live(blocks, rate, list(options.like), seed, options.variation, options.speaker, key)
    for note in stream.notes:
        typer.echo(f"moksori: {note}", err=True)
    if form == "pcm":
        typer.echo(f"stdout: signed 16-bit little-endian samples, {stream.sample_rate} Hz, one channel", err=True)
    typer.echo(f"stdout: to {stream.target.name}, {stream.delay_seconds:.2f} s behind what comes in", err=True)
    heard, tags = in_file(stream, stream.sample_rate, stream.metadata, watermark)
    write_pipe(heard, stream.sample_rate, sys.stdout.buffer, form, tags)
    typer.echo(f"stdout: {stream.duration_seconds:.2f} s, seed {stream.seed}", err=True)
