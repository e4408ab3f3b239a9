"""What every task of an evaluation is given, and what it gives back."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from moksori.corpus.manifest import Corpus
from moksori.errors import BadInput, MissingExtra
from moksori.evaluation import recognisers, speaker_encoders
from moksori.evaluation.bars import TrialScores
from moksori.evaluation.memory import Memory
from moksori.evaluation.report import Group, Picture
from moksori.evaluation.score import Judges
from moksori.pipeline.progress import Progress, no_progress
from moksori.types import Utterance

PICTURED = 3
"""Sounds to look at and to hear in the report."""
_SOURCE_ONLY = ("spectrum", "speaker", "copy")
"""Groups whose packages exist only as source: left out with a note where they are not installed."""


@dataclass(frozen=True)
class Baseline:
    """What a model that speaks in the voice of a prompt stands beside: a voice that speaks, and a converter that gives
    it the prompt's; names or folders, None: the default ones."""

    voice: str | Path | None = None
    converter: str | Path | None = None

    @property
    def named(self) -> bool:
        """Whether somebody asked for it."""
        return self.voice is not None or self.converter is not None


@dataclass(frozen=True)
class Settings:
    """How an evaluation is made; see `evaluate` for the meaning of each."""

    corpus: Corpus
    split: str = "test"
    limit: int | None = None
    seed: int = 0
    variation: float | None = None
    threads: int = 1
    workers: int = 1
    measures: tuple[str, ...] | None = None
    recogniser: str = recognisers.DEFAULT
    encoder: str = speaker_encoders.DEFAULT
    memory: Path | None = None
    targets: int | None = None
    noises: Path | None = None
    vocoder: str | Path | None = None
    progress: Progress = field(default=no_progress)
    notes: list[str] = field(default_factory=list)
    baseline: Baseline = Baseline()

    def chosen(self, groups: Sequence[str], task: str) -> list[str]:
        """The groups of measures of a task that were asked for; raises BadInput for one that the task has not."""
        if self.measures is None:
            return list(groups)
        for name in self.measures:
            if name not in groups:
                raise BadInput(f"measure {name!r}: the task {task!r} has {', '.join(groups)}")
        return [name for name in groups if name in self.measures]

    def judges(
        self, texts: Sequence[str], groups: Sequence[str], judged: Mapping[str, str]
    ) -> tuple[Judges, list[str]]:
        """The judges, loaded, and the groups that can be measured: a missing package is told before anything is made.

        groups: of the task. judged: group of the task -> group of `score.GROUPS` that it needs.
        """
        needed = [judged[name] for name in groups if name in judged]
        judges = Judges(
            texts, tuple(dict.fromkeys(needed)), self.threads, None, self.recogniser, self.encoder, Memory(self.memory)
        )
        kept = list(groups)
        for name in groups:
            if name not in judged:
                continue
            try:
                judges.load(judged[name])
            except MissingExtra as error:
                if self.measures is not None or judged[name] not in _SOURCE_ONLY:
                    raise
                kept.remove(name)
                self.notes.append(f"{name} not measured: {error}")
        return judges.only([judged[name] for name in kept if name in judged]), kept

    def clips(self) -> list[Utterance]:
        """The utterances of the split."""
        return self.corpus.split(self.split)


@dataclass(frozen=True)
class Findings:
    """What a task found. judges: by whom. material: what was heard, in words. headline: see `Report`."""

    groups: tuple[Group, ...]
    judges: Judges
    pictures: tuple[Picture, ...] = ()
    trials: tuple[TrialScores, ...] = ()
    material: str = ""
    headline: str = ""


Task = Callable[..., Findings]
