"""`moksori vocode`: mels to sound, recordings to mels, and sound of nothing."""

from pathlib import Path
from typing import Annotated

import typer

from moksori.cli.options import Seed, SoundOutput, Watermark
from moksori.cli.progress import progress_bar
from moksori.errors import BadInput


def register(app: typer.Typer) -> None:
    app.command("vocode")(vocode)


def vocode(
    source: Annotated[
        Path | None,
        typer.Argument(
            metavar="IN",
            help="A mel (.npy or .safetensors, mels x frames, natural log), or a recording to be copied.",
            show_default=False,
        ),
    ] = None,
    output: SoundOutput = None,
    model: Annotated[
        str | None,
        typer.Option("--model", "--voice", help="A vocoder's name or folder.", show_default="vocoder"),
    ] = None,
    mel: Annotated[
        Path | None,
        typer.Option("--mel", help="Write the mel too: .safetensors says how it was made, .npy is an array."),
    ] = None,
    chunk: Annotated[int, typer.Option("--chunk", help="Frames made at once; the sound stays the same.")] = 2048,
    seed: Seed = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            "--seconds", help="Without IN: so much sound of nothing, by a model without mels.", show_default=False
        ),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(
            "--temperature",
            help="With --seconds: below 1 the likelier comes more often still.",
            show_default="the model's own",
        ),
    ] = None,
    watermark: Watermark = False,
) -> None:
    """Turn a mel into sound, or a recording into its mel and back; or make sound of nothing.

    Examples: moksori vocode talk.wav --mel talk.safetensors; moksori vocode talk.safetensors -o copy.wav; moksori
    vocode --model DIR --seconds 5 -o drawn.wav
    """
    if source is None or seconds is not None:
        _draw(source, output, model, mel, seed, seconds, temperature, watermark)
        return
    if temperature is not None:
        raise BadInput(f"--temperature {temperature:g}: goes with --seconds, without an input: leave it out")
    from moksori.pipeline import vocode as vocoding

    vocoding.check_paths(source, output, mel)  # before a model is loaded: a typing error is told at once
    vocoder = vocoding.find_mel_vocoder(model, source)
    with progress_bar("vocoding") as progress:
        written = vocoding.vocode_to_file(vocoder, source, output, mel, seed, chunk, progress, watermark)
    for note in written.notes:
        typer.echo(f"moksori: {note}", err=True)
    if written.mel is not None:
        rate, bands = vocoder.sample_rate, vocoder.front_end.n_mels
        typer.echo(f"{written.mel}: {written.frames} frames of {bands} mel bands, of sound at {rate} Hz")
    if written.sound is not None:
        typer.echo(
            f"{written.sound}: {written.duration_seconds:.2f} s by {vocoder.name}, "
            f"real-time factor {written.real_time_factor:.3f}, seed {written.seed}"
        )


def _draw(
    source: Path | None,
    output: Path | None,
    model: str | None,
    mel: Path | None,
    seed: int | None,
    seconds: float | None,
    temperature: float | None,
    watermark: bool,
) -> None:
    if seconds is None:
        raise BadInput("no input: name a mel or a recording, or --seconds N with a model that makes sound of nothing")
    if source is not None or mel is not None:
        raise BadInput(f"--seconds {seconds:g}: makes sound of nothing: leave out {source or '--mel'}, or --seconds")
    if output is None:
        raise BadInput("no output: name a sound (-o out.wav)")
    from moksori.pipeline import draw as drawing

    drawer = drawing.find_drawer(model)
    with progress_bar("drawing") as progress:
        written = drawing.draw_to_file(drawer, seconds, output, seed, temperature, progress, watermark)
    typer.echo(
        f"{written.sound}: {written.duration_seconds:.2f} s by {drawer.name}, "
        f"real-time factor {written.real_time_factor:.3f}, seed {written.seed}"
    )
