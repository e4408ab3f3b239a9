"""A study of control as tables and as pictures."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from moksori.audio.io import write_whole
from moksori.corpus.manifest import write_text
from moksori.pipeline.control_measures import MEASURED
from moksori.pipeline.control_study import ControlStudy

TABLE_NAME, PICTURE_NAME = "control.md", "control.png"
_COLOURS = ("#00798c", "#d1495b", "#edae49", "#30638e")
_UNITS = {"pitch": "semitones over 55 Hz", "range": "semitones", "rate": "phones a second", "seconds": "s"}


def save_report(study: ControlStudy) -> tuple[Path, Path]:
    """Writes the tables and the picture beside `control.json`, and returns their paths."""
    table, picture = study.folder / TABLE_NAME, study.folder / PICTURE_NAME
    write_text(table, "\n".join([*markdown(study), ""]))
    write_whole(picture, _drawn(study))
    return table, picture


def markdown(study: ControlStudy) -> list[str]:
    """All sections as tables."""
    settings, sections = study.settings, study.sections
    lines = [
        f"`{settings['model']}` ({settings['steps']} steps, {settings['fingerprint']}) with `{settings['vocoder']}`; "
        f"sentences of `{settings['corpus']}`, styles of `{settings['references']}` ({settings['split']}); "
        f"seed {settings['seed']}.",
    ]
    lines += _variation(sections["variation"])
    lines += _styles(sections["style"], settings["mode"])
    lines += _rows("Between two speakers", sections["speakers"], "share", ("pitch", "range", "rate"))
    lines += _rows("Components of the prior", sections["components"], "component", ("pitch", "range", "rate", "level"))
    lines += _interpolation(sections["interpolation"])
    trip, takes = sections["round_trip"], sections["prosody"]
    lines += [
        "",
        f"Round trip of {trip['clips']} clips, mel to latent and back: largest error {trip['largest_error']:.2g}, mean "
        f"{trip['mean_error']:.2g} (natural log); computed in float64 {trip['largest_error_float64']:.2g} at most; "
        f"log-likelihood {_number(trip['log_likelihood'])} nats a frame and band.",
        "",
        "Prosody of takes, correlation of log F0 with the recording: "
        + ", ".join(
            f"{title} {_estimate(takes[key])}"
            for key, title in (("own_voice", "own voice"), ("other_voice", "another voice"), ("free", "said freely"))
            if takes[key]["n"]
        )
        + ".",
    ]
    return lines


def _variation(section: Mapping[str, Any]) -> list[str]:
    lines = [
        "",
        f"Spread over {section['samples']} samples of a sentence, means of {section['sentences']} sentences:",
        "",
        "| sigma | spread of mean F0, semitones | of range, semitones | of duration, % | of level, dB | mean F0, "
        "semitones over 55 Hz | range | phones a second |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in section["rows"]:
        spread, mean = row["spread"], row["mean"]
        cells = [f"{row['sigma']:g}", _estimate(spread["pitch"]), _estimate(spread["range"]),
                 _estimate(spread["duration"], 100.0), _estimate(spread["level"]), _number(mean["pitch"]),
                 _number(mean["range"]), _number(mean["rate"])]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    rises = " and ".join(f"{name} {'rises' if up else 'does not rise'}" for name, up in section["rises"].items())
    lines += ["", f"With sigma the spread of {rises} from each step to the next."]
    takes = section["takes"]
    if takes.get("sentences"):
        lines += [
            f"Between a person's takes of one sentence ({takes['sentences']} sentences): mean F0 "
            f"{_number(takes['pitch'])}, range {_number(takes['range'])} semitones, duration "
            f"{_number(takes['duration'], 100.0)} %."
        ]
    return lines


def _styles(section: Mapping[str, Any], mode: str) -> list[str]:
    lines = [
        "",
        f"Styles of {section['clips']} clip(s) ({mode}), {len(section['pairs'])} pairs of style and sentence, "
        f"{section['seeds']} seeds each: pairs that came nearer to the clips than without style, and the median share "
        "of the gap closed:",
        "",
        "| strength | mean F0: nearer, of the far half, gap closed, % | range: likewise | rate: likewise |",
        "|---|---|---|---|",
    ]
    for row in section["moved"]:
        cells = [f"{row['strength']:g}"]
        for measure in MEASURED:
            found = row[measure]
            cells.append(", ".join(_number(found[key], 100.0, "{:.0f}") for key in ("nearer", "far_nearer", "closed")))
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _interpolation(section: Mapping[str, Any]) -> list[str]:
    lines = [
        "",
        "Between two samples of a sentence, at the shares 0, 0.5 and 1:",
        "",
        "| sentence | way | mean F0 | seconds | range |",
        "|---|---|---|---|---|",
    ]
    for path in section["paths"]:
        rows = [path["rows"][place] for place in (0, len(path["rows"]) // 2, -1)]
        cells = [", ".join(_number(row[key]) for row in rows) for key in ("pitch", "seconds", "range")]
        lines.append(f"| {path['text']} | {path['way']} | {' | '.join(cells)} |")
    return lines


def _rows(title: str, section: Mapping[str, Any], key: str, measures: Sequence[str]) -> list[str]:
    if "left_out" in section:
        return ["", f"{title}: not measured, {section['left_out']}."]
    whose = f" ({section['low']} to {section['high']})" if "low" in section else ""
    lines = ["", f"{title}{whose}, means over {section['sentences']} sentences:", "",
             f"| {key} | {' | '.join(measures)} |", f"|{'---|' * (len(measures) + 1)}"]  # fmt: skip
    for row in section["rows"]:
        lines.append(f"| {row[key]:g} | {' | '.join(_number(row[m]) for m in measures)} |")
    for name, shares in section.get("shares", {}).items():
        lines += [
            "",
            f"Recordings of {name} choose {', '.join(_number(share, 100.0, '{:.0f}') for share in shares)} %.",
        ]
    return lines


def _number(value: float | None, scale: float = 1.0, form: str = "{:.2f}") -> str:
    return "-" if value is None else form.format(scale * value)


def _estimate(found: Mapping[str, Any], scale: float = 1.0) -> str:
    if found["value"] is None:
        return "-"
    if not found["n"]:
        return "-"
    return f"{scale * found['value']:.2f} [{scale * found['low']:.2f}, {scale * found['high']:.2f}]"


def _drawn(study: ControlStudy) -> bytes:
    sections = study.sections
    figure = Figure(figsize=(11.5, 6.2), dpi=100, facecolor="white", layout="constrained")
    axes = figure.subplots(2, 3).flat
    rows = sections["variation"]["rows"]
    _curve(next(axes), "spread of mean F0, semitones", "sigma", [("", _spread(rows, "pitch", 1.0))])
    _curve(next(axes), "spread of duration, %", "sigma", [("", _spread(rows, "duration", 100.0))])
    moved = sections["style"]["moved"]
    lines = [(name, [(row["strength"], _times(row[name]["nearer"], 100.0)) for row in moved]) for name in MEASURED]
    _curve(next(axes), "pairs nearer to the style, %", "strength", lines, low=0.0, high=100.0, level=80.0)
    lines = [(name, [(row["strength"], _times(row[name]["closed"], 100.0)) for row in moved]) for name in MEASURED]
    _curve(next(axes), "gap to the style closed, %", "strength", lines, level=0.0)
    paths = sections["interpolation"]["paths"]
    lines = [(p["way"], [(row["share"], row["pitch"]) for row in p["rows"]]) for p in paths[:2]]
    _curve(next(axes), f"F0 between two samples, {_UNITS['pitch']}", "share of the second", lines)
    speakers = sections["speakers"]
    if "rows" in speakers:
        line = [(row["share"], row["pitch"]) for row in speakers["rows"]]
        _curve(next(axes), f"{speakers['low']} to {speakers['high']}: {_UNITS['pitch']}", "share", [("", line)])
    else:
        lines = [(p["way"], [(row["share"], row["seconds"]) for row in p["rows"]]) for p in paths[:2]]
        _curve(next(axes), "seconds between two samples", "share of the second", lines)
    encoded = io.BytesIO()
    FigureCanvasAgg(figure).print_png(encoded)
    return encoded.getvalue()


Line = Sequence[tuple[float, float | None]]


def _times(value: float | None, scale: float) -> float | None:
    return None if value is None else scale * value


def _spread(rows: Sequence[Mapping[str, Any]], name: str, scale: float) -> Line:
    return [(row["sigma"], _times(row["spread"][name]["value"], scale)) for row in rows]


def _curve(
    axes: Axes,
    title: str,
    below: str,
    lines: Sequence[tuple[str, Line]],
    low: float | None = None,
    high: float | None = None,
    level: float | None = None,
) -> None:
    """A panel. level: of a dotted line."""
    for colour, (label, line) in zip(_COLOURS, lines, strict=False):
        known = [(x, y) for x, y in line if y is not None]
        axes.plot([x for x, _ in known], [y for _, y in known], "o-", color=colour, label=label, markersize=4)
    if level is not None:
        axes.axhline(level, color="#888888", linewidth=0.8, linestyle=":")
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(below, fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(color="#dddddd", linewidth=0.6)
    if low is not None or high is not None:
        axes.set_ylim(low, high)
    if any(label for label, _ in lines):
        axes.legend(fontsize=7, frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
