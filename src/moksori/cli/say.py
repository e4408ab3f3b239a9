"""`moksori say`: speaks a text into a file or through the sound device."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from moksori.errors import BadInput, TextError

if TYPE_CHECKING:
    from moksori.pipeline.progress import Progress
    from moksori.pipeline.speaker import SayOptions, Speaker

_BAR_FROM_SENTENCES = 4
_STDIN = "-"


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
            "-o", "--output", help="wav, flac, ogg, opus or mp3, by the suffix; without it the sound is played."
        ),
    ] = None,
    voice: Annotated[
        str | None, typer.Option("--voice", "--model", help="A model's name or folder; see 'moksori models'.")
    ] = None,
    speaker: Annotated[str | None, typer.Option("--speaker", "--singer", help="A speaker of the model.")] = None,
    language: Annotated[
        str | None, typer.Option("--language", help="Language of the text, as espeak-ng names it.")
    ] = None,
    speed: Annotated[float, typer.Option("--speed", help="Factor; 2 is half as long.")] = 1.0,
    variation: Annotated[
        float | None,
        typer.Option("--variation", help="Liveliness; 0 is the same sound every time.", show_default="the model's own"),
    ] = None,
    pause: Annotated[
        float | None, typer.Option("--pause", help="Seconds between sentences.", show_default="0.25")
    ] = None,
    volume: Annotated[float, typer.Option("--volume", help="Gain in dB.")] = 0.0,
    seed: Annotated[
        int | None, typer.Option("--seed", help="The same seed says the text the same way.", show_default="drawn")
    ] = None,
    timings: Annotated[Path | None, typer.Option("--timings", help="Write when each word is heard, as JSON.")] = None,
    lexicon: Annotated[
        list[Path] | None,
        typer.Option("--lexicon", help="Your pronunciations: lines of word, tab, IPA or respelling; may be repeated."),
    ] = None,
    ssml: Annotated[
        bool | None,
        typer.Option("--ssml/--no-ssml", help="Whether the text is SSML.", show_default="where it starts with <speak"),
    ] = None,
) -> None:
    """Speak a text.

    Examples: moksori say "Hello." -o hello.wav; moksori say --file chapter.txt -o chapter.flac
    """
    if timings is not None and output is None:
        raise BadInput(f"--timings {timings}: needs an output file: -o hello.wav")
    open_text = _source(text, file)

    from moksori.pipeline import say as speaking

    if output is not None:  # before the model is loaded: a typing error is told at once
        speaking.check_output(output)
    options = speaking.SayOptions(
        speed=speed,
        variation=variation,
        pause_seconds=pause,
        speaker=speaker,
        language=language,
        volume_db=volume,
        lexicon=speaking.read_lexicon(*(lexicon or [])),
    )
    model = speaking.load(voice)
    if output is None:
        _play(model, open_text, options, seed, ssml)
        return
    spoken = language or model.language_of(speaker)
    with open_text() as source:
        total = model.check(speaking.readings(source, spoken, ssml))
    with open_text() as source, _bar(total) as progress:
        written = speaking.speak_to_file(
            model,
            speaking.readings(source, spoken, ssml),
            output,
            options=options,
            seed=seed,
            timings=timings,
            progress=progress,
            total=total,
        )
    went_on = f", went on after {written.resumed} sentences" if written.resumed else ""
    typer.echo(
        f"{output}: {written.duration_seconds:.2f} s of speech, real-time factor {written.real_time_factor:.3f}, "
        f"seed {written.seed}{went_on}"
    )


def _play(
    model: "Speaker", open_text: Callable[[], TextIO], options: "SayOptions", seed: int | None, ssml: bool | None
) -> None:
    from moksori.pipeline import say as speaking
    from moksori.pipeline.speaker import chosen_seed

    seed = chosen_seed(seed)
    with open_text() as source:
        seconds = speaking.play(
            model,
            speaking.readings(source, options.language or model.language_of(options.speaker), ssml),
            options,
            seed,
        )
    typer.echo(f"played {seconds:.2f} s of speech, seed {seed}")


def _source(text: str | None, file: Path | None) -> Callable[[], TextIO]:
    """Opens the text, as often as asked; raises before anything is loaded if there is none."""
    import io

    if file is not None and str(file) != _STDIN:
        if text is not None:
            raise BadInput(f"both a text ({text[:30]!r}) and --file {file} are given: give one of them")
        _check_text_file(file)
        return lambda: file.open(encoding="utf-8-sig")
    if text is None or text == _STDIN:
        if sys.stdin is None or sys.stdin.isatty():
            raise BadInput('no text: give it in quotes (moksori say "Hello." -o hello.wav), with --file, or on stdin')
        try:
            text = sys.stdin.buffer.read().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise TextError(f"stdin: no UTF-8 text at byte {error.start}: convert it (iconv -t utf-8)") from error
        where = "stdin"
    else:
        where = "text"
    if not text.strip():
        raise TextError(f"{where}: nothing to say, it is empty: give some words")
    text = text.encode("utf-8", "replace").decode("utf-8")  # bytes of the command line that were no UTF-8
    return lambda: io.StringIO(text)


def _check_text_file(path: Path) -> None:
    """Reads the file through once, in pieces, so that a bad byte in its last line is told before any work."""
    position = 0
    blank = True
    try:
        with path.open(encoding="utf-8-sig") as file:
            while piece := file.read(2**16):
                blank = blank and not piece.strip()
                if "\0" in piece:
                    raise TextError(f"{path}: holds zero bytes, so it is no text: name a UTF-8 text file")
                position += len(piece)
    except UnicodeDecodeError as error:
        raise TextError(f"{path}: no UTF-8 text after {position} characters: convert it (iconv -t utf-8)") from error
    except OSError as error:
        raise TextError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}: check the name") from error
    if blank:
        raise TextError(f"{path}: nothing to say, it is empty: give some words")


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
