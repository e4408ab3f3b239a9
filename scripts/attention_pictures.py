"""Draws where each flow of a Flowtron reads, over a held-out recording and its text (docs/families/flowtron.md).

python scripts/attention_pictures.py flowtron-kathleen --corpus corpora/kathleen -o attention.png
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import torch

from moksori.corpus import Corpus
from moksori.corpus.collate import collate
from moksori.corpus.features import prepare
from moksori.errors import MoksoriError
from moksori.models.checkpoint import load_model
from moksori.models.flowtron import Flowtron
from moksori.models.flowtron.objective import text_of
from moksori.pipeline.models import find_model
from moksori.types import Example, SpeechNeeds


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("model")
    options.add_argument("--corpus", type=Path, required=True)
    options.add_argument("--split", default="valid")
    options.add_argument("-o", "--output", type=Path, required=True)
    chosen = options.parse_args()
    loaded = load_model(find_model(chosen.model))
    model = loaded.model
    if not isinstance(model, Flowtron) or loaded.manifest.text is None:
        sys.exit(f"{chosen.model}: is no Flowtron")
    found = Corpus.open(chosen.corpus)
    first, *rest = sorted(found.split(chosen.split), key=lambda u: abs(u.duration_seconds - 4.0))
    needs = SpeechNeeds(model.sample_rate, model.hop_length, f0=model.hears_pitch)
    examples = prepare(found.without(u.name for u in rest), chosen.split, needs, loaded.manifest.text)
    draw(model, examples, needs, first.text, chosen.output)


@torch.inference_mode()
def draw(model: Flowtron, examples: Sequence[Example], needs: SpeechNeeds, text: str, path: Path) -> None:
    """The mel, and below it each flow's attention without prior, in the recording's own time; tokens upwards."""
    batch = collate(examples, needs)
    heard, lengths = model.frames(batch.waveform, batch.f0), batch.waveform_lengths // model.hop_length
    encoded = model.encode(heard, lengths, model.memory(text_of(batch)))
    seconds = int(lengths[0]) * model.hop_length / model.sample_rate
    figure, rows = plt.subplots(1 + len(encoded.attention), 1, figsize=(8.0, 6.4), sharex=True, layout="constrained")
    rows[0].imshow(model.mel_part(heard)[0], origin="lower", aspect="auto", extent=(0.0, seconds, 0, 80))
    rows[0].set(title=text, ylabel="mel bands", yticks=[])
    for number, (row, weights) in enumerate(zip(rows[1:], encoded.attention, strict=True)):
        shown = weights[0, : int(encoded.group_lengths[0])].T
        row.imshow(shown, origin="lower", aspect="auto", extent=(0.0, seconds, 0, len(shown)), vmin=0.0, vmax=1.0)
        row.set(ylabel=f"flow {number}: tokens")
    rows[-1].set_xlabel("seconds")
    figure.savefig(path, dpi=80)
    print(f"{path}: {text}")


if __name__ == "__main__":
    try:
        main()
    except MoksoriError as error:
        sys.exit(str(error))
