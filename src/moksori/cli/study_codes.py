"""`moksori study codes`: what a model's codes carry."""

from pathlib import Path
from typing import Annotated

import typer

from moksori.cli.progress import progress_bar


def codes(
    model: Annotated[str, typer.Argument(help="A model with codes: its name or folder.")],
    corpus: Annotated[
        Path | None, typer.Option(help="A corpus made by 'moksori corpus import'.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for codes.json and codes.md.", show_default=False)
    ] = None,
    split: Annotated[str, typer.Option(help="Whose recordings are looked at.")] = "test",
    limit: Annotated[int | None, typer.Option(min=1, help="Recordings of each speaker.", show_default="all")] = None,
) -> None:
    """How many of a model's codes are in use, how many bits a second they are, how well they follow the aligner's
    phones, and how much they tell of who speaks.

    Example: moksori study codes runs/vqvae --corpus corpora/seven -o runs/vqvae/codes
    """
    if corpus is None:
        raise typer.BadParameter("name a corpus: --corpus DST")
    from moksori.corpus.manifest import Corpus
    from moksori.models.checkpoint import load_model
    from moksori.pipeline.code_report import code_report
    from moksori.pipeline.models import find_model

    found = Corpus.open(corpus)
    loaded = load_model(find_model(model))
    with progress_bar("reading") as progress:
        report = code_report(loaded, found, split, limit, progress=progress)
    width = max(len(name) for name, _ in report.rows())
    for name, value in report.rows():
        typer.echo(f"{name:<{width}}  {value}")
    if output is not None:
        typer.echo(f"page: {report.save(output)}")
