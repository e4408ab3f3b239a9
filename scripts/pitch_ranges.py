"""Writes where each speaker's pitch lies into a model's config.json, for models trained before training did so.

Conversion moves the melody there (docs/conversion.md). F0 of the first so many training clips of each speaker.

    python scripts/pitch_ranges.py MODEL_FOLDER --corpus corpora/seven
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from moksori.audio.f0 import extract_f0
from moksori.corpus import Corpus
from moksori.corpus.manifest import read_utterance
from moksori.errors import MoksoriError
from moksori.models.checkpoint import CONFIG_NAME, read_manifest
from moksori.pipeline.pitch_ranges import ranges_of_tracks

HOP_LENGTH = 256


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("model", type=Path)
    options.add_argument("--corpus", type=Path, required=True)
    options.add_argument("--clips", type=int, default=40, help="of each speaker (default %(default)s)")
    chosen = options.parse_args()
    manifest = read_manifest(chosen.model)
    ranges = measured(Corpus.open(chosen.corpus), set(manifest.speakers), chosen.clips)
    for speaker, (mean, deviation) in ranges.items():
        print(f"{speaker}: {np.exp(mean):.1f} Hz, {12 * deviation / np.log(2):.2f} semitones")
    missing = set(manifest.speakers) - set(ranges)
    if missing:
        sys.exit(f"{chosen.corpus}: has no voiced speech of {', '.join(sorted(missing))}: nothing was written")
    described = manifest.model_copy(update={"speaker_pitch": ranges}).model_dump(mode="json")
    path = chosen.model / CONFIG_NAME
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(described, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)
    print(f"wrote {path}")


def measured(corpus: Corpus, speakers: set[str], clips: int) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation of ln F0 over the first clips of each speaker."""
    tracks: dict[str, list[np.ndarray]] = {speaker: [] for speaker in speakers}
    for utterance in sorted(corpus.split("train"), key=lambda u: u.name):
        if utterance.speaker in tracks and len(tracks[utterance.speaker]) < clips:
            tracks[utterance.speaker].append(extract_f0(read_utterance(utterance), HOP_LENGTH))
    return ranges_of_tracks(tracks)


if __name__ == "__main__":
    try:
        main()
    except MoksoriError as error:
        sys.exit(f"pitch_ranges: {error}")
