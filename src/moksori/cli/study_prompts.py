"""`moksori study prompts`: the ablations of speech in the voice of a prompt."""

from pathlib import Path
from typing import Annotated

import typer

from moksori.cli.options import SpeakerEncoder, WhoListens
from moksori.cli.study_told import tell


def prompts(
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Overrides for every run.", show_default=False)
    ] = None,
    corpus: Annotated[
        Path | None,
        typer.Option(help="A corpus of many speakers, of whom some are in its test split alone.", show_default=False),
    ] = None,
    run: Annotated[Path, typer.Option(help="Folder of the study; what it holds is not done again.")] = Path(
        "runs/study-prompts"
    ),
    steps: Annotated[int | None, typer.Option(min=2, help="Of each run; the preset's if not given.")] = None,
    seeds: Annotated[int, typer.Option(min=1, max=20, help="Runs of each variant.")] = 1,
    variant: Annotated[
        list[str] | None,
        typer.Option(
            help="full, no-denoiser-prompt, no-predictor-prompt, no-cross-entropy or no-query-tokens; repeat it.",
            show_default="all",
        ),
    ] = None,
    start_from: Annotated[
        str | None, typer.Option("--from", help="A trained model from whose weights every run starts.")
    ] = None,
    preset: Annotated[str, typer.Option(help="A preset of the family naturalspeech2.")] = "naturalspeech2/study",
    split: Annotated[str, typer.Option(help="Whose voices and texts are taken.")] = "test",
    limit: Annotated[
        int | None, typer.Option(min=1, help="Texts of people that no training heard, and of others, so many each.")
    ] = None,
    recogniser: WhoListens = "pocketsphinx",
    encoder: SpeakerEncoder = "resemblyzer",
    codec: Annotated[
        str | None, typer.Option(help="The folder of the codec, where it is neither installed nor bundled.")
    ] = None,
    measure_only: Annotated[bool, typer.Option("--measure-only", help="Train nothing; measure what is there.")] = False,
) -> None:
    """What the prompt does in the denoiser and in the predictors, what the cross-entropy of codes does, and what the
    query tokens do: the same training without each of them, judged as `evaluate --task like` judges.

    Example: moksori study prompts --corpus corpora/all --run runs/study-prompts --steps 1500 --limit 16
    """
    if corpus is None:
        raise typer.BadParameter("name a corpus: --corpus DST")
    from moksori.cli.train import Bars
    from moksori.pipeline.prompt_report import COLUMNS, save_report
    from moksori.pipeline.prompt_study import DESIGN, study_prompts
    from moksori.pipeline.train import Listener

    chosen = [DESIGN.variant(name) for name in variant] if variant else DESIGN.variants
    bars = Bars()
    try:
        study = study_prompts(
            corpus, run, settings or (), variants=chosen, seeds=seeds, preset=preset, steps=steps,
            start_from=start_from, split=split, limit=limit, recogniser=recogniser, encoder=encoder, codec=codec,
            measure_only=measure_only, listener=Listener(bars.stage, bars.progress, bars.step, bars.tell),
        )  # fmt: skip
    finally:
        bars.close()
    tell(study, COLUMNS, *save_report(study))
