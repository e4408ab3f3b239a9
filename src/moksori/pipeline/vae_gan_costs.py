"""What a run of the comparison has cost, and what it said of itself: read off the logs that every run leaves."""

import json
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from moksori.pipeline.study_runs import keep, kept
from moksori.training.loop import Progress

_MEMORY_NAME = "memory.json"
_STATM = Path("/proc/self/statm")


class MemoryWatch:
    """The most memory that the process has at a step of a run, kept in the run's folder; a resumed run adds to it."""

    def __init__(self, run: Path) -> None:
        self._path = run / _MEMORY_NAME
        self._most = float((kept(self._path, []) or {}).get("peak_mb", 0.0))
        self._steps = 0

    def __enter__(self) -> "MemoryWatch":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._steps:
            keep(self._path, [], {"peak_mb": round(self._most, 1)})

    def on_step(self, tell: Callable[[Progress], None]) -> Callable[[Progress], None]:
        """A listener of steps that looks at the memory and passes on."""

        def watched(progress: Progress) -> None:
            self._most, self._steps = max(self._most, resident_mb()), self._steps + 1
            tell(progress)

        return watched


def resident_mb() -> float:
    """Memory that this process has now, in MB; where the system does not tell, the most that it has had."""
    try:
        return int(_STATM.read_text(encoding="ascii").split()[1]) * resource.getpagesize() / 1e6
    except (OSError, ValueError, IndexError):
        unit = 1.0 if sys.platform == "darwin" else 1024.0
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def cost_of(run: Path) -> dict[str, float]:
    """Of a run's training: seconds of all steps, milliseconds of a late one, MB at most, and the median and the largest
    norm of its gradients, of all optimizers together. Empty where it has left no log; evaluation is not counted."""
    rows = _rows(run, "train")
    if not rows:
        return {}
    steps = max(int(row["step"]) for row in [*rows, *_rows(run, "valid")])
    # A row's figure is the mean of the up to 50 steps before it; later phases of a run may take longer.
    seconds = [float(row["seconds_per_step"]) for row in rows if "seconds_per_step" in row] or [float("nan")]
    norms = [
        float(np.sqrt(sum(value**2 for name, value in row.items() if name.endswith("/gradient_norm")))) for row in rows
    ]
    found = {
        "seconds": float(np.mean(seconds)) * steps,
        "milliseconds_per_step": 1000.0 * seconds[-1],
        "gradient_norm": float(np.median(norms)),
        "largest_gradient_norm": float(np.max(norms)),
    }
    memory = kept(run / _MEMORY_NAME, [])
    return found | ({} if memory is None else {"peak_mb": float(memory["peak_mb"])})


def last_validation(run: Path) -> dict[str, float]:
    """The terms of the last validation, such as nats, codes in use, the critic's distance."""
    rows = _rows(run, "valid")
    return {name: float(value) for name, value in rows[-1].items()} if rows else {}


def _rows(run: Path, kind: str) -> list[dict[str, Any]]:
    try:
        lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if row.pop("kind", "") == kind:
            found.append(row)
    return found
