"""`moksori sing`: a score, sung in the voice of a recording."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from moksori.cli.convert import tell_consent
from moksori.cli.options import Seed, SoundOutput, Timings, Vocoder, Volume, Watermark
from moksori.cli.progress import progress_bar
from moksori.errors import BadInput, TextError

if TYPE_CHECKING:
    from moksori.pipeline.score import Chords


def register(app: typer.Typer) -> None:
    app.command("sing")(sing)


def sing(
    score: Annotated[Path, typer.Argument(help="One voice and its words: .musicxml, .mxl or .mid.")],
    like: Annotated[
        list[Path] | None,
        typer.Option("--like", help="A recording or a .voice file of who is to sing; speech will do; may be repeated."),
    ] = None,
    output: SoundOutput = None,
    voice: Annotated[
        str | None,
        typer.Option("--voice", "--model", help="A model's name or folder.", show_default="the one that imitates"),
    ] = None,
    lyrics: Annotated[
        str | None,
        typer.Option("--lyrics", help="The words, or a UTF-8 file of them: 'Twin-kle twin-kle lit-tle star'; _ holds."),
    ] = None,
    part: Annotated[
        str | None, typer.Option("--part", help="Name or number of the part.", show_default="the first with lyrics")
    ] = None,
    verse: Annotated[int, typer.Option("--verse", min=1, help="Of the lyrics in the score.")] = 1,
    chords: Annotated[
        str, typer.Option("--chords", help="Of notes that sound together: refuse, highest or lowest.")
    ] = "refuse",
    key: Annotated[str, typer.Option("--key", help="Semitones, or auto: by octaves to where the voice sings.")] = "0",
    speed: Annotated[float, typer.Option("--speed", help="Factor of the tempo, 0.25 to 4.")] = 1.0,
    vibrato: Annotated[float, typer.Option("--vibrato", help="Cents to either side on long notes; 0: none.")] = 25.0,
    variation: Annotated[
        float | None, typer.Option("--variation", help="Liveliness of the sound.", show_default="the model's own")
    ] = None,
    language: Annotated[
        str | None, typer.Option("--language", help="Of the words, as espeak-ng names it.", show_default="the model's")
    ] = None,
    volume: Volume = 0.0,
    seed: Seed = None,
    timings: Timings = None,
    codec: Vocoder = None,
    watermark: Watermark = False,
) -> None:
    """Sing a score.

    Examples: moksori sing song.musicxml --like prompt.wav -o song.wav; moksori sing tune.mid --lyrics "Twin-kle
    twin-kle lit-tle star" --like prompt.wav --key auto -o song.wav
    """
    if not like:
        raise BadInput("nobody to sing: give a recording of who is to sing, --like prompt.wav")
    if output is None:
        raise BadInput("no output: name a file: -o song.wav")

    from moksori.pipeline import say as speaking
    from moksori.pipeline.prompts import find_prompted
    from moksori.pipeline.score import read_score
    from moksori.pipeline.sing import SingOptions
    from moksori.pipeline.sing import sing as sing_score

    speaking.check_output(output)
    if timings is not None:
        speaking.check_timings(timings)
    words = _words(lyrics)
    options = SingOptions(
        part, verse, cast("Chords", chords), words, _key(key), speed, vibrato, variation, language, volume
    )
    if words is None:  # what is wrong with the score is told before a model is loaded
        read_score(score, part, verse, options.chords)
    model = speaking.load(find_prompted(voice), vocoder=codec)
    tell_consent()
    with progress_bar("singing") as progress:
        sung = sing_score(model, score, list(like), options, seed, progress)
    for note in sung.notes:
        typer.echo(f"moksori: {note}", err=True)
    sung.save(output, timings, watermark)
    moved = f", moved by {sung.key:+d} semitones" if sung.key else ""
    typer.echo(f"{output}: {sung.duration_seconds:.2f} s in {len(sung.sentences)} phrases{moved}, seed {sung.seed}")


def _words(lyrics: str | None) -> str | None:
    """Lyrics as given, or those in a file of that name."""
    if lyrics is None:
        return None
    path = Path(lyrics)
    try:
        is_file = path.suffix != "" and path.is_file()
        found = path.read_text(encoding="utf-8-sig") if is_file else lyrics
    except UnicodeDecodeError as error:
        raise TextError(f"{path}: no UTF-8 text at byte {error.start}: convert it (iconv -t utf-8)") from error
    except OSError:  # a text too long for a file name
        found = lyrics
    if not found.strip():
        raise TextError("--lyrics: are empty: give some words")
    return found


def _key(given: str) -> int | Literal["auto"]:
    """What --key says; raises BadInput for what is neither whole semitones nor auto."""
    if given == "auto":
        return "auto"
    try:
        return int(given)
    except ValueError as error:
        raise BadInput(f"--key {given!r}: expected whole semitones, such as -3, or auto") from error
