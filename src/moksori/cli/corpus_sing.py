"""`moksori corpus sing`: songs out of a corpus of speech."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from moksori.cli.progress import progress_bar

if TYPE_CHECKING:
    from moksori.pipeline.sing_corpus import SungReport

_NAMED = 6
"""Of those with too little speech; a corpus may have hundreds."""


def sing(
    corpus: Annotated[Path, typer.Argument(help="A corpus of speech with texts.", show_default=False)],
    target: Annotated[Path, typer.Argument(metavar="DST", help="A new folder for the songs.", show_default=False)],
    minutes: Annotated[
        float, typer.Option(help="Of training songs, of all singers together; other splits get a tenth of it each.")
    ] = 20.0,
    rate: Annotated[int, typer.Option(help="Sample rate of the songs in Hz.")] = 16000,
    seed: Annotated[int, typer.Option(min=0, help="Of recordings, melodies and ways of singing.")] = 0,
    singer: Annotated[
        list[str] | None,
        typer.Option("--singer", "--speaker", help="A speaker of the corpus; repeat it. All without it."),
    ] = None,
    range_: Annotated[
        list[str] | None,
        typer.Option("--range", metavar="NAME=LOW-HIGH", help="A singer's range, such as ann=A3-E5; repeat it."),
    ] = None,
    key: Annotated[
        list[str] | None, typer.Option("--key", metavar="NAME=KEY", help="A singer's key, such as ann=G; repeat it.")
    ] = None,
    redo: Annotated[bool, typer.Option("--redo", help="Replace what DST holds of other settings.")] = False,
) -> None:
    """Make singing of read speech: melodies and rhythms are made up, the voice is the reader's.

    Example: moksori corpus sing corpora/kathleen corpora/sung --minutes 10 --range kathleen=A3-E5 --key kathleen=G
    """
    from moksori.pipeline.sing_corpus import sing_corpus

    with progress_bar("singing") as progress:
        report = sing_corpus(
            corpus, target, minutes, rate, seed, singer or (), _by_singer("--range", range_ or ()),
            _by_singer("--key", key or ()), redo=redo, progress=progress,
        )  # fmt: skip
    _print(report)
    typer.echo(f"wrote {target}; what is sung when: {target / 'songs.jsonl'}")


def _by_singer(option: str, assignments: Sequence[str]) -> dict[str, str]:
    found = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not (name and equals and value):
            raise typer.BadParameter(f"{option} {assignment}: expected NAME=VALUE")
        found[name] = value
    return found


def _print(report: "SungReport") -> None:
    from rich.console import Console
    from rich.table import Table

    from moksori.corpus.melody import note_name

    table = Table(box=None, pad_edge=False)
    for title in ("singer", "key", "range", "vibrato"):
        table.add_column(title)
    for name, style in report.styles.items():
        vibrato = f"{style.vibrato_hz:.1f} Hz, {style.vibrato_cents:.0f} cents"
        table.add_row(name, style.key.name, f"{note_name(style.low)}-{note_name(style.high)}", vibrato)
    Console(soft_wrap=True).print(table)
    for split, numbers in report.info.counts.items():
        typer.echo(f"{split}: {numbers['utterances']:g} songs, {60 * numbers['hours']:.1f} minutes")
    before = f", {report.made_before} found" if report.made_before else ""
    typer.echo(f"made {report.made} songs{before}")
    if report.short:
        named, more = report.short[:_NAMED], len(report.short) - _NAMED
        others = f" and {more} more" if more > 0 else ""
        typer.echo(f"too little speech for the minutes asked for: {', '.join(named)}{others}")
