"""`moksori import` and `moksori export`: models of other projects."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    app.command("import")(import_)
    app.command("export")(export)


def import_(
    source: Annotated[Path, typer.Argument(help="The other project's model: its folder, or its file of weights.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The folder to make; its name becomes the model's.")],
    layout: Annotated[
        str | None,
        typer.Option("--format", help="hf, coqui, piper, official, flowtron or amphion.", show_default="found out"),
    ] = None,
) -> None:
    """Bring a model of another project: VITS of transformers, Coqui TTS, Piper or the authors' code, Flowtron of its
    authors' code, NaturalSpeech 2 of Amphion.

    Example: moksori import mms-tts-eng -o eng; moksori say "Hello." --voice eng -o hello.wav
    """
    from moksori.pipeline.import_model import import_model

    made = import_model(source, output, layout)
    manifest = made.manifest
    speakers = f"{len(manifest.speakers)} speakers" if manifest.speakers else "one speaker"
    typer.echo(f"{made.folder}: {made.layout}, {speakers}, language {manifest.language}, {manifest.sample_rate} Hz")
    typer.echo("discriminators included" if made.discriminators else "no discriminators in the source")
    for note in made.notes:
        typer.echo(f"note: {note}")
    typer.echo("the files do not state the licence of the voice: look it up where you got it")


def export(
    name: Annotated[str, typer.Argument(help="A model's name or folder; see 'moksori models'.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The folder to make.")],
    layout: Annotated[
        str,
        typer.Option(
            "--format", help="hf: transformers' VitsModel; onnx: graphs; piper: a voice of Piper; flowtron: a .pt."
        ),
    ],
) -> None:
    """Write a voice in another project's format.

    A graph is compared with the voice under onnxruntime before it is written.

    Example: moksori export kathleen --format piper -o kathleen-piper
    """
    from moksori.pipeline.import_model import export_model

    made = export_model(name, output, layout)
    typer.echo(f"{made.folder}: written as {layout}")
    for note in made.notes:
        typer.echo(f"note: {note}")
