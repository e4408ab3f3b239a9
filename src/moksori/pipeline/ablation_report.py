"""Ablations as tables and pictures.

A measure of a variant is the mean over its seeds, ± its spread: the standard deviation over seeds, or half of the 95 %
interval over sounds where that is more. What differs from the whole by less than the larger of the two spreads is a
tie.
"""

import io
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Picture

from moksori.pipeline.ablations import Ablations, Figure, Trained, Variant

_COLOUR, _PALE, _GREY = "#00798c", "#8fc1c9", "#888888"


@dataclass(frozen=True)
class Column:
    """How a measure is shown. better: 1 where more is better, -1 where less is."""

    title: str
    scale: float
    digits: int
    better: int


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


def measured(study: Ablations, variant: Variant, name: str) -> Spread | None:
    """A measure over the variant's seeds."""
    return Spread.of([run.measures[name] for run in study.of(variant) if name in run.measures])


def ties(one: Spread, other: Spread) -> bool:
    """Whether two variants cannot be told apart by a measure; never of one sound and one seed."""
    known = [part.spread for part in (one, other) if math.isfinite(part.spread)]
    return len(known) < 2 or abs(one.value - other.value) <= max(known)


def page(
    study: Ablations, columns: Mapping[str, Column], title: str, introduction: str, told: str, picture: str
) -> list[str]:
    """The page's lines: how it was made, every variant, what it loses against the whole, and the picture.

    told: how it was trained and measured. picture: the name of its file.
    """
    notes = [f"{note[:1].upper()}{note[1:]}." for note in study.notes]
    lines = [
        *(f"# {title}", "", introduction, "", "```sh", command(study), "```", ""),
        f"{told} ± is the standard deviation over seeds, or half of the 95 % interval over sounds where that is more.",
        *("", *table(study, columns)),
    ]
    if lost := differences(study, columns):
        whole = study.design.whole.title
        lines += ["", f"Against {whole}; a difference within the larger of the two ± is a tie:", "", *lost]
    for run in study.runs:
        if run.failure:
            lines += ["", f"`{run.name}` was stopped: {run.failure}"]
    return [*lines, "", *notes, *([""] if notes else []), f"![the measures of each variant]({picture})"]


def trained_and_measured(settings: Mapping[str, Any]) -> str:
    """How many steps of how many seeds, from where, and on what it was measured."""
    seeds, start = settings["seeds"], f", all from the weights {settings['from']}" if settings["from"] else ""
    return (
        f"{settings['steps']} steps of {seeds} seed{'s' if seeds > 1 else ''}{start}; measured on the split "
        f"`{settings['split']}`."
    )


def command(study: Ablations) -> str:
    """The line that makes a study of these settings; the corpus is named as if it lay in `corpora/`."""
    settings = study.settings
    options = {
        "--corpus": f"corpora/{settings['corpus']}",
        "--preset": settings["preset"] if settings["preset"] != study.design.preset else None,
        "--steps": settings["steps"],
        "--seeds": settings["seeds"] if settings["seeds"] > 1 else None,
        "--from": settings["start"] or None,
        "--split": settings["split"] if settings["split"] != "test" else None,
        "--limit": settings["limit"],
        "--targets": settings.get("targets"),
    }
    words = [word for name, value in options.items() if value is not None for word in (name, str(value))]
    return shlex.join(["moksori", "study", study.design.name, *words, *settings["given"]])


def table(study: Ablations, columns: Mapping[str, Column]) -> list[str]:
    """A row a variant, and what recordings and the like come to."""
    names = _names(study, columns)
    lines = _header(["", "steps", *(columns[name].title for name in names)])
    for variant in study.variants:
        found = [measured(study, variant, name) for name in names]
        lines.append(f"| {' | '.join([variant.title, _steps(study.of(variant)), *_cells(found, names, columns)])} |")
    for system, measures in study.references.items():
        found = [Spread.of([measures[name]]) if name in measures else None for name in names]
        cells = _cells(found, names, columns)
        if any(cell != "-" for cell in cells):
            lines.append(f"| {' | '.join([system, '-', *cells])} |")
    return lines


