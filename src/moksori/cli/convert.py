"""`moksori convert`: a recording, spoken by somebody else."""

from pathlib import Path
from typing import Annotated

import typer

from moksori.cli.progress import progress_bar
from moksori.errors import BadInput


def register(app: typer.Typer) -> None:
    app.command("convert")(convert)


def convert(
    recording: Annotated[Path, typer.Argument(help="The recording: wav, flac, ogg, opus or mp3, of any length.")],
    speaker: Annotated[
        str | None, typer.Option("--speaker", "--singer", help="Who is to speak.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="wav, flac, ogg, opus or mp3, by the suffix.", show_default=False),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "--voice", help="A model's name or folder.", show_default="the one that knows --speaker"
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option("--source", help="Who speaks in the recording, by a name of the model.", show_default="best fit"),
    ] = None,
    variation: Annotated[
        float | None,
        typer.Option("--variation", help="Noise in what is read off the recording.", show_default="the model's own"),
    ] = None,
    pitch: Annotated[float, typer.Option("--pitch", help="Semitones up or down, -12 to 12.")] = 0.0,
    seed: Annotated[
        int | None, typer.Option("--seed", help="The same seed gives the same sound.", show_default="drawn")
    ] = None,
) -> None:
    """Change who speaks in a recording.

    Example: moksori convert talk.wav --speaker kathleen -o out.wav
    """
    if speaker is None:
        raise BadInput("no speaker: name who is to speak, --speaker NAME (see 'moksori info MODEL')")
    if output is None:
        raise BadInput("no output: name a file: -o out.wav")

    from moksori.pipeline import convert as converting

    options = converting.ConvertOptions(speaker, source, variation, pitch)
    converting.check_paths(recording, output)  # before a model is loaded: a typing error is told at once
    converter = converting.find_converter(model, speaker)
    with progress_bar("converting") as progress:
        written = converting.convert_to_file(converter, recording, output, options, seed, progress)
    for note in written.notes:
        typer.echo(f"moksori: {note}", err=True)
    change = f"{written.source} to {written.speaker}" if written.source else f"to {written.speaker}"
    typer.echo(
        f"{output}: {written.duration_seconds:.2f} s, {change}, "
        f"real-time factor {written.real_time_factor:.3f}, seed {written.seed}"
    )
