"""What a study of singing conversion measures of a model: as `evaluate --task sing` hears it, and teacher-forced."""

from pathlib import Path
from typing import Any

import torch

from moksori.corpus.features import prepare
from moksori.corpus.manifest import Corpus
from moksori.evaluation.names import CHANCE, COPY, HUMAN, KEY_CHANGE, PROBED_MELS, UNCHANGED
from moksori.evaluation.statistics import ratio_estimate
from moksori.models.checkpoint import load_model
from moksori.pipeline.ablations import Figure, Measured
from moksori.pipeline.batches import fixed_batches
from moksori.pipeline.evaluate import evaluate
from moksori.pipeline.progress import Progress, no_progress
from moksori.pipeline.run_config import RunConfig
from moksori.pipeline.speaker_table import in_table
from moksori.text.tokenizer import TextConfig

HEARD = ("singer_identified", "singer_source", "raw_pitch_accuracy", "raw_chroma_accuracy", "code_probe", "rtf")
"""Of conversions, by the names of `evaluation.columns`; of copies the same with COPIED before them."""
COPIED = "copy_"
OF_COPIES = ("mel_distance", "singer_identified", "raw_pitch_accuracy")
FORCED = ("bits", "code_gain", "singer_gain", "code_spread")
"""Teacher-forced, of held-out recordings: bits a sample, and what is lost with other codes and another singer."""
VALIDATED_CLIPS = 40
_SYSTEMS = (HUMAN, UNCHANGED, KEY_CHANGE, PROBED_MELS, CHANCE)


def measure_singing(
    weights: Path,
    config: RunConfig,
    corpus: str | Path,
    *,
    split: str = "test",
    limit: int | None = None,
    targets: int | None = None,
    encoder: str = "resemblyzer",
    memory: Path | None = None,
    progress: Progress = no_progress,
) -> Measured:
    """Measures a WaveNet autoencoder of the configuration that it was trained with; seed 0 throughout.

    Raises as `evaluate` does.
    """
    report = evaluate(
        weights, corpus, split, limit, 0, task="sing", encoder=encoder, memory=memory, targets=targets,
        progress=progress,
    )  # fmt: skip
    found: dict[str, Figure] = {}
    for system, names, before in ((report.model, HEARD, ""), (COPY, OF_COPIES, COPIED)):
        scored = report.system(system)
        measures = {} if scored is None else scored.measures
        found |= {before + name: Figure.of(measures[name]) for name in names if name in measures}
    references = {}
    for system in _SYSTEMS:
        scored = report.system(system)
        if scored is not None:
            references[system] = {name: Figure.of(e) for name, e in scored.measures.items() if name in HEARD}
    notes = [report.material, *(note for note in report.notes if note)]
    return Measured({**teacher_forced(weights, config, corpus), **found}, references, notes)


def teacher_forced(weights: Path, config: RunConfig, corpus: str | Path) -> dict[str, Figure]:
    """FORCED over the validation recordings, whose training never saw them; {} for a corpus without a `valid` split."""
    opened = Corpus.open(corpus)
    if "valid" not in opened.splits or not opened.split("valid"):
        return {}
    loaded = load_model(weights)
    needs = config.family.needs(config.model, config.objective)
    prepared = prepare(opened, "valid", needs, TextConfig(language=opened.info.language))
    examples = in_table(prepared, loaded.manifest.speakers, "valid")[:VALIDATED_CLIPS]
    objective: Any = config.family.objective(loaded.model, config.objective).eval()
    values: dict[str, list[tuple[float, int]]] = {name: [] for name in FORCED}
    for place, batch in enumerate(fixed_batches(examples, needs.in_batches, config.training.batch_size)):
        with torch.inference_mode():
            terms = objective.validate(batch, torch.Generator().manual_seed(place))
        for name in FORCED:
            if name in terms:
                values[name].append((float(terms[name]) * len(batch.names), len(batch.names)))
    return {
        name: Figure.of(ratio_estimate([total for total, _ in part], [count for _, count in part]))
        for name, part in values.items()
        if part
    }
