"""The paper's ablations of singing conversion: the same model with a part of its training taken away, each in turn.

Nachmani and Wolf 2019 (arXiv:1904.06590) compare the whole with no back-translation, no mixup and no augmentation; no
confusion is added, since lambda is what both of its phases share. A study is a folder with `study.json`, a training
run for each variant and seed (`no-mixup-seed-0/`) with `measures.json` once it is measured, and `singing.json`.
Whatever is there already is not done again. Of one seed all variants have the same first weights and see the same
recordings at the same steps, as many of them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moksori.corpus.manifest import Corpus, write_text
from moksori.corpus.speech_to_singing import is_song
from moksori.errors import BadInput, ConfigError, CorpusError, unknown_name
from moksori.evaluation import speaker_encoders
from moksori.models.checkpoint import fingerprint, read_manifest
from moksori.pipeline.evaluate_settings import Settings
from moksori.pipeline.evaluate_songs import JUDGED_SONGS
from moksori.pipeline.models import find_model
from moksori.pipeline.run_config import RunConfig, run_config
from moksori.pipeline.singing_measures import Figure, SingingMeasures, measure_singing
from moksori.pipeline.study_runs import failure, keep, kept, train_or_tell
from moksori.pipeline.train import Listener

PRESET = "wavenet_autoencoder/study"
STUDY_NAME, MEASURES_NAME, RESULT_NAME = "study.json", "measures.json", "singing.json"
VERSION = 1
PHASE_2 = "objective.back_translation"
_BY_THE_STUDY = ("training.seed", "training.max_steps", "training.max_minutes")


@dataclass(frozen=True)
class Variant:
    """What is taken away of the training. assignments: that take it away. title: for tables."""

    name: str
    title: str
    assignments: tuple[str, ...] = ()


FULL = Variant("full", "everything")
VARIANTS = (
    FULL,
    Variant("no-back-translation", "no back-translation (phase 1 alone)", (f"{PHASE_2}=null",)),
    Variant("no-mixup", "no mixup (phase 2 in voices of the table)", (f"{PHASE_2}.mixup=false",)),
    Variant(
        "no-augmentation",
        "no augmentation (four versions, slices, speed)",
        ("objective.four_fold=false", "objective.slice_semitones=0", "objective.speed=0"),
    ),
    Variant("no-confusion", "no confusion (lambda 0)", ("objective.confusion.weight=0",)),
)


def variant_named(name: str) -> Variant:
    """Raises UnknownName with the nearest ones."""
    found = {variant.name: variant for variant in VARIANTS}
    if name not in found:
        raise unknown_name("variant", name, found)
    return found[name]


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
            "measures": {name: figure.as_json() for name, figure in self.measures.items()},
        }

    @classmethod
    def of_json(cls, stored: Mapping[str, Any]) -> "Trained":
        measures = {name: Figure.of_json(figure) for name, figure in stored["measures"].items()}
        return cls(
            variant_named(stored["variant"]), int(stored["seed"]), int(stored["steps"]), measures, stored["failure"]
        )


@dataclass(frozen=True)
class SingingStudy:
    """All runs, and what they stand beside. settings: of training and of measuring. references: measures of recordings,
    of songs as they are, and of guessing, by system and name. notes: of the first evaluation."""

    folder: Path
    settings: Mapping[str, Any]
    runs: Sequence[Trained]
    references: Mapping[str, Mapping[str, Figure]] = field(default_factory=dict)
    notes: Sequence[str] = ()

    @property
    def variants(self) -> list[Variant]:
        """Those that were run, in the order of VARIANTS."""
        return [variant for variant in VARIANTS if any(run.variant == variant for run in self.runs)]

    def of(self, variant: Variant) -> list[Trained]:
        return [run for run in self.runs if run.variant == variant]

    def as_json(self) -> dict[str, Any]:
        return {
            **self.settings,
            "references": {
                system: {name: figure.as_json() for name, figure in measures.items()}
                for system, measures in self.references.items()
            },
            "notes": list(self.notes),
            "runs": [run.as_json() for run in self.runs],
        }

    @classmethod
    def read(cls, path: Path) -> "SingingStudy":
        """A study from its `singing.json`; raises BadInput where it is none."""
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            references = {
                system: {name: Figure.of_json(figure) for name, figure in measures.items()}
                for system, measures in stored.pop("references").items()
            }
            runs = [Trained.of_json(run) for run in stored.pop("runs")]
            notes = stored.pop("notes")
            return cls(path.parent, stored, runs, references, notes)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadInput(f"{path}: no result of a study ({error}): run 'moksori study singing'") from error


def run_name(variant: Variant, seed: int) -> str:
    """The name of a run's folder."""
    return f"{variant.name}-seed-{seed}"


