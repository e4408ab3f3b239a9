"""What studies that train several models have in common: a run for each case, and its measures, kept beside it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from moksori.corpus.manifest import write_text
from moksori.errors import TrainingCollapsed
from moksori.pipeline.train import Listener, train
from moksori.training.checkpoints import checkpoints
from moksori.training.loop import TrainingFailed

FAILED_NAME = "failed.json"


def train_case(
    preset: str | Path,
    corpus: str | Path,
    run: Path,
    assignments: Sequence[str],
    listener: Listener,
    start_from: str | None = None,
    again: Sequence[str] = (),
) -> None:
    """Trains a case to its end: from the beginning, or where a run that was interrupted stopped.

    assignments: of a run that begins. again: of one that is taken up, which knows its own. The listener is told
    progress and steps, and no stages: a case is one stage of its study.
    """
    quiet = Listener(progress=listener.progress, step=listener.step)
    if checkpoints(run / "checkpoints"):
        train(None, corpus, run, again, resume=True, listener=quiet)
    else:
        train(preset, corpus, run, assignments, start_from, listener=quiet)


def train_or_tell(
    preset: str | Path,
    corpus: str | Path,
    run: Path,
    assignments: Sequence[str],
    listener: Listener,
    start_from: str | None = None,
) -> str:
    """The same for a case that may fail: why it was stopped, "" where it was not.

    The reason is kept in the run's folder, and such a run is not taken up again.
    """
    if reason := failure(run):
        return reason
    try:
        train_case(preset, corpus, run, assignments, listener, start_from)
    except (TrainingCollapsed, TrainingFailed) as error:
        keep(run / FAILED_NAME, [], {"reason": str(error)})
        return str(error)
    return ""


def failure(run: Path) -> str:
    """Why the run of a case was stopped; "" where it was not."""
    stored = kept(run / FAILED_NAME, [])
    return "" if stored is None else str(stored.get("reason", ""))


def kept(path: Path, key: Sequence[Any]) -> dict[str, Any] | None:
    """What `keep` wrote under the same key; None for anything else."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return dict(stored) if stored["key"] == json.loads(json.dumps(list(key))) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def keep(path: Path, key: Sequence[Any], content: Mapping[str, Any]) -> None:
    """Writes a dictionary that JSON can hold, with what it was measured of, whole or not at all."""
    write_text(path, json.dumps({"key": list(key), **content}, indent=2) + "\n")


def numbers(stored: Mapping[str, float | None]) -> dict[str, float]:
    """Measures from JSON, which has null for NaN."""
    return {name: float("nan") if value is None else float(value) for name, value in stored.items()}


def rounded(value: float) -> float | None:
    """Six digits; JSON has no NaN."""
    return None if value != value else float(f"{value:.6g}")
