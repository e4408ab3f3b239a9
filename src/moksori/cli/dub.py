"""`moksori dub`: subtitles as a sound track that keeps their times."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from moksori.cli.options import Lexicons, Liveliness, Model, Pitch, Seed, SoundOutput, Timings, Volume, Watermark
from moksori.cli.progress import progress_bar
from moksori.errors import BadInput

if TYPE_CHECKING:
    from moksori.pipeline.dub import Trouble

_MOST_TOLD = 20


def register(app: typer.Typer) -> None:
    app.command("dub")(dub)


def dub(
    subtitles: Annotated[Path, typer.Argument(help="Subtitles: .srt or .vtt.")],
    output: SoundOutput = None,
    voice: Model = None,
    speaker: Annotated[str | None, typer.Option("--speaker", help="A speaker of the model.")] = None,
    fastest: Annotated[
        float, typer.Option("--fastest", help="The most that a cue is sped up to fit, as a factor, 1 to 3.")
    ] = 1.5,
    language: Annotated[
        str | None, typer.Option("--language", help="Of the text, as espeak-ng names it.", show_default="the voice's")
    ] = None,
    speed: Annotated[float, typer.Option("--speed", help="Factor; of cues that have time enough.")] = 1.0,
    variation: Liveliness = None,
    pitch: Pitch = 0.0,
    volume: Volume = 0.0,
    lexicon: Lexicons = None,
    timings: Timings = None,
    seed: Seed = None,
    watermark: Watermark = False,
) -> None:
    """Speak subtitles at their times, faster where the words would not fit; tells where that was not enough.

    Examples: moksori dub talk.srt -o track.wav; moksori dub talk.vtt --voice kerstin --fastest 1.8 -o track.flac
    """
    if output is None:
        raise BadInput("no output: name a file: -o track.wav")

    from moksori.pipeline import dub as dubbing
    from moksori.pipeline import say as speaking
    from moksori.pipeline.subtitles import read_subtitles

    speaking.check_output(output)
    if timings is not None:
        speaking.check_timings(timings)
    cues = read_subtitles(subtitles)
    options = speaking.SayOptions(
        speed=speed,
        variation=variation,
        speaker=speaker,
        language=language,
        volume_db=volume,
        lexicon=speaking.read_lexicon(*(lexicon or [])),
        shift_semitones=pitch,
    )
    dubber = dubbing.Dubber(speaking.load(voice), cues, fastest)
    with progress_bar("dubbing") as progress:
        written = dubbing.dub_to_file(
            dubber, output, options=options, seed=seed, timings=timings, watermark=watermark, progress=progress
        )
    for trouble in written.troubles[:_MOST_TOLD]:
        typer.echo(f"moksori: {subtitles}:{_told(trouble)}", err=True)
    if len(written.troubles) > _MOST_TOLD:
        typer.echo(f"moksori: {subtitles}: and {len(written.troubles) - _MOST_TOLD} more cues", err=True)
    went_on = f", went on after {written.resumed}" if written.resumed else ""
    kept = written.cues - len(written.troubles)
    typer.echo(
        f"{written.path}: {written.duration_seconds:.2f} s, {kept} of {written.cues} cues in time{went_on}, "
        f"seed {written.seed}"
    )


def _told(trouble: "Trouble") -> str:
    what = []
    if trouble.late_seconds:
        what.append(f"begins {trouble.late_seconds:.2f} s late")
    if trouble.over_seconds:
        what.append(f"lasts {trouble.over_seconds:.2f} s longer than there is time")
    return f"{trouble.cue.line}: {trouble.cue.text[:40]!r} {' and '.join(what)}: say it shorter, or raise --fastest"
