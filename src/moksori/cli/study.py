"""`moksori study`: experiments, which train small models side by side or try one in many settings."""

from pathlib import Path
from typing import Annotated

import typer

from moksori.cli.options import Vocoder
from moksori.cli.study_codes import codes
from moksori.cli.study_prompts import prompts
from moksori.cli.study_singing import singing
from moksori.cli.study_vae_gan import vae_gan


def register(app: typer.Typer) -> None:
    study = typer.Typer(
        no_args_is_help=True, help="Experiments: small models side by side, or one voice in many settings."
    )
    study.callback()(_group)
    study.command("balance")(balance)
    study.command("codes")(codes)
    study.command("control")(control)
    study.command("prompts")(prompts)
    study.command("singing")(singing)
    study.command("vae_gan")(vae_gan)
    app.add_typer(study, name="study")


def _group() -> None:
    """Experiments: small models side by side, or one voice in many settings."""


def balance(
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Overrides for every run.", show_default=False)
    ] = None,
    corpus: Annotated[
        Path | None, typer.Option(help="A corpus made by 'moksori corpus import'.", show_default=False)
    ] = None,
    run: Annotated[Path, typer.Option(help="Folder of the study; what it holds is not done again.")] = Path(
        "runs/balance"
    ),
    steps: Annotated[int | None, typer.Option(min=1, help="Of each run; the preset's if not given.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Of each run, instead of steps.", show_default=False)] = None,
    ratio: Annotated[
        list[float] | None,
        typer.Option(help="beta / alpha; repeat it. All of the paper's argument if not given.", show_default=False),
    ] = None,
    vocoder: Annotated[
        str | None,
        typer.Option(help="A vocoder's name or folder: conversions are then judged by their sound too."),
    ] = None,
    preset: Annotated[str, typer.Option(help="A preset of the family dsvae.")] = "dsvae/study",
    measure_only: Annotated[bool, typer.Option("--measure-only", help="Train nothing; measure what is there.")] = False,
) -> None:
    """What goes through which latent of D-DSVAE, from beta / alpha = 1 to 10,000, and once without pooling over time.

    Example: moksori study balance --corpus corpora/all --run runs/balance
    """
    if corpus is None:
        raise typer.BadParameter("name a corpus: --corpus DST")
    if steps is not None and minutes is not None:
        raise typer.BadParameter("give --steps or --minutes, not both")
    if ratio and min(ratio) <= 0:
        raise typer.BadParameter(f"--ratio {min(ratio):g}: expected a number above 0")
    from moksori.cli.train import Bars
    from moksori.pipeline.study import CASES, PRESET, Case, study_balance
    from moksori.pipeline.study_report import markdown, save_report
    from moksori.pipeline.train import Listener

    overrides = list(settings or [])
    if steps is not None or minutes is not None:
        overrides += [f"training.max_steps={steps or 'null'}", f"training.max_minutes={minutes or 'null'}"]
    bars = Bars()
    try:
        study = study_balance(
            corpus, run, overrides, [Case(value) for value in ratio] if ratio else CASES, preset or PRESET, vocoder,
            measure_only=measure_only, listener=Listener(bars.stage, bars.progress, bars.step, bars.tell),
        )  # fmt: skip
    finally:
        bars.close()
    table, picture = save_report(study)
    for line in markdown(study):
        typer.echo(line)
    for outcome in study.outcomes:
        for name, text in outcome.symptoms.items():
            typer.echo(f"{outcome.case.name}: {name}: {text}")
    typer.echo(f"wrote {run / 'balance.json'}, {table} and {picture}")


def control(
    model: Annotated[str, typer.Argument(help="A voice whose latents can be chosen: a name or a folder.")],
    corpus: Annotated[
        Path | None, typer.Option(help="A corpus made by 'moksori corpus import'.", show_default=False)
    ] = None,
    run: Annotated[Path, typer.Option(help="Folder of the study; what it holds is not measured again.")] = Path(
        "runs/control"
    ),
    references: Annotated[
        Path | None, typer.Option(help="A corpus of other speakers to take styles from.", show_default="the same")
    ] = None,
    split: Annotated[str, typer.Option(help="Of the corpora.")] = "test",
    limit: Annotated[
        int | None, typer.Option(min=1, help="Sentences of each curve, and five pairs of styles for each.")
    ] = None,
    samples: Annotated[int, typer.Option(min=2, help="Of each setting of the curve of variation.")] = 20,
    seed: Annotated[int, typer.Option(help="The same seed measures the same.")] = 0,
    style_mode: Annotated[str, typer.Option("--style-mode", help="batch or time-and-batch.")] = "batch",
    clips: Annotated[int, typer.Option(help="Of each style, 1 to 5.")] = 1,
    variation: Annotated[
        float | None, typer.Option(help="Of all but its own curve.", show_default="the voice's own")
    ] = None,
    vocoder: Vocoder = None,
) -> None:
    """What variation, styles, blends and takes do to a voice: its pitch, its range and its rate, in curves.

    Example: moksori study control flowtron-kathleen --corpus corpora/kathleen --run runs/control --limit 2
    """
    if corpus is None:
        raise typer.BadParameter("name a corpus: --corpus DST")
    from moksori.cli.progress import progress_bar
    from moksori.pipeline.control_report import markdown, save_report
    from moksori.pipeline.control_study import study_control

    with progress_bar("measuring") as progress:
        study = study_control(
            model, corpus, run, split=split, references=references, limit=limit, samples=samples, seed=seed,
            mode=style_mode.replace("-", "_"), variation=variation, clips=clips, vocoder=vocoder, progress=progress,
        )  # fmt: skip
    table, picture = save_report(study)
    for line in markdown(study):
        typer.echo(line)
    typer.echo(f"wrote {run / 'control.json'}, {table} and {picture}")