def differences(study: Ablations, columns: Mapping[str, Column]) -> list[str]:
    """Each variant's measures less those of the whole; [] where that is not there or stands alone."""
    whole = study.design.whole
    others = [variant for variant in study.variants if variant != whole]
    if whole not in study.variants or not others:
        return []
    names = [name for name in _names(study, columns) if measured(study, whole, name) is not None]
    lines = _header(["without", *(columns[name].title for name in names)])
    for variant in others:
        pairs = [(measured(study, variant, name), measured(study, whole, name), columns[name]) for name in names]
        lines.append(f"| {' | '.join([variant.title, *(_difference(*pair) for pair in pairs)])} |")
    return lines if names else []


def drawn(study: Ablations, columns: Mapping[str, Column], panels: Sequence[str], levels: Mapping[str, float]) -> bytes:
    """A PNG with a panel for each of six measures. levels: what a model has to reach, where there is such a bar."""
    figure = Picture(figsize=(11.5, 6.0), dpi=100, facecolor="white", layout="constrained")
    for axes, name in zip(figure.subplots(2, 3).flat, panels, strict=True):
        _panel(axes, study, name, columns[name], levels.get(name))
    encoded = io.BytesIO()
    FigureCanvasAgg(figure).print_png(encoded)
    return encoded.getvalue()


def _difference(one: Spread | None, whole: Spread | None, column: Column) -> str:
    if one is None or whole is None:
        return "-"
    by = f"{column.scale * (one.value - whole.value):+.{column.digits}f}"
    if ties(one, whole) or float(by) == 0.0:
        return f"tie ({by})"
    return f"{by}, {'better' if (one.value - whole.value) * column.better > 0 else 'worse'}"


def _cells(found: Sequence[Spread | None], names: Sequence[str], columns: Mapping[str, Column]) -> list[str]:
    return ["-" if one is None else one.cell(columns[name]) for one, name in zip(found, names, strict=True)]


def _names(study: Ablations, columns: Mapping[str, Column]) -> list[str]:
    """The measures that any run has."""
    return [name for name in columns if any(name in run.measures for run in study.runs)]


def _steps(runs: Sequence[Trained]) -> str:
    """Of the weights that were measured, and how many runs were stopped."""
    steps = sorted({run.steps for run in runs})
    told = f"{steps[0]}" if len(steps) == 1 else f"{steps[0]} to {steps[-1]}"
    stopped = sum(bool(run.failure) for run in runs)
    return f"{told}, {stopped} of {len(runs)} stopped" if stopped else told


def _header(titles: Sequence[str]) -> list[str]:
    return [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]


def _panel(axes: Axes, study: Ablations, name: str, column: Column, level: float | None) -> None:
    """A bar a variant, whiskers as long as its spread, and a line at what is to be reached."""
    variants = list(reversed(study.variants))
    for place, variant in enumerate(variants):
        found = measured(study, variant, name)
        if found is not None:
            value = column.scale * found.value
            spread = 0.0 if math.isnan(found.spread) else column.scale * found.spread
            colour = _COLOUR if variant == study.design.whole else _PALE
            axes.barh(place, value, xerr=spread, color=colour, height=0.6,
                      error_kw={"elinewidth": 1.0, "capsize": 3})  # fmt: skip
    if level is not None:
        axes.axvline(column.scale * level, color=_GREY, linewidth=1.0, linestyle=":")
    axes.set_yticks(range(len(variants)), [variant.name for variant in variants], fontsize=8)
    axes.set_title(f"{column.title} ({'more' if column.better > 0 else 'less'} is better)", fontsize=9)
    axes.tick_params(axis="x", labelsize=8)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
