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
Model = Annotated[
    str | None, typer.Option("--voice", "--model", help="A model's name or folder; see 'moksori models'.")
]
Liveliness = Annotated[
    float | None,
    typer.Option("--variation", help="Liveliness; 0 is the same sound every time.", show_default="the model's own"),
]
Pause = Annotated[float | None, typer.Option("--pause", help="Seconds between sentences.", show_default="0.25")]
Lexicons = Annotated[
    list[Path] | None,
    typer.Option("--lexicon", help="Your pronunciations: lines of word, tab, IPA or respelling; may be repeated."),
]
Timings = Annotated[
    Path | None,
    typer.Option("--timings", help="When words and phonemes are heard: .json, .srt, .vtt or .TextGrid."),
]
SpeakerEncoder = Annotated[
    str, typer.Option("--speaker-encoder", help="Who tells voices apart: resemblyzer or wavlm[:MODEL].")
]
WhoListens = Annotated[str, typer.Option(help="Who listens: pocketsphinx, whisper[:MODEL] or faster-whisper[:MODEL].")]
Pitch = Annotated[float, typer.Option("--pitch", help="Semitones up or down, -12 to 12.")]
Volume = Annotated[float, typer.Option("--volume", help="Gain in dB.")]
