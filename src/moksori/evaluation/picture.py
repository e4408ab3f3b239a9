"""Measures of several systems side by side, as one PNG."""

import io
from collections.abc import Mapping
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from moksori.audio.io import write_whole
from moksori.errors import MoksoriError

_COLOURS = ("#00798c", "#d1495b", "#edae49", "#66a182", "#2e4057", "#8d6a9f")
_ACROSS = 3


def save_bars(path: Path, panels: Mapping[str, Mapping[str, tuple[float, float, float]]], title: str = "") -> None:
    """A panel a measure: for each system a point at its value and a line over its interval (value, low, high).

    Raises MoksoriError if there is nothing to draw, AudioError if the file cannot be written.
    """
    panels = {name: values for name, values in panels.items() if values}
    if not panels:
        raise MoksoriError(f"{path}: no measure to draw")
    systems = list(dict.fromkeys(name for values in panels.values() for name in values))
    colours = {name: _COLOURS[place % len(_COLOURS)] for place, name in enumerate(systems)}
    across = min(_ACROSS, len(panels))
    down = -(-len(panels) // across)
    size = (4.2 * across + 1.2, (0.6 + 0.28 * len(systems)) * down + 0.5)
    figure = Figure(figsize=size, dpi=120, facecolor="white", layout="constrained")
    grid = figure.subplots(down, across, squeeze=False, sharey=True)
    for place, axes in enumerate(grid.flat):
        if place >= len(panels):
            axes.set_visible(False)
            continue
        name, values = list(panels.items())[place]
        for row, system in enumerate(systems):
            if system in values:
                value, low, high = values[system]
                axes.plot([low, high], [row, row], color=colours[system], linewidth=2.5, alpha=0.55)
                axes.plot([value], [row], "o", color=colours[system], markersize=6)
        axes.set_title(name, fontsize=10)
        axes.set_yticks(range(len(systems)), [s.replace("$", r"\$") for s in systems])
        axes.set_ylim(len(systems) - 0.5, -0.5)
        axes.grid(axis="x", color="#dddddd", linewidth=0.6)
        axes.tick_params(labelsize=8)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    if title:
        figure.suptitle(title.replace("$", r"\$"), fontsize=11)
    encoded = io.BytesIO()
    FigureCanvasAgg(figure).print_png(encoded)
    write_whole(Path(path), encoded.getvalue())
