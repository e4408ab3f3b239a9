"""The ablations of singing conversion as tables, as a page and as a picture.

A measure of a variant is the mean over its seeds, ± its spread: the standard deviation over seeds, or half of the 95 %
interval over sounds where that is more. What differs from the whole by less than the larger of the two spreads is a
tie.
"""

import io
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Picture

from moksori.audio.io import write_whole
from moksori.corpus.manifest import write_text
from moksori.evaluation.bars import PROBE_TIMES_CHANCE, SINGER_IDENTIFIED, TUNE_KEPT
from moksori.evaluation.names import CHANCE
from moksori.pipeline.singing_measures import COPIED, Figure
from moksori.pipeline.singing_study import FULL, PRESET, SingingStudy, Trained, Variant

PAGE_NAME, PICTURE_NAME = "singing.md", "singing.png"


@dataclass(frozen=True)
class Column:
    """How a measure is shown. better: 1 where more is better, -1 where less is."""

    title: str
    scale: float
    digits: int
    better: int


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
_COLOUR, _GREY = "#00798c", "#888888"


@dataclass(frozen=True)
class Spread:
    """A measure of a variant over its seeds; the spread is NaN where it is of one sound and one seed."""

    value: float
    spread: float

    @classmethod
    def of(cls, figures: Sequence[Figure]) -> "Spread | None":
        """None where no seed has the measure."""
        known = [figure for figure in figures if math.isfinite(figure.value)]
        if not known:
            return None
        values = [figure.value for figure in known]
        halves = [figure.half for figure in known if math.isfinite(figure.half)]
        spreads = [float(np.mean(halves))] if halves else []
        spreads += [float(np.std(values, ddof=1))] if len(values) > 1 else []
        return cls(float(np.mean(values)), max(spreads, default=math.nan))

    def cell(self, column: Column) -> str:
        value = f"{column.scale * self.value:.{column.digits}f}"
        if math.isnan(self.spread):
            return value
        return f"{value} ±{column.scale * self.spread:.{column.digits}f}"


def measured(study: SingingStudy, variant: Variant, name: str) -> Spread | None:
    """A measure over the variant's seeds."""
    return Spread.of([run.measures[name] for run in study.of(variant) if name in run.measures])


def ties(one: Spread, other: Spread) -> bool:
    """Whether two variants cannot be told apart by a measure; never of one sound and one seed."""
    known = [part.spread for part in (one, other) if math.isfinite(part.spread)]
    return len(known) < 2 or abs(one.value - other.value) <= max(known)


def save_report(study: SingingStudy) -> tuple[Path, Path]:
    """Writes the page and the picture beside `singing.json`, and returns their paths."""
    page, picture = study.folder / PAGE_NAME, study.folder / PICTURE_NAME
    write_text(page, "\n".join([*markdown(study), ""]))
    write_whole(picture, _drawn(study))
    return page, picture


def markdown(study: SingingStudy) -> list[str]:
    """The page's lines: how it was made, every variant, what it loses against the whole, and the picture."""
    settings, notes = study.settings, [f"{note[:1].upper()}{note[1:]}." for note in study.notes]
    seeds = settings["seeds"]
    started = f", all from the weights {settings['from']}" if settings["from"] else ""
    lines = [
        "# What each part of the singing converter's training does",
        "",
        "The same model, with a part of its training taken away: Nachmani and Wolf's ablations (2019), and confusion. "
        "Singer and tune are those of conversions, as `moksori evaluate --task sing` hears them; bits are "
        "teacher-forced; copies are songs of the table's singers, sung by themselves.",
        "",
        "```sh",
        command(settings),
        "```",
        "",
        f"{settings['steps']} steps of {seeds} seed{'s' if seeds > 1 else ''}{started}; measured on the split "
        f"`{settings['split']}`. ± is the standard deviation over seeds, or half of the 95 % interval over sounds "
        "where that is more.",
        "",
        *table(study),
    ]
    if lost := differences(study):
        lines += ["", "Against everything; a difference within the larger of the two ± is a tie:", "", *lost]
    for run in study.runs:
        if run.failure:
            lines += ["", f"`{run.name}` was stopped: {run.failure}"]
    return [*lines, "", *notes, *([""] if notes else []), f"![the measures of each variant]({PICTURE_NAME})"]


def command(settings: Mapping[str, Any]) -> str:
    """The line that makes a study of these settings; the corpus is named as if it lay in `corpora/`."""
    options = {
        "--corpus": f"corpora/{settings['corpus']}",
        "--preset": settings["preset"] if settings["preset"] != PRESET else None,
        "--steps": settings["steps"],
        "--seeds": settings["seeds"] if settings["seeds"] > 1 else None,
        "--from": settings["start"] or None,
        "--split": settings["split"] if settings["split"] != "test" else None,
        "--limit": settings["limit"],
        "--targets": settings["targets"],
    }
    words = [word for name, value in options.items() if value is not None for word in (name, str(value))]
    return shlex.join(["moksori", "study", "singing", *words, *settings["given"]])


