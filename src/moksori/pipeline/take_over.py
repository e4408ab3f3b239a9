"""Where a run starts from: the model that is named, and its weights in place of the first ones."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from moksori.audio.mel import MelConfig
from moksori.audio.mel_files import differences
from moksori.config import validate
from moksori.errors import CheckpointError
from moksori.models.checkpoint import (
    CONFIG_NAME,
    DISCRIMINATORS_STEM,
    Manifest,
    has_discriminators,
    read_manifest,
    read_weights,
)
from moksori.models.contract import Family, Objective
from moksori.pipeline.models import find_model
from moksori.training.transfer import SpeakerRows, TransferReport, transfer_weights

logger = logging.getLogger(__name__)

DISCRIMINATORS = "discriminators"
"""Their part in the report."""


@dataclass(frozen=True)
class Source:
    """A model whose weights a run starts from. name: as it was given, a model's name or folder, or a run's folder."""

    name: str
    folder: Path
    manifest: Manifest

    @classmethod
    def find(cls, name: str) -> "Source":
        """Raises UnknownName or CheckpointError where there is no such model."""
        exported = Path(name) / "model"
        folder = exported if (exported / CONFIG_NAME).is_file() else find_model(name)
        return cls(name, folder, read_manifest(folder))


@dataclass(frozen=True)
class TakenOver:
    """What a run started with. absent: parts that the source lacked altogether, which start from new weights.

    other_front_end: in which settings the source's mels differ from the run's; "": in none. Where they do, statistics
    of the mels are the corpus's and not the source's.
    """

    source: Source
    report: TransferReport
    absent: tuple[str, ...]
    other_front_end: str = ""

    def lines(self) -> tuple[str, ...]:
        """A table for a person."""
        manifest = self.source.manifest
        head = f"taken over from {self.source.name} ({manifest.family}, {manifest.language}, {manifest.steps} steps):"
        lines = [head, *(f"  {line}" for line in self.report.table())]
        if self.absent:
            lines.append(f"  the source lacks {', '.join(self.absent)}: new weights there")
        if self.other_front_end:
            lines.append(f"  another front end ({self.other_front_end}): statistics of the mels are taken anew")
        return tuple(lines)

    def recorded(self) -> dict[str, Any]:
        """What `run.json` keeps."""
        recorded = {"parts": [asdict(part) for part in self.report.parts()], "absent": list(self.absent)}
        return {**recorded, "other_front_end": self.other_front_end} if self.other_front_end else recorded


def take_over(objective: Objective, source: Source, family: Family, speakers: Sequence[str]) -> TakenOver:
    """Puts the source's weights, and its discriminators where both sides have them, into an objective.

    family: of the objective. speakers: of the run, in the order of its table; they keep their rows by name.
    Raises CheckpointError where not one tensor fits.
    """
    absent = source.manifest.absent
    if absent:
        logger.warning("%s holds no %s, which starts from new weights", source.name, ", ".join(absent))
    weights = {name: t for name, t in read_weights(source.folder).items() if name.split(".")[0] not in absent}
    rows = SpeakerRows(family.speaker_tables, source.manifest.speakers, speakers, family.speaker_readers)
    report = transfer_weights(objective.model, weights, rows)
    if not report.whole:
        theirs = source.manifest.family
        if theirs != family.name:
            raise CheckpointError(
                f"--from {source.name}: no tensor fits; it is a {theirs!r} model, not a {family.name!r} one: "
                f"name a model of {family.name}"
            )
        raise CheckpointError(f"--from {source.name}: no tensor fits; it is a {theirs!r} model of another size")
    if any(table in report.left for table in family.speaker_tables):
        family.without_speakers(objective.model)
    discriminators = getattr(objective, DISCRIMINATORS, None)
    if discriminators is not None:
        brought = read_weights(source.folder, DISCRIMINATORS_STEM) if has_discriminators(source.folder) else {}
        report = report.beside(DISCRIMINATORS, transfer_weights(discriminators, brought))
    return TakenOver(source, report, absent, _other_front_end(source.manifest, objective))


def _other_front_end(manifest: Manifest, objective: Objective) -> str:
    """The settings in which the source's mels differ from the objective's, with both values."""
    stored = manifest.model.get("mel")
    ours = getattr(getattr(objective.model, "config", None), "mel", None)
    if not isinstance(ours, MelConfig) or not isinstance(stored, dict):
        return ""
    return differences(validate(MelConfig, stored, "model.mel"), ours)
