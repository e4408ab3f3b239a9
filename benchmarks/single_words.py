"""Is a word that is spoken alone as clear as one inside a sentence, and does it sound as good?

The 100 common words of single_words.txt, chosen before anything was measured, are each spoken alone. pocketsphinx,
which may hear any of these words and nothing else, says which it hears. Beside it: the same words cut out of sentences
that were spoken with them (at the model's own times), words in pairs, and DNSMOS of all, next to whole sentences.

    python benchmarks/single_words.py --voice kathleen --json
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common import finish, parser, start

from moksori.audio.io import write
from moksori.errors import MoksoriError
from moksori.evaluation.intelligibility import ClosedRecogniser
from moksori.evaluation.naturalness import Dnsmos
from moksori.evaluation.statistics import mean_estimate
from moksori.pipeline.say import Speaker, load
from moksori.types import Waveform

WORDS = tuple((Path(__file__).parent / "single_words.txt").read_text(encoding="utf-8").split())
CARRIERS = (
    "I think that the word {} was on the list.",
    "She wrote {} in the middle of the page.",
    "You will find {} near the end of the book.",
    "They said {} and then nothing more.",
)
EDGE_SECONDS = 0.03
"""Kept on both sides of a word that is cut out: its neighbours' first sounds are heard as nothing less."""


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--voice", help="the bundled voice by default")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--keep", type=Path, metavar="DIR", help="keep the sound files there")
    chosen = options.parse_args()
    environment = start(chosen)
    try:
        figures = measure(load(chosen.voice), chosen.seed, chosen.threads, chosen.keep)
    except MoksoriError as error:
        sys.exit(f"{error}")
    finish("single_words", chosen, environment, figures)


def measure(voice: Speaker, seed: int, threads: int, keep: Path | None) -> dict[str, Any]:
    """Right words and opinions of each way to say a word."""
    one, two, dnsmos = ClosedRecogniser(WORDS), ClosedRecogniser(WORDS, 2), Dnsmos(threads)
    pairs = [f"{first} {second}" for first, second in zip(WORDS[::2], WORDS[1::2], strict=True)]
    carriers = [CARRIERS[index % len(CARRIERS)].format(word) for index, word in enumerate(WORDS)]
    ways: dict[str, tuple[Sequence[str], list[Waveform]]] = {
        "alone": (WORDS, spoken(voice, (f"{word.capitalize()}." for word in WORDS), seed)),
        "alone, no full stop": (WORDS, spoken(voice, WORDS, seed)),
        "in pairs": (pairs, spoken(voice, (f"{pair.capitalize()}." for pair in pairs), seed)),
        "cut out of sentences": (WORDS, cut_out(voice, carriers, seed)),
    }
    figures: dict[str, Any] = {"voice": voice.name, "seed": seed, "words": len(WORDS)}
    print("way".ljust(24) + "right".rjust(12) + "OVRL".rjust(14) + "P808".rjust(14) + "seconds".rjust(10))
    for way, (texts, sounds) in ways.items():
        heard = [(two if texts is pairs else one).transcribe(sound) for sound in sounds]
        wrong = {text: other for text, other in zip(texts, heard, strict=True) if text != other}
        figures[way] = {"n": len(texts), "right": len(texts) - len(wrong), "wrong": wrong, **opinions(dnsmos, sounds)}
        report(way, figures[way])
        if keep is not None:
            keep_sounds(keep / way.replace(" ", "-"), texts, sounds)
    whole = spoken(voice, carriers[:40], seed)
    figures["whole sentences"] = {"n": len(whole), **opinions(dnsmos, whole)}
    report("whole sentences", figures["whole sentences"])
    for way in ways:
        wrong = [f"{word} -> {other or '-'}" for word, other in figures[way]["wrong"].items()]
        print(f"{way}: " + (", ".join(wrong) or "all right"))
    return figures


def spoken(voice: Speaker, texts: Iterable[str], seed: int) -> list[Waveform]:
    """Each text alone, as `moksori say` would speak it but for the silence at the ends."""
    return [voice.say(text, seed=seed + index, pause=0.0).waveform for index, text in enumerate(texts)]


def cut_out(voice: Speaker, carriers: Iterable[str], seed: int) -> list[Waveform]:
    """The word of each carrier sentence, at its own times."""
    found = []
    for index, text in enumerate(carriers):
        place = CARRIERS[index % len(CARRIERS)].split().index("{}")
        speech = voice.say(text, seed=seed + index, pause=0.0)
        word = speech.timings[place]
        first = max(round((word.start_seconds - EDGE_SECONDS) * speech.sample_rate), 0)
        last = round((word.end_seconds + EDGE_SECONDS) * speech.sample_rate)
        found.append(Waveform(speech.samples[first:last], speech.sample_rate))
    return found


def opinions(dnsmos: Dnsmos, sounds: Sequence[Waveform]) -> dict[str, Any]:
    """Mean OVRL and P808 with half of their bootstrap 95 % intervals, and the mean length."""
    found = [dnsmos(sound) for sound in sounds]
    result: dict[str, Any] = {"seconds": float(np.mean([sound.duration_seconds for sound in sounds]))}
    for name in ("ovrl", "p808"):
        estimate = mean_estimate([getattr(opinion, name) for opinion in found])
        result[name] = {"value": estimate.value, "low": estimate.low, "high": estimate.high}
    return result


def report(way: str, figures: Mapping[str, Any]) -> None:
    """One line of the table."""
    right = f"{figures['right']} of {figures['n']}" if "right" in figures else "-"
    cells = []
    for name in ("ovrl", "p808"):
        estimate = figures[name]
        cells.append(f"{estimate['value']:.2f} ± {(estimate['high'] - estimate['low']) / 2:.2f}".rjust(14))
    print(way.ljust(24) + right.rjust(12) + "".join(cells) + f"{figures['seconds']:10.2f}", flush=True)


def keep_sounds(folder: Path, texts: Sequence[str], sounds: Sequence[Waveform]) -> None:
    """Every sound as a file named after its words."""
    folder.mkdir(parents=True, exist_ok=True)
    for text, sound in zip(texts, sounds, strict=True):
        write(folder / f"{text.replace(' ', '-')}.wav", sound)


if __name__ == "__main__":
    main()
