"""`moksori say`: speaks a text into a file or through the sound device."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from moksori.cli import manner as manners
from moksori.cli.batch import check_batch_usage, speak_batch
from moksori.cli.convert import tell_consent
from moksori.cli.options import Lexicons, Liveliness, Model, Pause, Pitch, Timings, Vocoder, Volume, Watermark
from moksori.cli.script import cast_of, check_script_usage
from moksori.cli.stream import is_stdin, pipe_format, spoken_as_read, write_to_stdout
from moksori.cli.text_source import check_stdin, text_source
from moksori.errors import BadInput

if TYPE_CHECKING:
    from moksori.pipeline.performer import Performer
    from moksori.pipeline.progress import Progress
    from moksori.pipeline.sentences import Sentence
    from moksori.pipeline.speaker import SayOptions, Speaker

_BAR_FROM_SENTENCES = 4


def register(app: typer.Typer) -> None:
    app.command("say")(say)


def say(
    text: Annotated[
        str | None, typer.Argument(help="What to say; without it, or as '-', the text comes from --file or stdin.")
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="A UTF-8 text file of any length.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="wav, flac, ogg, opus or mp3, by the suffix; - is stdout; without it the sound is played.",
        ),
    ] = None,
    voice: Model = None,
    speaker: Annotated[str | None, typer.Option("--speaker", "--singer", help="A speaker of the model.")] = None,
    language: Annotated[
        str | None, typer.Option("--language", help="Language of the text, as espeak-ng names it.")
    ] = None,
    speed: Annotated[float, typer.Option("--speed", help="Factor; 2 is half as long.")] = 1.0,
    variation: Liveliness = None,
    pause: Pause = None,
    pitch: Pitch = 0.0,
    volume: Volume = 0.0,
    duration_mix: Annotated[
        float | None,
        typer.Option(
            "--duration-mix", help="Share of sampled durations, 0 to 1, in voices that mix.", show_default="its own"
        ),
    ] = None,
    best_of: Annotated[
        int | None,
        typer.Option(
            "--best-of",
            min=1,
            help="Draws of each sentence; kept is what left least of the text out.",
            show_default="its own",
        ),
    ] = None,
    durations: Annotated[
        Path | None, typer.Option("--durations", help="Frames of every phoneme: a --timings x.json, perhaps edited.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="The same seed says the text the same way.", show_default="drawn")
    ] = None,
    timings: Timings = None,
    lexicon: Lexicons = None,
    ssml: Annotated[
        bool | None,
        typer.Option("--ssml/--no-ssml", help="Whether the text is SSML.", show_default="where it starts with <speak"),
    ] = None,
    script: Annotated[
        Path | None, typer.Option("--script", "--dialogue", help="A dialogue, lines of 'name: text'; needs -o.")
    ] = None,
    cast: Annotated[
        list[str] | None,
        typer.Option("--cast", help="Who speaks whom in it: 'Anna=kathleen,Bob=DIR:SPEAKER'; may be repeated."),
    ] = None,
    like: Annotated[
        list[Path] | None,
        typer.Option(
            "--like",
            help="A recording or a .voice file of who is to speak, for models that imitate; may be repeated.",
            show_default=False,
        ),
    ] = None,
    style: manners.Style = None,
    style_text: manners.StyleText = None,
    style_part: manners.StylePart = None,
    style_place: manners.StylePlace = None,
    style_speaker: manners.StyleSpeaker = None,
    style_mode: manners.StyleMode = None,
    style_ramp: manners.StyleRamp = None,
    strength: manners.Strength = None,
    blend: manners.Blend = None,
    blend_way: manners.BlendWay = None,
    component: manners.Component = None,
    component_like: manners.ComponentLike = None,
    component_shift: manners.ComponentShift = None,
    prosody: manners.Prosody = None,
    prosody_speaker: manners.ProsodySpeaker = None,
    vocoder: Vocoder = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Write to stdout while speaking, and speak stdin as it arrives.")
    ] = False,
    form: Annotated[
        str | None,
        typer.Option("--format", help="What --stream writes: wav, or pcm (16 bits); or the suffix of --batch's files."),
    ] = None,
    batch: Annotated[
        Path | None,
        typer.Option("--batch", help="A list, lines of name, tab, text: a file each into the folder -o; see the docs."),
    ] = None,
    engine: Annotated[
        str | None, typer.Option("--engine", help="Who works off --batch: local, or ray.", show_default="local")
    ] = None,
    watermark: Watermark = False,
) -> None:
    """Speak a text.

    Examples: moksori say "Hello." -o hello.wav; moksori say --file chapter.txt -o chapter.flac;
    some-program | moksori say --stream | aplay; moksori say "Hello." --style calm.wav --style-text "So it goes.";
    moksori say "Hello." --like prompt.wav
    """
    pipe = None
    if batch is not None or engine is not None:
        single = {"a text": text, "--file": file, "--script": script, "--cast": cast, "--like": like, "--style": style}
        single |= {"--blend": blend, "--prosody": prosody, "--component": component, "--timings": timings}
        check_batch_usage(
            batch, engine, output, {**single, "--durations": durations, "--stream": stream, "--ssml": ssml}
        )
    else:
        pipe = pipe_format(output, stream, form)
    if script is not None or cast:
        check_script_usage(script, text, file, ssml, output if pipe is None else None)
    at_once = pipe is not None or output is None
    if watermark and pipe is None and output is None:
        raise BadInput("--watermark: what is only played is not kept: name an output file, -o hello.wav")
    if timings is not None and pipe is None and output is None:
        raise BadInput(f"--timings {timings}: needs an output file: -o hello.wav")
    manner = manners.manner_of(
        style or [], style_text or [], style_part or [], style_place or [], style_speaker, style_mode, style_ramp,
        strength, blend, blend_way, component, component_like,
        component_shift or [], None if like else prosody, prosody_speaker, speaker, variation,
    )  # fmt: skip
    if script is not None and (manner is not None or like):
        raise BadInput(f"--script {script}: --like, styles, blends, components and prosody are for a text of one voice")
    open_text = None
    if batch is not None:
        pass
    elif at_once and is_stdin(text, file):
        check_stdin()
    elif script is None:
        open_text = text_source(text, file)

    from moksori.pipeline import say as speaking

    if (
        output is not None and pipe is None and batch is None
    ):  # before the model is loaded: a typing error is told at once
        speaking.check_output(output)
    if timings is not None:
        speaking.check_timings(timings)
    options = speaking.SayOptions(
        speed=speed,
        variation=variation,
        pause_seconds=pause,
        speaker=speaker,
        language=language,
        volume_db=volume,
        lexicon=speaking.read_lexicon(*(lexicon or [])),
        shift_semitones=pitch,
        duration_mix=duration_mix,
        durations=speaking.Durations.of(durations),
        best_of=best_of,
    )
    if batch is not None and output is not None:
        speak_batch(batch, output, voice, options, seed, form, engine, watermark)
        return
    if script is not None and output is not None:
        performers, read = cast_of(script, cast or [], voice, options)
        _write(performers, read, output, options, seed, timings, watermark)
        return
    if like:
        from moksori.pipeline.prompts import find_prompted

        voice = str(find_prompted(voice))
    model = speaking.load(voice, vocoder=vocoder)
    if like or (manner is not None and (style or prosody)):
        tell_consent()
    options = model.in_voice(model.in_manner(options, manner), like or None, prosody if like else None)
    if pipe is not None:
        write_to_stdout(model, open_text, options, seed, ssml, pipe, timings, watermark)
        return
    if output is None or open_text is None:
        _play(model, open_text, options, seed, ssml)
        return
    spoken = language or model.language_of(speaker)

    def sentences() -> "Iterator[Sentence]":
        with open_text() as source:
            yield from speaking.readings(source, spoken, ssml)

    _write(model, sentences, output, options, seed, timings, watermark)


def _write(
    performer: "Performer",
    read: "Callable[[], Iterator[Sentence]]",
    output: Path,
    options: "SayOptions",
    seed: int | None,
    timings: Path | None,
    watermark: bool,
) -> None:
    """Speaks into a file; `read` gives the sentences anew: once to check them, once to speak."""
    from moksori.pipeline import say as speaking

    total = performer.check(read(), options)
    with _bar(total) as progress:
        written = speaking.speak_to_file(
            performer,
            read(),
            output,
            options=options,
            seed=seed,
            timings=timings,
            progress=progress,
            total=total,
            watermark=watermark,
        )
    went_on = f", went on after {written.resumed} sentences" if written.resumed else ""
    typer.echo(
        f"{output}: {written.duration_seconds:.2f} s of speech, real-time factor {written.real_time_factor:.3f}, "
        f"seed {written.seed}{went_on}"
    )


def _play(
    model: "Speaker", open_text: Callable[[], TextIO] | None, options: "SayOptions", seed: int | None, ssml: bool | None
) -> None:
    from moksori.pipeline import say as speaking

    seed = speaking.chosen_seed(seed)
    with spoken_as_read(model, open_text, options, ssml) as texts:
        seconds = speaking.play(model, texts, options, seed)
    typer.echo(f"played {seconds:.2f} s of speech, seed {seed}")


@contextmanager
def _bar(total: int) -> "Iterator[Progress]":
    """A progress bar on stderr for texts of some length, where someone can see it."""
    from moksori.pipeline.progress import no_progress

    if total < _BAR_FROM_SENTENCES or not sys.stderr.isatty():
        yield no_progress
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("speaking"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("sentences"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda done, _total: bar.update(task, completed=done)
