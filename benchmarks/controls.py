"""Do `--pitch`, `--speed`, `--volume` and their SSML forms do what they say, and does the speech stay as good?

The tracked test sentences of kathleen are spoken plainly and with each control. Measured: the shift of the median F0
(WORLD's Harvest), the change of length and of loudness, each beside what was asked for; word error rate and DNSMOS of
all.

    python benchmarks/controls.py --sentences 10 --json
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common import finish, parser, start

import moksori.evaluation
from moksori.audio.f0 import extract_f0
from moksori.audio.loudness import integrated_lufs
from moksori.errors import MoksoriError
from moksori.evaluation.intelligibility import Recogniser
from moksori.evaluation.naturalness import Dnsmos
from moksori.pipeline.say import Speaker, load
from moksori.types import Waveform

HOP_LENGTH = 256
Say = Callable[[Speaker, str, int], Waveform]


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--voice", help="the bundled voice by default")
    options.add_argument("--sentences", type=int, default=10)
    options.add_argument("--only", default="", metavar="TEXT", help="only the ways whose name holds this")
    chosen = options.parse_args()
    environment = start(chosen)
    try:
        figures = measure(load(chosen.voice), test_sentences(), chosen.sentences, chosen.only, chosen.threads)
    except MoksoriError as error:
        sys.exit(f"{error}")
    finish("controls", chosen, environment, figures)


def test_sentences() -> list[str]:
    """The tracked test sentences: the recogniser knows all of them, however few are spoken."""
    table = Path(moksori.evaluation.__file__).parent / "splits" / "kathleen.tsv"
    rows = [line.split("\t") for line in table.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return [text for split, by, text in rows[1:] if (split, by) == ("test", "sentence")]


def plain(**options: Any) -> Say:
    """Spoken with options of `say`."""
    return lambda voice, text, seed: voice.say(text, seed=seed, pause=0.0, **options).waveform


def prosody(attributes: str) -> Say:
    """Spoken as SSML, all of it in one <prosody>."""

    def say(voice: Speaker, text: str, seed: int) -> Waveform:
        document = f"<speak><prosody {attributes}>{text.replace('&', '&amp;')}</prosody></speak>"
        return voice.say(document, seed=seed, pause=0.0).waveform

    return say


WAYS: dict[str, tuple[Say, float, float, float]] = {  # and what is asked for: semitones, factor of length, dB
    "plain": (plain(), 0.0, 1.0, 0.0),
    "--pitch -4": (plain(pitch=-4.0), -4.0, 1.0, 0.0),
    "--pitch -2": (plain(pitch=-2.0), -2.0, 1.0, 0.0),
    "--pitch 2": (plain(pitch=2.0), 2.0, 1.0, 0.0),
    "--pitch 4": (plain(pitch=4.0), 4.0, 1.0, 0.0),
    "--speed 0.75": (plain(speed=0.75), 0.0, 1.0 / 0.75, 0.0),
    "--speed 1.25": (plain(speed=1.25), 0.0, 1.0 / 1.25, 0.0),
    "--volume -10": (plain(volume=-10.0), 0.0, 1.0, -10.0),
    'pitch="+2st"': (prosody('pitch="+2st"'), 2.0, 1.0, 0.0),
    'pitch="low"': (prosody('pitch="low"'), -3.0, 1.0, 0.0),
    'rate="80%"': (prosody('rate="80%"'), 0.0, 1.0 / 0.8, 0.0),
    'rate="fast"': (prosody('rate="fast"'), 0.0, 1.0 / 1.33, 0.0),
    'volume="-6dB"': (prosody('volume="-6dB"'), 0.0, 1.0, -6.0),
    'volume="loud"': (prosody('volume="loud"'), 0.0, 1.0, 6.0),
}


def measure(voice: Speaker, known: Sequence[str], count: int, only: str, threads: int) -> dict[str, Any]:
    """What each control does, in the mean over the sentences."""
    recogniser, dnsmos = Recogniser(known), Dnsmos(threads)
    texts = [text for text in known if recogniser.covers(text)][:count]
    print(recogniser.description)
    titles = ("semitones".rjust(18), "length".rjust(16), "dB".rjust(16), "WER %".rjust(8), "OVRL  P808".rjust(12))
    print("way".ljust(16) + "".join(titles))
    before = [plain()(voice, text, seed) for seed, text in enumerate(texts)]
    pitches = [median_f0(sound) for sound in before]
    levels = [integrated_lufs(sound) for sound in before]
    figures: dict[str, Any] = {"voice": voice.name, "sentences": len(texts), "language_model": recogniser.description}
    for name, (say, semitones, length, decibels) in WAYS.items():
        if only not in name:
            continue
        sounds = [say(voice, text, seed) for seed, text in enumerate(texts)]
        errors = [recogniser.errors(text, sound) for text, sound in zip(texts, sounds, strict=True)]
        opinions = [dnsmos(sound) for sound in sounds]
        row = {
            "semitones": mean(12.0 * np.log2(median_f0(s) / p) for s, p in zip(sounds, pitches, strict=True)),
            "length": mean(s.duration_seconds / b.duration_seconds for s, b in zip(sounds, before, strict=True)),
            "decibels": mean(integrated_lufs(s) - level for s, level in zip(sounds, levels, strict=True)),
            "wer": sum(e.word_errors for e in errors) / sum(e.words for e in errors),
            "ovrl": mean(o.ovrl for o in opinions),
            "p808": mean(o.p808 for o in opinions),
        }
        figures[name] = {**row, "asked": {"semitones": semitones, "length": length, "decibels": decibels}}
        cells = [f"{row[key]:.2f} of {figures[name]['asked'][key]:.2f}" for key in ("semitones", "length", "decibels")]
        print(
            name.ljust(16) + cells[0].rjust(18) + cells[1].rjust(16) + cells[2].rjust(16)
            + f"{100 * row['wer']:8.2f}" + f"{row['ovrl']:7.2f} {row['p808']:.2f}", flush=True,
        )  # fmt: skip
    return figures


def median_f0(waveform: Waveform) -> float:
    """Of the voiced frames, in Hz."""
    f0 = extract_f0(waveform, HOP_LENGTH, method="harvest")
    return float(np.median(f0[f0 > 0]))


def mean(values: Any) -> float:
    return float(np.mean(list(values)))


if __name__ == "__main__":
    main()