def study_singing(
    corpus: str | Path,
    folder: str | Path,
    assignments: Sequence[str] = (),
    *,
    variants: Sequence[Variant] = VARIANTS,
    seeds: int = 1,
    preset: str = PRESET,
    steps: int | None = None,
    start_from: str | None = None,
    split: str = "test",
    limit: int | None = None,
    targets: int | None = None,
    encoder: str = speaker_encoders.DEFAULT,
    measure_only: bool = False,
    listener: Listener | None = None,
) -> SingingStudy:
    """Trains what is not trained, measures what is not measured, and writes the result into `folder`.

    assignments: overrides for every variant. seeds: runs of each variant, seeds 0 to one less. steps: of each run; the
    preset's if None. Phase 2 begins after half of them, or at once with `start_from`, unless
    objective.back_translation.start_step is given. start_from: a model from whose weights all variants start.
    split, limit, targets, encoder: of `evaluate`'s task `sing`. measure_only: trains nothing.
    Raises ConfigError for settings that a variant does not change, or other ones than the folder's; CorpusError and
    MissingExtra as `train` and `evaluate` do.
    """
    listener, folder = listener or Listener(), Path(folder)
    common, config = _configured(preset, assignments, variants, seeds, steps, start_from)
    found = Corpus.open(corpus)
    _check(found, split, encoder)
    source = "" if start_from is None else fingerprint(find_model(start_from))
    settings = {
        "version": VERSION,
        "preset": preset,
        "assignments": common,
        "steps": config.training.max_steps,
        "from": source,
        "corpus": found.info.name,
        "counts": dict(found.info.counts),
    }
    _begin(folder, settings)
    measuring = {"split": split, "limit": limit, "targets": targets, "encoder": encoder}
    key = [VERSION, settings["corpus"], settings["counts"], measuring]
    runs: list[Trained] = []
    beside: SingingMeasures | None = None
    # Seed by seed, so that a study that is stopped early has all variants of one.
    for seed in range(seeds):
        for variant in variants:
            run = folder / run_name(variant, seed)
            listener.stage(run.name)
            if not measure_only and not (run / MEASURES_NAME).is_file():
                own = [*common, f"training.seed={seed}", *variant.assignments]
                train_or_tell(preset, corpus, run, own, listener, start_from)
            trained, measured = _measured(run, variant, seed, corpus, folder, measuring, key, listener)
            runs += [] if trained is None else [trained]
            beside = beside or measured
    references, notes = _beside(folder / "references.json", key, beside)
    asked = {"seeds": seeds, "given": list(assignments), "start": start_from or ""}
    study = SingingStudy(folder, {**settings, **measuring, **asked}, runs, references, notes)
    write_text(folder / RESULT_NAME, json.dumps(study.as_json(), indent=2) + "\n")
    return study


