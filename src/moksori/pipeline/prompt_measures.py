"""What a study of prompts measures of a model: what `evaluate --task like` hears, and what its validation saw."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

from moksori.models.checkpoint import read_manifest
from moksori.pipeline.ablations import Figure, Measured
from moksori.pipeline.evaluate import evaluate
from moksori.pipeline.progress import Progress, no_progress

JUDGED = ("words", "speaker", "prosody")
"""Groups of measures of the task `like`."""
HEARD = {"words": "words", "speaker": "speaker"}
"""Those that need a judge, and which."""
_MOMENTS = ("mean", "deviation", "skewness", "kurtosis")
_MEASURES = (
    *("speaker", "speaker_eer", "wer", "rtf"),
    *(f"prosody_{kind}_{name}" for kind in ("pitch", "duration") for name in _MOMENTS),
    *(f"phoneme_{kind}_correlation" for kind in ("pitch", "duration")),
)
VALIDATED = ("data", "codes_1", "duration", "pitch", "prompt_gain", "condition_gain")
"""Of the last validation: losses, how often the first code is right in early guesses, and what the data loss rises by
without the prompt and without the text."""


def measure_prompts(
    weights: Path,
    corpus: str | Path,
    *,
    split: str = "test",
    limit: int | None = None,
    recogniser: str = "pocketsphinx",
    encoder: str = "resemblyzer",
    codec: str | None = None,
    measures: Sequence[str] = JUDGED,
    memory: Path | None = None,
    progress: Progress = no_progress,
) -> Measured:
    """Measures the weights of a run, beside which lies its log; seed 0 throughout. Raises as `evaluate` does."""
    report = evaluate(
        weights, corpus, split, limit, 0, task="like", measures=measures, recogniser=recogniser, encoder=encoder,
        memory=memory, vocoder=codec, progress=progress,
    )  # fmt: skip
    found = {
        system.name: {name: Figure.of(system.measures[name]) for name in _MEASURES if name in system.measures}
        for system in report.systems
    }
    own = found.pop(report.model)
    notes = [report.material, *(note for note in report.notes if note)]
    return Measured({**validated(weights), **own}, found, notes)


def validated(weights: Path) -> dict[str, Figure]:
    """VALIDATED, when these weights were taken; {} for a run without validation. No interval: it is one look."""
    steps = read_manifest(weights).steps
    path = weights.parent / "metrics.jsonl"
    found: dict[str, Figure] = {}
    if not path.is_file():
        return found
    for line in path.read_text(encoding="utf-8").splitlines():
        told = json.loads(line)
        if told.get("kind") == "valid" and told.get("step") == steps:
            found = {name: Figure(float(told[name]), math.nan, 1) for name in VALIDATED if name in told}
    return found
