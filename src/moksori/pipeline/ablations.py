"""What each part of a training does: the same model with a part taken away, each in turn, trained and measured alike.

A study is a folder with `study.json`, a training run for each variant and seed (`no-mixup-seed-0/`) with
`measures.json` once it is measured, and the result, `NAME.json`. Whatever is there already is not done again. Of one
seed all variants see the same recordings at the same steps, as many of them, and those with the same parts begin with
the same weights.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

from moksori.corpus.manifest import write_text
from moksori.errors import BadInput, ConfigError, unknown_name
from moksori.evaluation.statistics import Estimate
from moksori.models.checkpoint import fingerprint, read_manifest
from moksori.pipeline.progress import Progress
from moksori.pipeline.run_config import RunConfig, run_config
from moksori.pipeline.study_runs import failure, keep, kept, numbers, rounded, train_or_tell
from moksori.pipeline.train import Listener

STUDY_NAME, MEASURES_NAME, REFERENCES_NAME = "study.json", "measures.json", "references.json"
JUDGEMENTS_NAME = "judgements.jsonl"
_BY_THE_STUDY = ("training.seed", "training.max_steps", "training.max_minutes")


@dataclass(frozen=True)
class Figure:
    """A measure of one run, half of its 95 % interval over sounds, and over how many; NaN where there is none, and no
    interval of one sound alone."""

    value: float
    half: float
    n: int

    @classmethod
    def of(cls, estimate: Estimate) -> "Figure":
        half = (estimate.high - estimate.low) / 2 if estimate.n > 1 else float("nan")
        return cls(estimate.value, half, estimate.n)

    def as_json(self) -> dict[str, Any]:
        return {"value": rounded(self.value), "half": rounded(self.half), "n": self.n}

    @classmethod
    def of_json(cls, stored: Mapping[str, Any]) -> "Figure":
        known = numbers({name: stored[name] for name in ("value", "half")})
        return cls(known["value"], known["half"], int(stored["n"]))


@dataclass(frozen=True)
class Variant:
    """What is taken away of the training. assignments: that take it away. title: for tables."""

    name: str
    title: str
    assignments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Design:
    """A kind of study. name: its command, and of its files. family: whose models it trains, by which preset. variants:
    the whole first, then what is compared with it."""

    name: str
    family: str
    preset: str
    variants: tuple[Variant, ...]

    @property
    def whole(self) -> Variant:
        return self.variants[0]

    @property
    def result_name(self) -> str:
        return f"{self.name}.json"

    def variant(self, name: str) -> Variant:
        """Raises UnknownName with the nearest ones."""
        found = {variant.name: variant for variant in self.variants}
        if name not in found:
            raise unknown_name("variant", name, found)
        return found[name]


@dataclass(frozen=True)
class Measured:
    """measures: of a model. references: of recordings and the like, by system. notes: of how it was measured, and of
    what was not."""

    measures: Mapping[str, Figure]
    references: Mapping[str, Mapping[str, Figure]]
    notes: Sequence[str]


@dataclass(frozen=True)
class Trained:
    """One run: a variant and a seed, the steps of its weights, what was measured of them, and why it was stopped before
    its end, "" where it was not."""

    variant: Variant
    seed: int
    steps: int
    measures: Mapping[str, Figure]
    failure: str = ""

    @property
    def name(self) -> str:
        return run_name(self.variant, self.seed)

    def as_json(self) -> dict[str, Any]:
        return {
            "variant": self.variant.name,
            "seed": self.seed,
            "steps": self.steps,
            "failure": self.failure,
            "measures": _figures_json(self.measures),
        }

    @classmethod
    def of_json(cls, stored: Mapping[str, Any], design: Design) -> "Trained":
        variant, measures = design.variant(stored["variant"]), _figures_of(stored["measures"])
        return cls(variant, int(stored["seed"]), int(stored["steps"]), measures, stored["failure"])


@dataclass(frozen=True)
class Ablations:
    """All runs, and what they stand beside. settings: of training and of measuring. references: measures of recordings
    and of guessing, by system and name. notes: of the first evaluation."""

    design: ClassVar[Design]

    folder: Path
    settings: Mapping[str, Any]
    runs: Sequence[Trained]
    references: Mapping[str, Mapping[str, Figure]] = field(default_factory=dict)
    notes: Sequence[str] = ()

    @property
    def variants(self) -> list[Variant]:
        """Those that were run, in the order of the design."""
        return [variant for variant in self.design.variants if any(run.variant == variant for run in self.runs)]

    def of(self, variant: Variant) -> list[Trained]:
        return [run for run in self.runs if run.variant == variant]

    def as_json(self) -> dict[str, Any]:
        references = {system: _figures_json(measures) for system, measures in self.references.items()}
        runs = [run.as_json() for run in self.runs]
        return {**self.settings, "references": references, "notes": list(self.notes), "runs": runs}

    def save(self) -> Path:
        """Writes the result into the folder."""
        path = self.folder / self.design.result_name
        write_text(path, json.dumps(self.as_json(), indent=2) + "\n")
        return path

    @classmethod
    def read(cls, path: Path) -> Self:
        """A study from its result; raises BadInput where it is none."""
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            references = {system: _figures_of(measures) for system, measures in stored.pop("references").items()}
            runs = [Trained.of_json(run, cls.design) for run in stored.pop("runs")]
            notes = stored.pop("notes")
            return cls(path.parent, stored, runs, references, notes)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadInput(f"{path}: no result of a study ({error}): run 'moksori study {cls.design.name}'") from error


def run_name(variant: Variant, seed: int) -> str:
    """The name of a run's folder."""
    return f"{variant.name}-seed-{seed}"


