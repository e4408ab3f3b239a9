"""The ablations of singing conversion as tables, as a page and as a picture; see `ablation_report`."""

from collections.abc import Mapping
from pathlib import Path

from moksori.audio.io import write_whole
from moksori.corpus.manifest import write_text
from moksori.evaluation.bars import PROBE_TIMES_CHANCE, SINGER_IDENTIFIED, TUNE_KEPT
from moksori.evaluation.names import CHANCE
from moksori.pipeline.ablation_report import Column, drawn, page, trained_and_measured
from moksori.pipeline.singing_measures import COPIED
from moksori.pipeline.singing_study import SingingStudy

PAGE_NAME, PICTURE_NAME = "singing.md", "singing.png"

COLUMNS: Mapping[str, Column] = {
    "singer_identified": Column("taken for the target %", 100, 0, 1),
    "singer_source": Column("for the source %", 100, 0, -1),
    "raw_pitch_accuracy": Column("pitch within 50 cents %", 100, 0, 1),
    "code_probe": Column("singer read off codes %", 100, 0, -1),
    "bits": Column("bits a sample", 1, 3, -1),
    "singer_gain": Column("told by the vector, bits", 1, 4, 1),
    "code_gain": Column("told by codes, bits", 1, 3, 1),
    f"{COPIED}mel_distance": Column("copy: ln mel off", 1, 3, -1),
    f"{COPIED}raw_pitch_accuracy": Column("copy: pitch %", 100, 0, 1),
    f"{COPIED}singer_identified": Column("copy: own singer %", 100, 0, 1),
}
_PANELS = ("singer_identified", "raw_pitch_accuracy", "code_probe", "bits", "singer_gain", f"{COPIED}mel_distance")


def save_report(study: SingingStudy) -> tuple[Path, Path]:
    """Writes the page and the picture beside `singing.json`, and returns their paths."""
    written, picture = study.folder / PAGE_NAME, study.folder / PICTURE_NAME
    write_text(written, "\n".join([*markdown(study), ""]))
    write_whole(picture, drawn(study, COLUMNS, _PANELS, _levels(study)))
    return written, picture


def markdown(study: SingingStudy) -> list[str]:
    """The page's lines."""
    introduction = (
        "The same model, with a part of its training taken away: Nachmani and Wolf's ablations (2019), and confusion. "
        "Singer and tune are those of conversions, as `moksori evaluate --task sing` hears them; bits are "
        "teacher-forced; copies are songs of the table's singers, sung by themselves."
    )
    told = trained_and_measured(study.settings)
    return page(
        study, COLUMNS, "What each part of the singing converter's training does", introduction, told, PICTURE_NAME
    )


def _levels(study: SingingStudy) -> dict[str, float]:
    """What a model has to reach, of the measures that have a bar."""
    levels = {"singer_identified": SINGER_IDENTIFIED, "raw_pitch_accuracy": TUNE_KEPT}
    chance = study.references.get(CHANCE, {}).get("code_probe")
    return levels if chance is None else {**levels, "code_probe": PROBE_TIMES_CHANCE * chance.value}
