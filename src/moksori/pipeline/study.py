"""The study of D-DSVAE's balance: the same small model at several beta / alpha, each measured in the same way.

A study is a folder: a training run for each case (`ratio-100/`; `ratio-100-no-pooling/` is without the mean over time),
`measures.json` in each once it is measured, and at the end `balance.json`. Whatever is there already is not done again.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from moksori.corpus.manifest import Corpus, write_text
from moksori.errors import BadInput, ConfigError, MissingExtra
from moksori.evaluation.speaker_encoders import build_encoder
from moksori.models.checkpoint import fingerprint, load_model
from moksori.pipeline.models import find_model
from moksori.pipeline.run_config import RunConfig, run_config
from moksori.pipeline.study_data import StudyData, study_data
from moksori.pipeline.study_measures import Embed, measure, references, vocoded
from moksori.pipeline.study_runs import keep, kept, numbers, rounded, train_case
from moksori.pipeline.train import Listener

logger = logging.getLogger(__name__)

PRESET = "dsvae/study"
RATIOS = (1, 10, 100, 1000, 10000)
NO_POOLING_RATIO = 100
MEASURES_NAME, RESULT_NAME = "measures.json", "balance.json"
MEASURES_VERSION = 1


@dataclass(frozen=True)
class Case:
    """One run. ratio: beta / alpha. pooling: of the speaker's posterior over time."""

    ratio: float
    pooling: bool = True

    @property
    def name(self) -> str:
        return f"ratio-{self.ratio:g}" + ("" if self.pooling else "-no-pooling")

    def assignments(self, alpha: float) -> list[str]:
        """What makes the preset this case."""
        balance = [f"objective.alpha={alpha:g}", f"objective.beta={self.ratio * alpha:g}"]
        return balance if self.pooling else [*balance, "model.speaker.pooling=false"]


CASES = (*(Case(ratio) for ratio in RATIOS), Case(NO_POOLING_RATIO, pooling=False))


@dataclass(frozen=True)
class Outcome:
    """A case, the steps that its weights have been trained for, what was measured, and what is wrong with it."""

    case: Case
    steps: int
    measures: Mapping[str, float]
    symptoms: Mapping[str, str]

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.case.name,
            "ratio": self.case.ratio,
            "pooling": self.case.pooling,
            "steps": self.steps,
            "symptoms": dict(self.symptoms),
            "measures": {name: rounded(value) for name, value in self.measures.items()},
        }


@dataclass(frozen=True)
class Study:
    """All outcomes, and what they stand beside. settings: preset, steps, corpus, numbers of speakers and trials."""

    folder: Path
    settings: Mapping[str, Any]
    references: Mapping[str, float]
    outcomes: Sequence[Outcome] = field(default_factory=tuple)

    def as_json(self) -> dict[str, Any]:
        return {
            **self.settings,
            "references": {name: rounded(value) for name, value in self.references.items()},
            "cases": [outcome.as_json() for outcome in self.outcomes],
        }

    @classmethod
    def read(cls, path: Path) -> "Study":
        """A study from its `balance.json`; raises BadInput where it is none."""
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            cases = [
                Outcome(Case(c["ratio"], c["pooling"]), c["steps"], numbers(c["measures"]), c["symptoms"])
                for c in stored.pop("cases")
            ]
            return cls(path.parent, stored, numbers(stored.pop("references")), cases)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadInput(f"{path}: no result of a study ({error}): run 'moksori study balance'") from error


def study_balance(
    corpus: str | Path,
    folder: str | Path,
    assignments: Sequence[str] = (),
    cases: Sequence[Case] = CASES,
    preset: str = PRESET,
    vocoder: str | None = None,
    encoder: str = "resemblyzer",
    measure_only: bool = False,
    listener: Listener | None = None,
) -> Study:
    """Trains what is not trained, measures what is not measured, and writes the result into `folder`.

    assignments: overrides for every case, such as training.max_steps=300; alpha is the preset's. vocoder: a name or
    folder: then the speaker encoder too judges conversions, by their sound; without one mels are judged alone.
    measure_only: leaves out the cases that have no trained weights yet.
    Raises ConfigError for overrides that a case decides itself and for a vocoder of other mels, CorpusError for a
    corpus that has too little to measure on, MissingExtra without the speaker encoder's package.
    """
    listener, folder = listener or Listener(), Path(folder)
    config = _checked(preset, assignments, cases)
    found = Corpus.open(corpus)
    alpha = config.objective.alpha
    judge_settings = "mels" if vocoder is None else f"mels, {encoder}"
    extra = _listening_judge(vocoder, encoder, config)
    material = partial(study_data, found, config.model.mel, folder / "labels", listener.progress)
    data: StudyData | None = None
    if not measure_only and any(not (folder / case.name / MEASURES_NAME).is_file() for case in cases):
        listener.stage("material")  # before hours of training: a corpus that is too small is told at once
        data = material()
    folder.mkdir(parents=True, exist_ok=True)
    for case in cases if not measure_only else ():
        listener.stage(case.name)
        _train(case, alpha, preset, corpus, folder, assignments, listener)
    listener.stage("measuring")
    key = [MEASURES_VERSION, str(found.info.name), found.info.counts, judge_settings]
    outcomes = []
    for place, case in enumerate(cases):
        weights = folder / case.name / "model"
        if not (weights / "config.json").is_file():
            logger.warning("%s has no weights yet and is left out", case.name)
            continue
        path, own = folder / case.name / MEASURES_NAME, [*key, fingerprint(weights)]
        outcome = _measured_before(path, case, own)
        if outcome is None:
            data = data or material()
            outcome = _measured(case, weights, config, data, {"spectral": data.judge.embed, **extra})
            keep(path, own, outcome.as_json())
        outcomes.append(outcome)
        listener.progress(place + 1, len(cases))
    settings, beside = _beside(folder / "references.json", key, data, found, config, {"preset": preset}, extra)
    study = Study(folder, settings, beside, outcomes)
    write_text(folder / RESULT_NAME, json.dumps(study.as_json(), indent=2) + "\n")
    return study


