"""`moksori evaluate`: a voice beside the human recordings, in numbers."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from moksori.cli.progress import progress_bar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from moksori.evaluation.report import Group, Report


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
    speaker: Annotated[
        list[str] | None,
        typer.Option(
            "--speaker",
            "--singer",
            help="A speaker of the corpus; repeat it. All that the model knows if not given, or 'all'.",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only the first N sentences of each speaker.", show_default=False)
    ] = None,
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
        typer.Option(
            help="words, opinion, spectrum, speaker, durations or likelihood; repeat it. All if not given.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Measure a voice on a corpus beside the human recordings: word errors, DNSMOS, MCD, F0, durations, speed."""
    from moksori.pipeline.evaluate import evaluate as measured

    if corpus is None:
        raise typer.BadParameter("--corpus is missing: give a corpus made by 'moksori corpus import'")
    if name is not None and model is not None and name != model:
        raise typer.BadParameter(f"two models are named, {name!r} and {model!r}: give one")
    with progress_bar("evaluating") as progress:
        report = measured(
            name or model, corpus, split, limit, seed, speakers=speaker,
            variation=variation, threads=threads, workers=workers, measures=measure, progress=progress,
        )  # fmt: skip
    path = json or Path("evaluations") / f"{report.model}-{report.corpus}-{report.split}.json"
    report.save(path)
    pictures = report.save_pictures(path.with_suffix(".pictures"))
    _print(report)
    typer.echo(f"wrote {path} and {len(pictures)} pictures in {path.with_suffix('.pictures')}")


def _print(report: "Report") -> None:
    several = len(report.groups) > 1
    for group in report.groups:
        if several:
            typer.echo(f"{group.speaker} ({group.language}), {group.n} of {group.of} sentences")
        _print_group(group)
        for line in [*group.summary(report.model), *([""] if several else [])]:
            typer.echo(line)
    if several:
        _print_table([title.replace(" ", "\n") for title in report.header()], report.rows())
    for line in report.summary():
        typer.echo(line)


def _print_group(group: "Group") -> None:
    # Measures down, systems across: a dozen measures do not fit the width of a terminal.
    header, rows = group.header(), group.rows()
    lines = [[title, *(row[place] for row in rows)] for place, title in enumerate(header[1:], start=1)]
    _print_table(["", *(row[0] for row in rows)], lines)


def _print_table(header: "Sequence[str]", rows: "Sequence[Sequence[str]]") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for place, title in enumerate(header):
        table.add_column(title, justify="left" if place == 0 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console = Console()
    # A number that is cut is worse than a line that is too long.
    needed = console.measure(table, options=console.options.update(max_width=1000)).maximum
    Console(width=max(console.width, needed)).print(table)
