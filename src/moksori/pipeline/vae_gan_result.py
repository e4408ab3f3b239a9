"""What the comparison found: runs, variants, and all of it as `vae_gan.json`."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moksori.errors import BadInput
from moksori.pipeline.study_runs import numbers, rounded

RESULT_NAME = "vae_gan.json"


@dataclass(frozen=True)
class Run:
    """A seed of a variant. reason: why it failed or stopped early, "" where it did not. measures: none where nothing
    could be converted. cost: of training. validation: the last terms of the held-out recordings, by name."""

    seed: int
    steps: int
    reason: str
    measures: Mapping[str, float]
    cost: Mapping[str, float] = field(default_factory=dict)
    validation: Mapping[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "steps": self.steps,
            "reason": self.reason,
            "measures": {name: rounded(value) for name, value in self.measures.items()},
            "cost": {name: rounded(value) for name, value in self.cost.items()},
            "validation": {name: rounded(value) for name, value in self.validation.items()},
        }

    @classmethod
    def of_json(cls, stored: Mapping[str, Any]) -> "Run":
        parts = (numbers(stored[name]) for name in ("measures", "cost", "validation"))
        return cls(stored["seed"], stored["steps"], stored["reason"], *parts)


@dataclass(frozen=True)
class Row:
    """A variant with its seeds, or a model that was there before: then there is one run. preset: "" for the latter."""

    name: str
    note: str
    preset: str
    runs: tuple[Run, ...]

    def values(self, key: str) -> list[float]:
        """A measure, seed by seed; NaN where a seed has none."""
        return [run.measures.get(key, math.nan) for run in self.runs]

    @property
    def failures(self) -> list[Run]:
        return [run for run in self.runs if run.reason]


@dataclass(frozen=True)
class Comparison:
    """Everything that was measured, and of what. references: name -> measures. notes: what a reader should know."""

    folder: Path
    settings: Mapping[str, Any]
    notes: Sequence[str]
    references: Mapping[str, Mapping[str, float]]
    rows: Sequence[Row]

    def row(self, name: str) -> Row | None:
        return next((row for row in self.rows if row.name == name), None)

    def as_json(self) -> dict[str, Any]:
        return {
            **self.settings,
            "notes": list(self.notes),
            "references": {n: {k: rounded(v) for k, v in found.items()} for n, found in self.references.items()},
            "variants": [
                {"name": r.name, "note": r.note, "preset": r.preset, "runs": [run.as_json() for run in r.runs]}
                for r in self.rows
            ],
        }

    @classmethod
    def read(cls, path: Path) -> "Comparison":
        """From its `vae_gan.json`; raises BadInput where that is none."""
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            rows = [
                Row(v["name"], v["note"], v["preset"], tuple(Run.of_json(run) for run in v["runs"]))
                for v in stored.pop("variants")
            ]
            references = {name: numbers(found) for name, found in stored.pop("references").items()}
            return cls(path.parent, stored, stored.pop("notes"), references, rows)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadInput(f"{path}: no result of a study ({error}): run 'moksori study vae_gan'") from error
