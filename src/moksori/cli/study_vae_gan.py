"""`moksori study vae_gan`: the models of the lineage on equal terms."""

from pathlib import Path
from typing import Annotated

import typer

from moksori.cli.options import SpeakerEncoder, Vocoder


def vae_gan(
    settings: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[[VARIANT:]KEY=VALUE]...",
            help="Overrides for every run, or for one variant's.",
            show_default=False,
        ),
    ] = None,
    corpus: Annotated[
        Path | None, typer.Option(help="A corpus made by 'moksori corpus import'.", show_default=False)
    ] = None,
    run: Annotated[Path, typer.Option(help="Folder of the study; what it holds is not done again.")] = Path(
        "runs/vae_gan"
    ),
    speaker: Annotated[
        list[str] | None,
        typer.Option(help="Of the corpus, two at least; repeat it.", show_default="all of them"),
    ] = None,
    variant: Annotated[
        list[str] | None,
        typer.Option(
            help="ae, vae, vae-beta, vqvae-mel, gan, vae-gan, vawgan-clip, vawgan-gp or dsvae; repeat it.",
            show_default="all",
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, max=20, help="Runs of each variant.")] = 3,
    steps: Annotated[int, typer.Option(min=1, help="Of each run.")] = 3000,
    sentences: Annotated[
        int, typer.Option(min=1, help="Of each pair of speakers who say the same, and of each who speaks English.")
    ] = 10,
    beside: Annotated[
        list[str] | None,
        typer.Option(help="A trained model that converts the same; repeat it, 'none' for none.", show_default="dsvae"),
    ] = None,
    world: Annotated[
        str, typer.Option(help="A preset of the family world_vae, for all variants on WORLD's features.")
    ] = "world_vae/vawgan_compact",
    vqvae: Annotated[str, typer.Option(help="A preset of the family vqvae.")] = "vqvae/compact",
    dsvae: Annotated[str, typer.Option(help="A preset of the family dsvae.")] = "dsvae/study",
    vocoder: Vocoder = None,
    judge: Annotated[
        list[str] | None,
        typer.Option(help="words, opinion or speaker; repeat it, 'none' for none.", show_default="all that are here"),
    ] = None,
    encoder: SpeakerEncoder = "resemblyzer",
    recogniser: Annotated[
        str, typer.Option(help="Who counts words: pocketsphinx or whisper[:MODEL].")
    ] = "pocketsphinx",
    measure_only: Annotated[bool, typer.Option("--measure-only", help="Train nothing; measure what is there.")] = False,
    without_recordings: Annotated[
        bool, typer.Option("--without-recordings", help="Leave people's own recordings out of the page with players.")
    ] = False,
) -> None:
    """VAE or GAN? Autoencoder, VAE, VQ-VAE, GAN and their Wasserstein kin, with the same speakers, sentences, seeds and
    steps: how near, how sharp, whose voice, which words, how stable, at what cost.

    Example: moksori study vae_gan --corpus corpora/seven --speaker nathalie --speaker flemishguy --run runs/vae_gan
    """
    if corpus is None:
        raise typer.BadParameter("name a corpus: --corpus DST")
    from moksori.cli.train import Bars
    from moksori.pipeline.train import Listener
    from moksori.pipeline.vae_gan_report import comparisons, failures, save_report, summary
    from moksori.pipeline.vae_gan_result import RESULT_NAME
    from moksori.pipeline.vae_gan_study import JUDGES, study_vae_gan
    from moksori.pipeline.vae_gan_variants import chosen_variants

    named = ["dsvae"] if beside is None else [name for name in beside if name != "none"]
    judges = JUDGES if judge is None else [name for name in judge if name != "none"]
    bars = Bars()
    try:
        study = study_vae_gan(
            corpus, run, settings or (), variants=chosen_variants(variant or (), world, vqvae, dsvae),
            speakers=speaker or (), seeds=seeds, steps=steps, sentences=sentences, beside=named, vocoder=vocoder,
            encoder=encoder, recogniser=recogniser, judges=judges, measure_only=measure_only,
            listener=Listener(bars.stage, bars.progress, bars.step, bars.tell),
        )  # fmt: skip
    finally:
        bars.close()
    report = save_report(study, corpus, not without_recordings)
    for line in [*summary(study), "", *comparisons(study), *failures(study), *study.notes]:
        typer.echo(line)
    typer.echo(f"wrote {', '.join(str(path) for path in (run / RESULT_NAME, *report.files))}")
