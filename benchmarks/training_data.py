"""What does it save a training step that sound and phonemes wait in memory, in batches of similar length?

Of clips of a corpus's training split, processor seconds for a batch of 16: read and decoded from disk anew, phonemised
anew, their linear spectrograms made, and collated from memory as a training does it; and how much of a batch is padding
where clips of similar length go together, and where chance puts them together.

    python benchmarks/training_data.py --corpus corpora/kathleen --json
"""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import finish, parser, start

from moksori.audio.stft import linear_spectrogram
from moksori.corpus.features import prepare
from moksori.corpus.manifest import Corpus, read_utterance
from moksori.errors import MoksoriError
from moksori.pipeline.batches import ExampleBatches
from moksori.pipeline.run_config import run_config
from moksori.text.tokenizer import Tokenizer

BATCH = 16


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--corpus", type=Path, required=True, help="whose training clips are taken")
    options.add_argument("--preset", default="vits/compact", help="whose batches are made (default %(default)s)")
    options.add_argument("--batches", type=int, default=20, help="of 16 clips (default %(default)s)")
    chosen = options.parse_args()
    environment = start(chosen)
    try:
        figures = measure(Corpus.open(chosen.corpus), chosen.preset, chosen.batches)
    except MoksoriError as error:
        sys.exit(f"{error}")
    finish("training_data", chosen, environment, figures)


def measure(corpus: Corpus, preset: str, batches: int) -> dict[str, Any]:
    """Processor seconds a batch of each way, and shares of padding."""
    config = run_config(preset)
    needs = replace(config.family.needs(config.model, config.objective), durations=False, f0=False)
    text, mel = config.model.text, config.model.mel
    examples = prepare(corpus, "train", needs, text)
    lengths = [len(e.waveform) for e in examples]
    loader = ExampleBatches(examples, needs, BATCH, seed=1)
    chosen = [loader.sampler.indices(step) for step in range(batches)]
    tokenizer = Tokenizer(text)
    tokenizer.encode(examples[0].utterance.text, examples[0].utterance.language)  # starts what it phonemises with

    def read(batch: Sequence[int]) -> None:
        for index in batch:
            read_utterance(examples[index].utterance, needs.sample_rate)

    def phonemise(batch: Sequence[int]) -> None:
        for index in batch:
            tokenizer.encode(examples[index].utterance.text, examples[index].utterance.language)

    def spectrograms(batch: Sequence[int]) -> None:
        for index in batch:
            sound = torch.from_numpy(examples[index].waveform)[None]
            linear_spectrogram(sound, mel.n_fft, mel.hop_length, mel.window_length, mel.epsilon)

    ways: dict[str, Callable[[Sequence[int]], None]] = {
        "read and decoded": read,
        "phonemised": phonemise,
        "linear spectrograms": spectrograms,
    }
    figures: dict[str, Any] = {"corpus": corpus.info.name, "preset": preset, "clips": len(examples), "batch": BATCH}
    seconds = {name: _timed(way, chosen) for name, way in ways.items()}
    seconds["collated from memory"] = _timed(lambda step: loader.batch(step), range(batches))
    for name, value in seconds.items():
        print(f"  {name:22} {1000.0 * value:8.1f} ms a batch of {BATCH}")
    order = np.random.default_rng(0).permutation(len(examples)).tolist()
    groups: dict[str, Sequence[Sequence[int]]] = {
        "of similar length": chosen,
        "by chance": [order[i : i + BATCH] for i in range(0, BATCH * batches, BATCH)],
    }
    padding = {name: _padding(lengths, batches) for name, batches in groups.items()}
    for name, share in padding.items():
        print(f"  batches {name:18} {100.0 * share:5.1f} % padding")
    memory = sum(lengths) * examples[0].waveform.itemsize / 2**20
    print(f"  all of it in memory: {memory:.0f} MiB of sound for {sum(lengths) / needs.sample_rate / 3600.0:.2f} hours")
    return {**figures, "seconds_a_batch": seconds, "padding": padding, "memory_mib": memory}


def _timed(way: Callable[[Any], Any], items: Sequence[Any]) -> float:
    begun = time.process_time()
    for item in items:
        way(item)
    return (time.process_time() - begun) / len(items)


def _padding(lengths: Sequence[int], batches: Sequence[Sequence[int]]) -> float:
    """Share of the samples of padded batches that are none of a clip's."""
    longest = sum(max(lengths[i] for i in batch) * len(batch) for batch in batches)
    return 1.0 - sum(lengths[i] for batch in batches for i in batch) / longest


if __name__ == "__main__":
    main()