@dataclass(frozen=True)
class Plan:
    """What is to be run. common: assignments of all runs. settings: what all runs in a folder share, and what measures
    depend on. measuring: likewise, how they are measured. measure: does it, given weights, the configuration that they
    were trained with, a file for judgements and a progress."""

    preset: str
    corpus: str | Path
    common: Sequence[str]
    variants: Sequence[Variant]
    seeds: int
    settings: Mapping[str, Any]
    measuring: Mapping[str, Any]
    measure: Callable[[Path, RunConfig, Path, Progress], Measured]
    start_from: str | None = None

    @property
    def key(self) -> list[Any]:
        """What measures are kept under."""
        return [self.settings[name] for name in ("version", "corpus", "counts")] + [dict(self.measuring)]


def checked(
    design: Design, preset: str, assignments: Sequence[str], variants: Sequence[Variant], seeds: int, steps: int | None
) -> tuple[RunConfig, int]:
    """The whole's configuration, and the steps of each run. Raises ConfigError for what no study can be made of."""
    if not variants or seeds < 1:
        raise ConfigError(f"a study of {len(variants)} variants and {seeds} seeds: take at least one of each")
    for assignment in assignments:
        if assignment.partition("=")[0] in _BY_THE_STUDY:
            raise ConfigError(f"{assignment}: the study sets this: give --steps or --seeds")
    plain = run_config(preset, assignments)
    if plain.family.name != design.family:
        raise ConfigError(f"{preset}: a preset of {plain.family.name!r}; the study is one of {design.family!r}")
    steps = steps if steps is not None else plain.training.max_steps
    if steps is None:
        raise ConfigError(f"{preset}: has no training.max_steps, and variants are compared after equal steps: --steps")
    return plain, steps


def equal_steps(steps: int) -> list[str]:
    """Assignments by which all variants take as many."""
    return [f"training.max_steps={steps}", "training.max_minutes=null"]


def check_taken_away(variant: Variant, whole: RunConfig, changed: RunConfig) -> None:
    """Raises ConfigError for a variant that is the whole."""
    if variant.assignments and (changed.model, changed.objective) == (whole.model, whole.objective):
        raise ConfigError(
            f"{variant.name}: with these settings there is nothing to take away ({', '.join(variant.assignments)} "
            f"already holds): choose others, or leave the variant out"
        )


