"""How does what a Linux distribution installs offline score on our test sentences, beside the human recordings?

Word error rate, DNSMOS and real-time factor of festival's slt (HTS), flite's slt and espeak-ng, and of any voices of
ours, through the judges of `moksori evaluate`. What is not installed is named and left out.

    moksori corpus import csv DATA/kathleen DATA/kathleen-extra-takes corpora/kathleen
    python benchmarks/peers.py --corpus corpora/kathleen --limit 40 --json
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from common import finish, parser, start
from other_voices import OtherVoice, installed

from moksori.audio.io import read
from moksori.corpus import Corpus
from moksori.corpus.manifest import read_utterance
from moksori.corpus.splits import sentence_key
from moksori.errors import MoksoriError
from moksori.evaluation.score import Item, Judges, SystemScores, score_system
from moksori.pipeline.say import Speaker, load
from moksori.pipeline.seeds import sentence_generator
from moksori.types import Utterance, Waveform

SHOWN = {"wer": ("WER %", 100.0, 2), "cer": ("CER %", 100.0, 2), "ovrl": ("OVRL", 1.0, 2), "sig": ("SIG", 1.0, 2),
         "bak": ("BAK", 1.0, 2), "p808": ("P808", 1.0, 2), "rtf": ("RTF", 1.0, 4)}  # fmt: skip


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--corpus", type=Path, required=True, help="made by 'moksori corpus import'")
    options.add_argument("--split", default="test")
    options.add_argument("--limit", type=int, help="only the first so many sentences")
    options.add_argument("--voice", action="append", default=[], help="a voice of ours as well; repeat it")
    options.add_argument("--keep", type=Path, metavar="DIR", help="keep the sound files there")
    chosen = options.parse_args()
    environment = start(chosen)
    try:
        figures = compare(chosen.corpus, chosen.split, chosen.limit, chosen.voice, chosen.threads, chosen.keep)
    except MoksoriError as error:
        sys.exit(f"{error}")
    finish("peers", chosen, environment, figures)


def compare(
    folder: Path, split: str, limit: int | None, voices: list[str], threads: int, keep: Path | None
) -> dict[str, object]:
    """Scores of the recordings and of every voice over the first `limit` sentences of the split."""
    corpus = Corpus.open(folder)
    first: dict[str, Utterance] = {}
    for utterance in sorted(corpus.split(split), key=lambda u: u.name):
        first.setdefault(sentence_key(utterance.text), utterance)
    utterances = list(first.values())
    judges = Judges([u.text for u in utterances], ("words", "opinion"), threads)
    used = utterances[:limit]
    recordings = [read_utterance(utterance) for utterance in used]
    human = [Item(u.name, u.text, wave, wave) for u, wave in zip(used, recordings, strict=True)]
    print(f"{len(used)} of {len(utterances)} sentences of {corpus.info.name} ({split})")
    print(judges.recogniser.description)
    print("system".ljust(24) + "".join(title.rjust(16) for title, _, _ in SHOWN.values()))
    found = {"recordings": score_system("recordings", human, judges)}
    report(found["recordings"])
    with tempfile.TemporaryDirectory() as temporary:
        place = keep or Path(temporary)
        makers: dict[str, Callable[[int, str], tuple[Waveform, float]]] = {}
        for other in installed():
            makers[other.name] = _by_command(other, place)
        for name in voices:
            makers[name] = _by_voice(load(name))
        for name, make in makers.items():
            items = []
            for index, (utterance, recording) in enumerate(zip(used, recordings, strict=True)):
                waveform, seconds = make(index, utterance.text)
                items.append(Item(utterance.name, utterance.text, recording, waveform, seconds))
            found[name] = score_system(name, items, judges)
            report(found[name])
    print("± is half of a bootstrap 95 % interval; the real-time factor of a command holds its start")
    return {
        "corpus": corpus.info.name,
        "split": split,
        "sentences": len(used),
        "of": len(utterances),
        "language_model": judges.recogniser.description,
        "systems": {
            name: {
                key: {"value": e.value, "low": e.low, "high": e.high, "n": e.n} for key, e in scores.measures.items()
            }
            for name, scores in found.items()
        },
    }


def report(scores: SystemScores) -> None:
    """One line: the values, and half of their intervals."""
    cells = []
    for key, (_, scale, digits) in SHOWN.items():
        estimate = scores.measures.get(key)
        shown = "-"
        if estimate is not None:
            half = (estimate.high - estimate.low) / 2
            shown = f"{scale * estimate.value:.{digits}f} ± {scale * half:.{digits}f}"
        cells.append(shown.rjust(16))
    print(scores.name.ljust(24) + "".join(cells), flush=True)


def _by_command(voice: OtherVoice, folder: Path) -> Callable[[int, str], tuple[Waveform, float]]:
    own = folder / voice.name.replace(" ", "-")
    own.mkdir(parents=True, exist_ok=True)

    def make(index: int, text: str) -> tuple[Waveform, float]:
        path = own / f"{index:03d}.wav"
        started = time.perf_counter()
        voice.say(text, path)
        return read(path), time.perf_counter() - started

    return make


def _by_voice(speaker: Speaker) -> Callable[[int, str], tuple[Waveform, float]]:
    def make(index: int, text: str) -> tuple[Waveform, float]:
        seed = sentence_generator(0, index).initial_seed()
        started = time.perf_counter()
        speech = speaker.say(text, seed=seed, pause=0.0)
        return speech.waveform, time.perf_counter() - started

    return make


if __name__ == "__main__":
    main()