def table(study: SingingStudy) -> list[str]:
    """A row a variant, and what recordings, unchanged songs and guessing come to."""
    names = _names(study)
    lines = _header(["", "steps", *(COLUMNS[name].title for name in names)])
    for variant in study.variants:
        found = [measured(study, variant, name) for name in names]
        cells = ["-" if one is None else one.cell(COLUMNS[name]) for one, name in zip(found, names, strict=True)]
        lines.append(f"| {' | '.join([variant.title, _steps(study.of(variant)), *cells])} |")
    for system, measures in study.references.items():
        found = [Spread.of([measures[name]]) if name in measures else None for name in names]
        cells = ["-" if one is None else one.cell(COLUMNS[name]) for one, name in zip(found, names, strict=True)]
        if any(cell != "-" for cell in cells):
            lines.append(f"| {' | '.join([system, '-', *cells])} |")
    return lines


def differences(study: SingingStudy) -> list[str]:
    """Each variant's measures less those of the whole; [] where that is not there or stands alone."""
    others = [variant for variant in study.variants if variant != FULL]
    if FULL not in study.variants or not others:
        return []
    names = [name for name in _names(study) if measured(study, FULL, name) is not None]
    lines = _header(["without", *(COLUMNS[name].title for name in names)])
    for variant in others:
        cells = [_difference(measured(study, variant, name), measured(study, FULL, name), name) for name in names]
        lines.append(f"| {' | '.join([variant.title, *cells])} |")
    return lines if names else []


def _difference(one: Spread | None, whole: Spread | None, name: str) -> str:
    if one is None or whole is None:
        return "-"
    column = COLUMNS[name]
    by = f"{column.scale * (one.value - whole.value):+.{column.digits}f}"
    if ties(one, whole) or float(by) == 0.0:
        return f"tie ({by})"
    return f"{by}, {'better' if (one.value - whole.value) * column.better > 0 else 'worse'}"


def _names(study: SingingStudy) -> list[str]:
    """The measures that any run has."""
    return [name for name in COLUMNS if any(name in run.measures for run in study.runs)]


def _steps(runs: Sequence[Trained]) -> str:
    """Of the weights that were measured, and how many runs were stopped."""
    steps = sorted({run.steps for run in runs})
    told = f"{steps[0]}" if len(steps) == 1 else f"{steps[0]} to {steps[-1]}"
    stopped = sum(bool(run.failure) for run in runs)
    return f"{told}, {stopped} of {len(runs)} stopped" if stopped else told


def _header(titles: Sequence[str]) -> list[str]:
    return [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]


def _drawn(study: SingingStudy) -> bytes:
    figure = Picture(figsize=(11.5, 6.0), dpi=100, facecolor="white", layout="constrained")
    for axes, name in zip(figure.subplots(2, 3).flat, _PANELS, strict=True):
        _panel(axes, study, name)
    encoded = io.BytesIO()
    FigureCanvasAgg(figure).print_png(encoded)
    return encoded.getvalue()


def _panel(axes: Axes, study: SingingStudy, name: str) -> None:
    """A bar a variant, whiskers as long as its spread, and a line at what is to be reached."""
    column, variants = COLUMNS[name], list(reversed(study.variants))
    for place, variant in enumerate(variants):
        found = measured(study, variant, name)
        if found is not None:
            value = column.scale * found.value
            spread = 0.0 if math.isnan(found.spread) else column.scale * found.spread
            axes.barh(place, value, xerr=spread, color=_COLOUR if variant == FULL else "#8fc1c9", height=0.6,
                      error_kw={"elinewidth": 1.0, "capsize": 3})  # fmt: skip
    level = _level(study, name)
    if level is not None:
        axes.axvline(column.scale * level, color=_GREY, linewidth=1.0, linestyle=":")
    axes.set_yticks(range(len(variants)), [variant.name for variant in variants], fontsize=8)
    axes.set_title(f"{column.title} ({'more' if column.better > 0 else 'less'} is better)", fontsize=9)
    axes.tick_params(axis="x", labelsize=8)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _level(study: SingingStudy, name: str) -> float | None:
    """What a model has to reach, of the measures that have a bar."""
    chance = study.references.get(CHANCE, {}).get("code_probe")
    levels = {"singer_identified": SINGER_IDENTIFIED, "raw_pitch_accuracy": TUNE_KEPT}
    if name == "code_probe" and chance is not None:
        return PROBE_TIMES_CHANCE * chance.value
    return levels.get(name)
