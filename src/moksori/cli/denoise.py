"""`moksori denoise`: a recording, made anew in its own voice without the noise."""

from pathlib import Path
from typing import Annotated

import typer

from moksori.cli.convert import tell_consent, tell_written
from moksori.cli.options import Seed, SoundOutput, Temperature, Vocoder, Watermark
from moksori.cli.progress import progress_bar
from moksori.errors import BadInput


def register(app: typer.Typer) -> None:
    app.command("denoise")(denoise)


def denoise(
    recording: Annotated[Path, typer.Argument(help="The recording: wav, flac, ogg, opus or mp3, of any length.")],
    output: SoundOutput = None,
    model: Annotated[
        str | None,
        typer.Option("--model", "--voice", help="A model's name or folder.", show_default="the one that imitates"),
    ] = None,
    like: Annotated[
        list[Path] | None,
        typer.Option("--like", help="A clean recording or a .voice file of who speaks in it; may be repeated."),
    ] = None,
    variation: Temperature = None,
    seed: Seed = None,
    vocoder: Vocoder = None,
    watermark: Watermark = False,
) -> None:
    """Clean a recording of speech: it is made anew in its own voice, without what is no speech.

    Examples: moksori denoise noisy.wav -o clean.wav; moksori denoise noisy.wav --like clean_take.wav --model
    naturalspeech2 -o clean.wav
    """
    if output is None:
        raise BadInput("no output: name a file: -o clean.wav")

    from moksori.pipeline import convert as converting

    options = converting.ConvertOptions(variation=variation, like=tuple(like or ()), clean=True)
    converting.check_paths(recording, output, options.like)
    converter = converting.find_converter(model, vocoder=vocoder)
    if like:
        tell_consent()
    with progress_bar("cleaning") as progress:
        written = converting.convert_to_file(converter, recording, output, options, seed, progress, watermark)
    tell_written(written, f"made anew in the voice of {written.speaker}" if like else "made anew in its own voice")
