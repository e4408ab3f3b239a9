"""Draws what each sampler's steps cost and bring (docs/samplers.md), of what benchmarks/samplers.py measured.

python scripts/sampler_curves.py benchmarks/results/samplers.json -o docs/samplers.png
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

Rows = Sequence[Mapping[str, Any]]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("result", type=Path)
    options.add_argument("-o", "--output", type=Path, required=True)
    chosen = options.parse_args()
    try:
        figures = json.loads(chosen.result.read_text(encoding="utf-8"))["figures"]
        exact, model = figures["exact"], figures["model"]
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"{chosen.result}: no result of benchmarks/samplers.py with --model ({error})")
    draw(exact, [row for row in model["rows"] if "failed" not in row], model["name"], chosen.output)


def draw(exact: Rows, rows: Rows, name: str, path: Path) -> None:
    samplers = list(dict.fromkeys(row["sampler"] for row in exact))
    colours = {sampler: f"C{index}" for index, sampler in enumerate(samplers)}
    figure, ((first, second), (third, fourth)) = plt.subplots(2, 2, figsize=(11, 8), constrained_layout=True)
    for sampler in samplers:
        own = [row for row in exact if row["sampler"] == sampler]
        _line(first, own, "evaluations", "error", colours[sampler], "-", sampler)
        wrong = [row for row in own if "with_network_error" in row]
        _line(first, wrong, "evaluations", "with_network_error", colours[sampler], ":")
    first.set(title="two peaks: an exact network, and (dotted) one that errs", xlabel="evaluations of the network")
    first.set(xscale="log", yscale="log", ylabel="distance from the exact end")
    first.legend()
    measures = {
        second: ("distance", "distance from 64 steps of karras, deviations"),
        third: ("cosine", "cosine with the prompt"),
        fourth: ("dnsmos", "OVRL"),
    }
    for axes, (key, label) in measures.items():
        for sampler in samplers:
            own = [row for row in rows if row["sampler"] == sampler]
            _line(axes, own, "core_seconds_a_second", key, colours[sampler], "-", sampler)
            for row in own:
                axes.annotate(
                    str(row["steps"]), (row["core_seconds_a_second"], row[key]), fontsize=7,
                    textcoords="offset points", xytext=(3, 3),
                )  # fmt: skip
        axes.set(title=f"{name}, numbers are steps", xlabel="core seconds a second of sound", ylabel=label)
        axes.set_xscale("log")
        axes.margins(x=0.1)  # room for the numbers
    second.set_yscale("log")
    figure.savefig(path, dpi=90)
    plt.close(figure)


def _line(axes: Axes, rows: Rows, x: str, y: str, colour: str, style: str, label: str = "") -> None:
    ordered = sorted(rows, key=lambda row: row[x])
    size = 3 if style == "-" else 0
    axes.plot([r[x] for r in ordered], [r[y] for r in ordered], style, color=colour, label=label, marker="o", ms=size)


if __name__ == "__main__":
    main()
