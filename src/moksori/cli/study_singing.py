"""`moksori study singing`: the ablations of singing conversion."""

from pathlib import Path
from typing import Annotated

import typer

from moksori.cli.options import SpeakerEncoder
from moksori.cli.study_told import tell


def singing(
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Overrides for every run.", show_default=False)
    ] = None,
    corpus: Annotated[
        Path | None, typer.Option(help="A corpus of singers, with songs in its test split.", show_default=False)
    ] = None,
    run: Annotated[Path, typer.Option(help="Folder of the study; what it holds is not done again.")] = Path(
        "runs/study-singing"
    ),
    steps: Annotated[int | None, typer.Option(min=2, help="Of each run; the preset's if not given.")] = None,
    seeds: Annotated[int, typer.Option(min=1, max=20, help="Runs of each variant.")] = 1,
    variant: Annotated[
        list[str] | None,
        typer.Option(
            help="full, no-back-translation, no-mixup, no-augmentation or no-confusion; repeat it.",
            show_default="all",
        ),
    ] = None,
    start_from: Annotated[
        str | None, typer.Option("--from", help="A trained model from whose weights every run starts.")
    ] = None,
    preset: Annotated[
        str, typer.Option(help="A preset of the family wavenet_autoencoder.")
    ] = "wavenet_autoencoder/study",
    split: Annotated[str, typer.Option(help="Whose songs are converted.")] = "test",
    limit: Annotated[
        int | None, typer.Option(min=1, help="Pieces of recorded songs, and made songs, so many each.")
    ] = None,
    targets: Annotated[int | None, typer.Option(min=1, help="Singers to whom each goes.", show_default="2")] = None,
    encoder: SpeakerEncoder = "resemblyzer",
    measure_only: Annotated[bool, typer.Option("--measure-only", help="Train nothing; measure what is there.")] = False,
) -> None:
    """What back-translation, mixup, augmentation and confusion do for a model that changes who sings: the same
    training without each of them, judged as `evaluate --task sing` judges.

    Example: moksori study singing --corpus corpora/songs --run runs/study-singing --steps 2000
    """
    if corpus is None:
        raise typer.BadParameter("name a corpus: --corpus DST")
    from moksori.cli.train import Bars
    from moksori.pipeline.singing_report import COLUMNS, save_report
    from moksori.pipeline.singing_study import VARIANTS, study_singing, variant_named
    from moksori.pipeline.train import Listener

    chosen = [variant_named(name) for name in variant] if variant else VARIANTS
    bars = Bars()
    try:
        study = study_singing(
            corpus, run, settings or (), variants=chosen, seeds=seeds, preset=preset, steps=steps,
            start_from=start_from, split=split, limit=limit, targets=targets, encoder=encoder,
            measure_only=measure_only, listener=Listener(bars.stage, bars.progress, bars.step, bars.tell),
        )  # fmt: skip
    finally:
        bars.close()
    tell(study, COLUMNS, *save_report(study))
