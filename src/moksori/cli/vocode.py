"""`moksori vocode`: mels to sound, and recordings to mels."""

from pathlib import Path
from typing import Annotated

import typer

from moksori.cli.options import Seed, SoundOutput
from moksori.cli.progress import progress_bar


def register(app: typer.Typer) -> None:
    app.command("vocode")(vocode)


def vocode(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="IN", help="A mel (.npy or .safetensors, [mels, frames], natural log), or a recording to be copied."
        ),
    ],
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
) -> None:
    """Turn a mel into sound, or a recording into its mel and back.

    Examples: moksori vocode talk.wav --mel talk.safetensors; moksori vocode talk.safetensors -o copy.wav
    """
    from moksori.pipeline import vocode as vocoding

    vocoding.check_paths(source, output, mel)  # before a model is loaded: a typing error is told at once
    vocoder = vocoding.find_mel_vocoder(model, source)
    with progress_bar("vocoding") as progress:
        written = vocoding.vocode_to_file(vocoder, source, output, mel, seed, chunk, progress)
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