def run(
    design: Design, plan: Plan, folder: Path, measure_only: bool, listener: Listener
) -> tuple[list[Trained], dict[str, dict[str, Figure]], list[str]]:
    """Trains what is not trained and measures what is not measured: the runs, what stands beside them, and notes.

    Raises ConfigError for a folder that holds a study of other settings.
    """
    _begin(folder, plan.settings)
    runs: list[Trained] = []
    beside: Measured | None = None
    # Seed by seed, so that a study that is stopped early has all variants of one.
    for seed in range(plan.seeds):
        for variant in plan.variants:
            case = folder / run_name(variant, seed)
            listener.stage(case.name)
            if not measure_only and not (case / MEASURES_NAME).is_file():
                own = [*plan.common, f"training.seed={seed}", *variant.assignments]
                train_or_tell(plan.preset, plan.corpus, case, own, listener, plan.start_from)
            trained, measured = _measured(design, plan, case, variant, seed, listener)
            runs += [] if trained is None else [trained]
            beside = beside or measured
    return runs, *_beside(folder / REFERENCES_NAME, plan.key, beside)


def _begin(folder: Path, settings: Mapping[str, Any]) -> None:
    """Makes the folder of a study, or checks that it is one of the same."""
    path = folder / STUDY_NAME
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(settings, indent=2) + "\n")
        return
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: cannot be read ({error}): name another --run, or remove it") from error
    wanted = json.loads(json.dumps(settings))
    for name in wanted:
        if not isinstance(stored, dict) or stored.get(name) != wanted[name]:
            there = stored.get(name) if isinstance(stored, dict) else stored
            raise ConfigError(
                f"{folder}: holds a study with {name} {there!r}, not {wanted[name]!r}: variants are compared with the "
                "same settings; name another --run"
            )


def _measured(
    design: Design, plan: Plan, case: Path, variant: Variant, seed: int, listener: Listener
) -> tuple[Trained | None, Measured | None]:
    """A run as it was measured before, or is now; None where it has neither weights nor a failure to tell of."""
    weights, reason = case / "model", failure(case)
    if not (weights / "config.json").is_file():
        return (Trained(variant, seed, 0, {}, reason) if reason else None), None
    own = [*plan.key, fingerprint(weights), reason]
    if (stored := kept(case / MEASURES_NAME, own)) is not None:
        return Trained.of_json(stored, design), None
    listener.stage(f"measuring {case.name}")
    config, judgements = run_config(case / "config.yaml"), case.parent / JUDGEMENTS_NAME
    measured = plan.measure(weights, config, judgements, listener.progress)
    trained = Trained(variant, seed, read_manifest(weights).steps, measured.measures, reason)
    keep(case / MEASURES_NAME, own, trained.as_json())
    return trained, measured


def _beside(
    path: Path, key: Sequence[Any], measured: Measured | None
) -> tuple[dict[str, dict[str, Figure]], list[str]]:
    """What recordings and the like measure themselves, and notes: of this call's first model, or as kept."""
    if measured is not None:
        references = {name: dict(measures) for name, measures in measured.references.items()}
        stored = {system: _figures_json(measures) for system, measures in references.items()}
        keep(path, key, {"references": stored, "notes": list(measured.notes)})
        return references, list(measured.notes)
    found = kept(path, key)
    if found is None:
        return {}, []
    return {system: _figures_of(measures) for system, measures in found["references"].items()}, list(found["notes"])


def _figures_json(measures: Mapping[str, Figure]) -> dict[str, Any]:
    return {name: figure.as_json() for name, figure in measures.items()}


def _figures_of(stored: Mapping[str, Any]) -> dict[str, Figure]:
    return {name: Figure.of_json(figure) for name, figure in stored.items()}