def _checked(preset: str, assignments: Sequence[str], cases: Sequence[Case]) -> RunConfig:
    """The preset with the overrides; whatever differs from case to case cannot be among them."""
    if not cases:
        raise ConfigError("a study of no ratios: name at least one")
    for assignment in assignments:
        if assignment.partition("=")[0] in ("objective.beta", "model.speaker.pooling"):
            raise ConfigError(f"{assignment}: the study sets this case by case: leave it out")
    config = run_config(preset, assignments)
    if config.family.name != "dsvae":
        raise ConfigError(f"{preset}: a preset of {config.family.name!r}; the balance is one of 'dsvae' models")
    if config.objective.alpha <= 0:
        raise ConfigError(f"objective.alpha={config.objective.alpha:g}: beta / alpha needs an alpha above 0")
    return config


def _train(
    case: Case,
    alpha: float,
    preset: str,
    corpus: str | Path,
    folder: Path,
    assignments: Sequence[str],
    listener: Listener,
) -> None:
    run = folder / case.name
    if not (run / MEASURES_NAME).is_file():  # otherwise it was finished before it was measured
        train_case(preset, corpus, run, [*assignments, *case.assignments(alpha)], listener, again=assignments)


def _listening_judge(vocoder: str | None, encoder: str, config: RunConfig) -> dict[str, Embed]:
    if vocoder is None:
        return {}
    loaded: Any = load_model(find_model(vocoder), "vocoder")
    if loaded.model.config.mel != config.model.mel:
        raise ConfigError(f"{vocoder}: a vocoder of other mels than the study's models: take one of mel-16khz")
    try:
        return {encoder.replace(":", "-"): vocoded(loaded.model, build_encoder(encoder))}
    except MissingExtra as error:
        raise BadInput(f"{error}, or leave the vocoder out") from error


def _measured(case: Case, weights: Path, config: RunConfig, data: StudyData, judges: Mapping[str, Embed]) -> Outcome:
    loaded: Any = load_model(weights, "dsvae")
    own = config.objective.model_copy(update={"beta": case.ratio * config.objective.alpha})
    objective: Any = config.family.objective(loaded.model, own).eval()
    measures = measure(loaded.model, objective, data, judges)
    return Outcome(case, loaded.manifest.steps, measures, objective.symptoms(measures))


def _measured_before(path: Path, case: Case, key: Sequence[Any]) -> Outcome | None:
    """What `path` holds of the same weights, corpus and judges; None for anything else."""
    stored = kept(path, key)
    if stored is None:
        return None
    try:
        return Outcome(case, stored["steps"], numbers(stored["measures"]), stored["symptoms"])
    except (ValueError, KeyError, TypeError):
        return None


def _beside(
    path: Path,
    key: Sequence[Any],
    data: StudyData | None,
    corpus: Corpus,
    config: RunConfig,
    settings: dict[str, Any],
    extra: Mapping[str, Embed],
) -> tuple[dict[str, Any], Mapping[str, float]]:
    """Settings, and what mels and recordings measure themselves: as kept, or made from the data."""
    if data is None:
        if (stored := kept(path, key)) is not None:
            return stored["settings"], numbers(stored["references"])
        data = study_data(corpus, config.model.mel, path.parent / "labels", lambda done, total: None)
    found = references(data, {"spectral": data.judge.embed, **extra})
    settings |= {
        "corpus": corpus.info.name,
        "alpha": config.objective.alpha,
        "crop_frames": config.objective.crop_frames,
        "batch_size": config.training.batch_size,
        "max_steps": config.training.max_steps,
        "parameters": sum(p.numel() for p in _parameters(config)),
        "speakers": data.speakers,
        "held_out": data.held_out,
        "segments": len(data.segments),
        "conversions": len(data.conversions),
        "content_labels": data.labels,
        "judges": ["spectral", *extra],
    }
    keep(path, key, {"settings": settings, "references": found})
    return settings, found


def _parameters(config: RunConfig) -> "list[torch.nn.Parameter]":
    with torch.random.fork_rng(devices=[]):
        return list(config.family.model(config.model).parameters())