def _configured(
    preset: str,
    assignments: Sequence[str],
    variants: Sequence[Variant],
    seeds: int,
    steps: int | None,
    start_from: str | None,
) -> tuple[list[str], RunConfig]:
    """What all runs are given beside the preset, and the configuration of the whole."""
    if not variants or seeds < 1:
        raise ConfigError(f"a study of {len(variants)} variants and {seeds} seeds: take at least one of each")
    for assignment in assignments:
        if assignment.partition("=")[0] in _BY_THE_STUDY:
            raise ConfigError(f"{assignment}: the study sets this: give --steps or --seeds")
    plain = run_config(preset, assignments)
    if plain.family.name != "wavenet_autoencoder":
        raise ConfigError(f"{preset}: a preset of {plain.family.name!r}; the study is one of 'wavenet_autoencoder'")
    steps = steps if steps is not None else plain.training.max_steps
    if steps is None:
        raise ConfigError(f"{preset}: has no training.max_steps, and variants are compared after equal steps: --steps")
    common = [*assignments, f"training.max_steps={steps}", "training.max_minutes=null"]
    named = any(assignment.startswith(PHASE_2) and "start_step" in assignment for assignment in assignments)
    if plain.objective.back_translation is not None and not named:
        common.append(f"{PHASE_2}.start_step={0 if start_from is not None else steps // 2}")
    whole = run_config(preset, common)
    for variant in variants:
        changed = run_config(preset, [*common, *variant.assignments]) if _applies(whole, variant) else whole
        if variant.assignments and changed.objective == whole.objective:
            raise ConfigError(
                f"{variant.name}: with these settings there is nothing to take away ({', '.join(variant.assignments)} "
                f"already holds): choose others, or leave the variant out"
            )
    return common, whole


def _applies(whole: RunConfig, variant: Variant) -> bool:
    """Without phase 2 nothing of it can be set."""
    return whole.objective.back_translation is not None or not any(a.startswith(PHASE_2) for a in variant.assignments)


def _check(corpus: Corpus, split: str, encoder: str) -> None:
    """Raises CorpusError and MissingExtra for what could not be measured, before hours of training."""
    singers = {utterance.speaker for utterance in corpus.split("train")}
    if len(singers) < 2:
        raise CorpusError(
            f"{corpus.folder}: has training recordings of {len(singers)} singer, and who sings is told between two at "
            "least: join corpora with 'moksori corpus merge'"
        )
    if split not in corpus.splits or not any(is_song(utterance) for utterance in corpus.split(split)):
        raise CorpusError(
            f"{corpus.folder}: no songs in its split {split!r}: import recordings of singing, or make songs of speech "
            "with 'moksori corpus sing'"
        )
    Settings(corpus, split, encoder=encoder).judges((), tuple(JUDGED_SONGS), JUDGED_SONGS)


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
    run: Path,
    variant: Variant,
    seed: int,
    corpus: str | Path,
    folder: Path,
    measuring: Mapping[str, Any],
    key: Sequence[Any],
    listener: Listener,
) -> tuple[Trained | None, SingingMeasures | None]:
    """A run as it was measured before, or is now; None where it has neither weights nor a failure to tell of."""
    weights, reason = run / "model", failure(run)
    if not (weights / "config.json").is_file():
        return (Trained(variant, seed, 0, {}, reason) if reason else None), None
    own = [*key, fingerprint(weights), reason]
    if (stored := kept(run / MEASURES_NAME, own)) is not None:
        return Trained.of_json(stored), None
    listener.stage(f"measuring {run.name}")
    measured = measure_singing(
        weights, run_config(run / "config.yaml"), corpus, memory=folder / "judgements.jsonl",
        progress=listener.progress, **measuring,
    )  # fmt: skip
    trained = Trained(variant, seed, read_manifest(weights).steps, measured.measures, reason)
    keep(run / MEASURES_NAME, own, trained.as_json())
    return trained, measured


def _beside(
    path: Path, key: Sequence[Any], measured: SingingMeasures | None
) -> tuple[dict[str, dict[str, Figure]], list[str]]:
    """What recordings and songs as they are measure themselves, and notes: of this call's first model, or as kept."""
    if measured is not None:
        references = {name: dict(measures) for name, measures in measured.references.items()}
        stored = {
            system: {name: figure.as_json() for name, figure in measures.items()}
            for system, measures in references.items()
        }
        keep(path, key, {"references": stored, "notes": list(measured.notes)})
        return references, list(measured.notes)
    found = kept(path, key)
    if found is None:
        return {}, []
    return {
        system: {name: Figure.of_json(figure) for name, figure in measures.items()}
        for system, measures in found["references"].items()
    }, list(found["notes"])
