"""`moksori say --batch`: a list of texts, a file each."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from moksori.cli.progress import progress_bar
from moksori.errors import BadInput

if TYPE_CHECKING:
    from moksori.pipeline.speaker import SayOptions

_MOST_TOLD = 20


def check_batch_usage(batch: Path | None, engine: str | None, output: Path | None, others: dict[str, object]) -> None:
    """Raises BadInput for options that do not go with a list; others: those of a single text, by their names."""
    if batch is None:
        raise BadInput(f"--engine {engine}: is for a list of texts: add --batch list.tsv")
    for name, given in others.items():
        if given:
            raise BadInput(f"--batch {batch}: {name} is for a single text: leave it out")
    if output is None:
        raise BadInput(f"--batch {batch}: no output: name a folder: -o spoken")
    if output.suffix:
        raise BadInput(f"--batch {batch}: {output} is to be a folder, without a suffix; --format names that of files")


def speak_batch(
    batch: Path,
    folder: Path,
    voice: str | None,
    options: "SayOptions",
    seed: int | None,
    form: str | None,
    engine: str | None,
    watermark: bool,
) -> None:
    """Speaks a list; ends with code 1 where a line could not be spoken."""
    from moksori.pipeline import batch as batches
    from moksori.pipeline.engines import engine as engine_named

    lines = batches.read_list(batch)
    seconds, resumed, failed = 0.0, 0, list[batches.Spoken]()
    chosen = engine_named(engine or "local")
    with progress_bar("speaking") as progress:
        for spoken in batches.speak_list(
            lines, folder, voice=voice, options=options, seed=seed, form=form or "flac", engine=chosen,
            watermark=watermark, progress=progress,
        ):  # fmt: skip
            seconds += spoken.duration_seconds
            resumed += spoken.resumed
            failed += [spoken] if spoken.error else []
    for spoken in failed[:_MOST_TOLD]:
        typer.echo(f"moksori: {batch}:{spoken.line.line}: {spoken.line.name}: {spoken.error}", err=True)
    went_on = f", {resumed} of them there already" if resumed else ""
    typer.echo(f"{folder}: {len(lines) - len(failed)} of {len(lines)} files{went_on}, {seconds:.2f} s of speech")
    if failed:
        raise typer.Exit(1)
