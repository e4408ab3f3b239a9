"""`moksori evaluate`: what a model makes beside human recordings, in numbers."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from moksori.cli.options import SpeakerEncoder, WhoListens
from moksori.cli.progress import progress_bar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from moksori.evaluation.report import Group, Report


_JUDGEMENTS = "judgements.jsonl"
"""Beside the results: what judges said of which sound, so that none is judged twice."""


def register(app: typer.Typer) -> None:
    app.command("evaluate")(evaluate)


def evaluate(
    name: Annotated[
        str | None, typer.Argument(help="A model's name or folder; the default voice if not given.", show_default=False)
    ] = None,
    corpus: Annotated[
        Path | None,
        typer.Option(help="A corpus made by 'moksori corpus import'; the task hard needs none.", show_default=False),
    ] = None,
    model: Annotated[str | None, typer.Option("--model", "--voice", help="The same as NAME.")] = None,
    task: Annotated[
        str | None,
        typer.Option(
            help="speak, hard, like, convert, sing, vocode, codec or denoise.",
            show_default="the first that the model can do",
        ),
    ] = None,
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
        int | None,
        typer.Option(min=1, help="Only N sentences of each speaker; other tasks: N recordings.", show_default=False),
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
            help="A group of the task's measures (docs/evaluation.md), such as words or opinion; repeat it. All if "
            "not given.",
            show_default=False,
        ),
    ] = None,
    recogniser: WhoListens = "pocketsphinx",
    encoder: SpeakerEncoder = "resemblyzer",
    targets: Annotated[
        int | None,
        typer.Option(min=1, help="Of each conversion's source.", show_default="2; all of a model's own speakers"),
    ] = None,
    noise: Annotated[
        Path | None,
        typer.Option(help="A folder of noises to lay over recordings.", show_default="made-up coloured noise"),
    ] = None,
    vocoder: Annotated[
        str | None, typer.Option(help="For models that make mels.", show_default="the one that the model names")
    ] = None,
    like: Annotated[
        list[Path] | None,
        typer.Option(help="Who says the hard list: a recording or .voice file, for models that imitate; repeat it."),
    ] = None,
    baseline_voice: Annotated[
        str | None,
        typer.Option(
            help="Task like: who speaks where the baseline speaks, then converts.", show_default="the default"
        ),
    ] = None,
    baseline_converter: Annotated[
        str | None, typer.Option(help="What then converts that to the prompt's voice.", show_default="the default")
    ] = None,
    page: Annotated[
        Path | None, typer.Option(help="Also one HTML page with plots and sounds.", show_default=False)
    ] = None,
    anew: Annotated[
        bool, typer.Option("--anew", help="Judge every sound anew, also those that were judged before.")
    ] = False,
) -> None:
    """Measure what a model can do on a corpus, beside human recordings: words, DNSMOS, voices, pitch, PESQ, speed."""
    from moksori.pipeline.evaluate import evaluate as measured
    from moksori.pipeline.evaluate_settings import Baseline

    if page is not None and page.suffix.lower() not in (".html", ".htm"):
        raise typer.BadParameter(f"--page {page}: expected a name that ends in .html")
    if corpus is None and task != "hard":
        raise typer.BadParameter("--corpus is missing: give a corpus made by 'moksori corpus import'")
    if name is not None and model is not None and name != model:
        raise typer.BadParameter(f"two models are named, {name!r} and {model!r}: give one")
    folder = Path("evaluations") if json is None else json.parent
    with progress_bar("evaluating") as progress:
        report = measured(
            name or model, corpus, split, limit, seed, task=task, speakers=speaker, variation=variation,
            threads=threads, workers=workers, measures=measure, recogniser=recogniser, encoder=encoder,
            memory=None if anew else folder / _JUDGEMENTS, targets=targets, noises=noise, vocoder=vocoder,
            like=like or (), baseline=Baseline(baseline_voice, baseline_converter), progress=progress,
        )  # fmt: skip
    kind = "" if report.task == "speak" else f"-{report.task}"
    path = json or folder / f"{report.model}-{report.corpus}-{report.split}{kind}.json"
    report.save(path)
    pictures = report.save_pictures(path.with_suffix(".pictures"))
    _print(report)
    typer.echo(f"wrote {path} and {len(pictures)} pictures in {path.with_suffix('.pictures')}")
    if page is not None:
        from moksori.evaluation.page import save_page

        save_page(page, report)
        typer.echo(f"wrote {page}")


def _print(report: "Report") -> None:
    from moksori.evaluation.report import bar_lines

    several, speaking = len(report.groups) > 1, report.task == "speak"
    counted = "sentences" if report.task in ("speak", "hard") else "sounds"
    for group in report.groups:
        if several:
            language = f" ({group.language})" if group.language else ""
            typer.echo(f"{group.speaker}{language}, {group.n} of {group.of} {counted}")
        _print_group(group)
        for line in [*group.summary(report.model, report.task, bars=speaking), *([""] if several else [])]:
            typer.echo(line)
    if several:
        _print_table([title.replace(" ", "\n") for title in report.header()], report.rows())
    if report.trials:
        _print_table(report.trials_header(), report.trials_rows())
    for line in [*([] if speaking else bar_lines(report.bars())), *report.summary()]:
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
