"""What the studies of ablations print in the end."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from moksori.pipeline.ablation_report import Column
    from moksori.pipeline.ablations import Ablations


def tell(study: "Ablations", columns: "Mapping[str, Column]", page: Path, picture: Path) -> None:
    """The tables, what was stopped, and the files."""
    from moksori.pipeline.ablation_report import differences, table

    lost = differences(study, columns)
    for line in [*table(study, columns), *([""] if lost else []), *lost]:
        typer.echo(line)
    for trained in study.runs:
        if trained.failure:
            typer.echo(f"{trained.name}: stopped: {trained.failure}")
    typer.echo(f"wrote {study.folder / study.design.result_name}, {page} and {picture}")
