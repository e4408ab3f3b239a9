"""`moksori train`: a model from a corpus."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from moksori.training.loop import Progress


def register(app: typer.Typer) -> None:
    app.command("train")(train)


def train(
    preset: Annotated[
        str | None,
        typer.Argument(
            help="FAMILY/PRESET such as vits/compact, or a YAML file; left out with --resume, and with --from to adapt."
        ),
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Overrides, such as training.batch_size=8.")
    ] = None,
    corpus: Annotated[Path | None, typer.Option(help="A corpus made by 'moksori corpus import'.")] = None,
    run: Annotated[Path | None, typer.Option(help="Folder of the run; runs/FAMILY-PRESET-CORPUS by default.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --run.")] = False,
    start_from: Annotated[
        str | None,
        typer.Option(
            "--from", help="Adapt this model or run to the corpus; with a preset, take over the weights that fit."
        ),
    ] = None,
    max_minutes: Annotated[float | None, typer.Option(help="Stop after so long; the schedule is fitted to it.")] = None,
    max_steps: Annotated[int | None, typer.Option(help="Stop after so many steps.")] = None,
    processes: Annotated[
        int | None,
        typer.Option(help="Processes that share each batch: as many as cores; 1 by default, with --resume as before."),
    ] = None,
) -> None:
    """Train a model, or adapt one to another voice (--from); Ctrl-C stops it, --resume goes on."""
    from moksori.models.checkpoint import read_manifest
    from moksori.pipeline.model_card import example
    from moksori.pipeline.train import Listener
    from moksori.pipeline.train import train as run_training

    overrides = list(settings or [])
    if preset is not None and "=" in preset:  # with --resume the first positional is an override
        overrides, preset = [preset, *overrides], None
    overrides = _with_end(overrides, max_minutes, max_steps)
    bars = Bars()
    try:
        listener = Listener(bars.stage, bars.progress, bars.step, bars.tell)
        result = run_training(preset, corpus, run, overrides, start_from, resume, listener, processes=processes)
    finally:
        bars.close()
    typer.echo(f"{result.run}: {result.state.step} steps in {result.state.elapsed_seconds / 60:.1f} minutes")
    if result.stopped_early:
        typer.echo(
            f"stopped early: {result.state.validations_since_best} validations brought no better total than step "
            f"{result.state.best_step}; to go on: moksori train --resume --run {result.run} training.patience=null"
        )
    if result.model.is_dir():
        typer.echo(f"model: {result.model}")
        typer.echo(f"use it: {example(read_manifest(result.model), str(result.model))}")
    typer.echo(f"curves, sounds and pictures: tensorboard --logdir {result.run / 'tensorboard'}")


def _with_end(overrides: "Sequence[str]", max_minutes: float | None, max_steps: int | None) -> list[str]:
    """The overrides with what --max-minutes and --max-steps say: whichever of what a person gives comes first ends a
    run, and where only one is given, the preset's other one does not."""
    from moksori.config import override

    ends = {"max_minutes": max_minutes, "max_steps": max_steps}
    given = [f"training.{name}={value}" for name, value in ends.items() if value is not None]
    if not given:
        return list(overrides)
    by_hand = override({}, overrides).get("training") or {}
    others = [name for name, value in ends.items() if value is None and name not in by_hand]
    return [*overrides, *given, *(f"training.{name}=null" for name in others)]


class Bars:
    """One progress bar at a time; on a terminal that is no terminal, a line every half minute instead."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self.console = Console(stderr=True)
        self.bars = Progress(
            TextColumn("{task.description:<10}"),
            BarColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.bars.start()
        self.task = self.bars.add_task("", total=None, note="", visible=False)
        self.name, self.last_line = "", 0.0

    def stage(self, name: str) -> None:
        if name == self.name:
            return
        self.name = name
        self.bars.remove_task(self.task)
        self.task = self.bars.add_task(name, total=None, note="")
        if self.bars.disable:
            typer.echo(name, err=True)

    def tell(self, lines: "Sequence[str]") -> None:
        """Lines above the bar."""
        for line in lines:
            self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def progress(self, done: int, total: int) -> None:
        self.bars.update(self.task, completed=done, total=total or None, note=f"{done}/{total}")

    def step(self, progress: "Progress") -> None:
        import time

        terms = {n: v for n, v in progress.terms.items() if "/" not in n}
        note = f"step {progress.step}  " + "  ".join(f"{name} {value:.3f}" for name, value in list(terms.items())[:5])
        remaining = progress.remaining_seconds
        total = None if remaining is None else progress.elapsed_seconds + max(remaining, 0.0)
        self.bars.update(self.task, completed=progress.elapsed_seconds, total=total, note=note)
        if self.bars.disable and time.monotonic() - self.last_line > 30.0:
            self.last_line = time.monotonic()
            left = "" if remaining is None else f"  {remaining / 60:.1f} minutes left"
            typer.echo(f"{note}  {progress.steps_per_second:.2f} steps/s{left}", err=True)

    def close(self) -> None:
        self.bars.stop()
