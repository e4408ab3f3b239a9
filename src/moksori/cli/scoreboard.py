"""`moksori scoreboard`: every model's figures side by side."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from moksori.pipeline.scoreboard import Table

_FOLDER = typer.Option(help="Where the results are, one file a model.")


def register(app: typer.Typer) -> None:
    board = typer.Typer(help="Every model's figures side by side; 'add' takes in a result of 'moksori evaluate'.")
    board.callback(invoke_without_command=True)(show)
    board.command("add")(add)
    app.add_typer(board, name="scoreboard")


def show(
    context: typer.Context,
    folder: Annotated[Path, _FOLDER] = Path("scoreboard"),
    write: Annotated[
        list[Path] | None,
        typer.Option(help="Put the tables between the two marker lines of this file; repeat it.", show_default=False),
    ] = None,
) -> None:
    """Print the scoreboard, or write its tables into README.md."""
    if context.invoked_subcommand is not None:
        return

    from moksori.pipeline.scoreboard import read_all, tables, write_tables

    if not write:
        for table in tables(read_all(folder)):
            _print(table)
        return
    for path in write:
        changed = write_tables(path, folder)
        typer.echo(f"{path}: {'written' if changed else 'is up to date'}")


def add(
    result: Annotated[Path, typer.Argument(help="JSON that 'moksori evaluate' wrote.")],
    folder: Annotated[Path, _FOLDER] = Path("scoreboard"),
    replace: Annotated[
        bool, typer.Option("--replace", "--force", help="Also where something gets worse or cannot be compared.")
    ] = False,
) -> None:
    """Take a result in; a better one that is there already stays, unless --replace is given."""
    from moksori.pipeline.scoreboard import add as added

    done = added(result, folder, replace)
    for line in done.changes:
        typer.echo(f"{done.model}, {done.task}: {line}")
    if done.worse:
        typer.echo(f"moksori: replaced all the same: {'; '.join(done.worse)}", err=True)
    typer.echo(f"wrote {done.path}")


def _print(table: "Table") -> None:
    from rich.console import Console
    from rich.table import Table as Grid

    grid = Grid(box=None, pad_edge=False, title=table.title, title_justify="left")
    for place, title in enumerate(table.header):
        grid.add_column(title.replace(" ", "\n"), justify="left" if place < 2 else "right", no_wrap=True)
    for place, row in enumerate(table.rows):
        grid.add_row(*row, style="bold" if place in table.strong else None)
    console = Console()
    needed = console.measure(grid, options=console.options.update(max_width=1000)).maximum
    Console(width=max(console.width, needed)).print(grid)
    typer.echo()
