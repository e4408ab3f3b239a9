"""Options that several verbs have, written once."""

from pathlib import Path
from typing import Annotated

import typer

SoundOutput = Annotated[
    Path | None,
    typer.Option("-o", "--output", help="wav, flac, ogg, opus or mp3, by the suffix.", show_default=False),
]
Seed = Annotated[int | None, typer.Option("--seed", help="The same seed gives the same sound.", show_default="drawn")]
Temperature = Annotated[
    float | None,
    typer.Option(
        "--variation",
        "--temperature",
        help="Noise in what is read off the recording.",
        show_default="the model's own",
    ),
]
Watermark = Annotated[
    bool, typer.Option("--watermark", help="Mark the sound, inaudibly, as a machine's; 'moksori verify' finds it.")
]
Vocoder = Annotated[
    str | None,
    typer.Option("--vocoder", help="A vocoder's name or folder.", show_default="the model's, or one that fits"),
]
