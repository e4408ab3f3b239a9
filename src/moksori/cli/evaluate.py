"""`moksori evaluate`: a voice beside the human recordings, in numbers."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from moksori.cli.progress import progress_bar

if TYPE_CHECKING:
    from moksori.evaluation.report import Report


def register(app: typer.Typer) -> None:
    app.command("evaluate")(evaluate)


def evaluate(
    name: Annotated[
        str | None, typer.Argument(help="A model's name or folder; the default voice if not given.", show_default=False)
    ] = None,
    corpus: Annotated[
        Path | None, typer.Option(help="A corpus made by 'moksori corpus import'.", show_default=False)
    ] = None,
    model: Annotated[str | None, typer.Option("--model", "--voice", help="The same as NAME.")] = None,
    split: Annotated[str, typer.Option(help="Which sentences.")] = "test",
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N sentences.", show_default=False)] = None,
    json: Annotated[
        Path | None,
        typer.Option(
            help="Where the figures go, pictures beside them; evaluations/NAME-CORPUS-SPLIT.json if not given."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the model's noise and of the intervals.")] = 0,
    variation: Annotated[float | None, typer.Option(help="0 = no noise; the model's own if not given.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the model, stated with its speed.")] = 1,
    workers: Annotated[int, typer.Option(min=1, max=8, help="Processes that score.")] = 1,
    measure: Annotated[
        list[str] | None,
        typer.Option(help="words, opinion, spectrum or speaker; repeat it. All if not given.", show_default=False),
    ] = None,
) -> None:
    """Measure a voice on a corpus beside the human recordings: word errors, DNSMOS, MCD, F0, speed."""
    from moksori.pipeline.evaluate import evaluate as measured

    if corpus is None:
        raise typer.BadParameter("--corpus is missing: give a corpus made by 'moksori corpus import'")
    if name is not None and model is not None and name != model:
        raise typer.BadParameter(f"two models are named, {name!r} and {model!r}: give one")
    with progress_bar("evaluating") as progress:
        report = measured(
            name or model, corpus, split, limit, seed,
            variation=variation, threads=threads, workers=workers, measures=measure, progress=progress,
        )  # fmt: skip
    path = json or Path("evaluations") / f"{report.model}-{report.corpus}-{report.split}.json"
    report.save(path)
    pictures = report.save_pictures(path.with_suffix(".pictures"))
    _print(report)
    typer.echo(f"wrote {path} and {len(pictures)} pictures in {path.with_suffix('.pictures')}")


def _print(report: "Report") -> None:
    from rich.console import Console
    from rich.table import Table

    # Measures down, systems across: a dozen measures do not fit the width of a terminal.
    header, rows = report.header(), report.rows()
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for row in rows:
        table.add_column(row[0], justify="right")
    for place, title in enumerate(header[1:], start=1):
        table.add_row(title, *(row[place] for row in rows))
    Console().print(table)
    for line in report.summary():
        typer.echo(line)
