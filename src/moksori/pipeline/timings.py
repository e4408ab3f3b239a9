"""Word times of a whole corpus: where each word of each recording is, and which recordings fit their texts worst."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from moksori.corpus import ingest
from moksori.corpus.features import prepare
from moksori.corpus.manifest import write_text
from moksori.corpus.segment import Timing
from moksori.pipeline.align import align, word_times
from moksori.pipeline.progress import Progress, no_progress
from moksori.text.tokenizer import TextConfig
from moksori.types import SpeechNeeds, Utterance

ALIGNED_RATE, ALIGNED_HOP = 16000, 200
"""Word times need no more than 16 kHz, and 12.5 ms a frame."""


@dataclass(frozen=True)
class Timings:
    """words: utterance name -> (word, start, end) in seconds. path: the JSON file that holds them.

    worst: utterances with their misfit, the largest first; its unit is the aligner's. too_short: recordings that cannot
    hold their text.
    """

    words: Mapping[str, Sequence[Timing]]
    worst: Sequence[tuple[Utterance, float]]
    too_short: Sequence[str]
    path: Path


def align_words(
    corpus: Path | str,
    out: Path | str | None = None,
    preset: str | None = None,
    assignments: Sequence[str] = (),
    *,
    progress: Progress = no_progress,
) -> Timings:
    """Trains an aligner on the corpus and writes the words' times of every split as {name: [[word, start, end], ...]}.

    out: `CORPUS/alignment/words.json` where None; `moksori corpus split --words` reads the file. preset: the aligner's,
    `aligner/compact` where None. Raises CorpusError if nothing can be aligned.
    """
    opened = ingest.open_imported(Path(corpus))
    needs, text = SpeechNeeds(ALIGNED_RATE, ALIGNED_HOP), TextConfig(language=opened.info.language)
    splits = [name for name in opened.splits if opened.split(name)]
    alignment = align(opened, needs, text, splits, preset, assignments, progress)
    words: dict[str, list[Timing]] = {}
    misfits: list[tuple[Utterance, float]] = []
    for name in splits:
        for example in prepare(opened, name, needs, text):
            key = example.utterance.name
            if key in alignment.durations:
                words[key] = word_times(example, alignment.durations[key], text, needs)
                misfits.append((example.utterance, alignment.misfit[key]))
    path = opened.folder / "alignment" / "words.json" if out is None else Path(out)
    rounded = {
        key: [[word, round(start, 4), round(end, 4)] for word, start, end in times] for key, times in words.items()
    }
    write_text(path, json.dumps(rounded, ensure_ascii=False) + "\n")
    return Timings(words, sorted(misfits, key=lambda item: -item[1]), alignment.too_short, path)
