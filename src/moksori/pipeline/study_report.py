"""A study of the balance as a table and as pictures."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from moksori.audio.io import write_whole
from moksori.corpus.manifest import write_text
from moksori.pipeline.study import Outcome, Study

TABLE_NAME, PICTURE_NAME = "balance.md", "balance.png"
_PANELS: Sequence[tuple[str, Mapping[str, str], float]] = (
    ("nats of z_s, a recording", {"speaker_nats": "z_s"}, 1.0),
    ("nats of z_c, a frame", {"content_nats": "z_c"}, 1.0),
    ("reconstruction", {"reconstruction": "squared error, both mels", "copy_distance": "|Δ ln mel| of a copy"}, 1.0),
    ("speaker EER within files, %", {"eer_within_z_s": "z_s", "eer_within_z_c": "pooled z_c"}, 100.0),
    ("linear probes of z_c, % right", {"leak_accuracy": "speaker (leak)", "content_accuracy": "content"}, 100.0),
    ("converted: nearer to the target, %", {}, 100.0),
)
_COLOURS = ("#00798c", "#d1495b", "#edae49")
_COLUMNS: Sequence[tuple[str, str, float, str]] = (
    ("R_s, nats a recording", "speaker_nats", 1.0, "{:.1f}"),
    ("R_c, nats a frame", "content_nats", 1.0, "{:.2f}"),
    ("L_rec", "reconstruction", 1.0, "{:.3f}"),
    ("copy, ln mel", "copy_distance", 1.0, "{:.2f}"),
    ("EER z_s, within / across files %", "eer_{}_z_s", 100.0, "{:.1f}"),
    ("EER pooled z_c %", "eer_{}_z_c", 100.0, "{:.1f}"),
    ("leak probe %", "leak_accuracy", 100.0, "{:.1f}"),
    ("content probe %", "content_accuracy", 100.0, "{:.1f}"),
)


def save_report(study: Study) -> tuple[Path, Path]:
    """Writes the table and the picture beside `balance.json`, and returns their paths."""
    table, picture = study.folder / TABLE_NAME, study.folder / PICTURE_NAME
    write_text(table, "\n".join([*markdown(study), ""]))
    write_whole(picture, _drawn(study))
    return table, picture


def markdown(study: Study) -> list[str]:
    """The table's lines: a row a case, and what mels and recordings themselves have."""
    judges = [str(name) for name in study.settings.get("judges", ())]
    header = ["beta / alpha", *(column[0] for column in _COLUMNS), *(f"converted, by {name} %" for name in judges)]
    lines = [f"| {' | '.join([*header, 'symptoms'])} |", f"|{'---|' * (len(header) + 1)}"]
    for outcome in study.outcomes:
        name = f"{outcome.case.ratio:g}" + ("" if outcome.case.pooling else ", no pooling")
        cells = [_cell(outcome.measures, key, scale, form) for _, key, scale, form in _COLUMNS]
        cells += [_cell(outcome.measures, f"conversion_{judge}", 100.0, "{:.0f}") for judge in judges]
        lines.append(f"| {' | '.join([name, *cells, ', '.join(outcome.symptoms) or '-'])} |")
    mels = [_cell(study.references, key, scale, form) for _, key, scale, form in _COLUMNS]
    lines.append(f"| {' | '.join(['mels themselves', *mels, *['-' for _ in judges], '-'])} |")
    for judge in judges:
        rates = [f"{100 * study.references[key]:.1f} % {kind} files" for kind in ("within", "across")
                 if (key := f"eer_{kind}_{judge}") in study.references]  # fmt: skip
        lines += ["", f"Equal error rate of the judge `{judge}` on the recordings: {', '.join(rates)}."]
    return lines


def _cell(measures: Mapping[str, float], key: str, scale: float, form: str) -> str:
    keys = [key.format(kind) for kind in ("within", "across")] if "{}" in key else [key]
    values = [form.format(scale * measures[k]) for k in keys if k in measures]
    return " / ".join(values) or "-"


def _drawn(study: Study) -> bytes:
    pooled = sorted((o for o in study.outcomes if o.case.pooling), key=lambda o: o.case.ratio)
    others = [o for o in study.outcomes if not o.case.pooling]
    judged = {f"conversion_{name}": str(name) for name in study.settings.get("judges", ())}
    figure = Figure(figsize=(11.5, 5.6), dpi=100, facecolor="white", layout="constrained")
    for axes, (title, keys, scale) in zip(figure.subplots(2, 3).flat, _PANELS, strict=True):
        for colour, (key, label) in zip(_COLOURS, (keys or judged).items(), strict=False):
            _line(axes, pooled, others, key, label, scale, colour)
        for key, reference in (("content_accuracy", "content, of mels"), ("leak_accuracy", "speaker, of mels")):
            if key in keys and key in study.references:
                colour = _COLOURS[list(keys).index(key)]
                axes.axhline(scale * study.references[key], color=colour, linewidth=0.8, linestyle=":", label=reference)
        axes.set_title(title, fontsize=10)
        axes.set_xscale("log")
        axes.set_xlabel("beta / alpha", fontsize=8)
        axes.tick_params(labelsize=8)
        axes.grid(color="#dddddd", linewidth=0.6)
        axes.set_ylim(bottom=0)
        axes.legend(fontsize=7, frameon=False)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    encoded = io.BytesIO()
    FigureCanvasAgg(figure).print_png(encoded)
    return encoded.getvalue()


def _line(
    axes: Axes,
    pooled: Sequence[Outcome],
    others: Sequence[Outcome],
    key: str,
    label: str,
    scale: float,
    colour: str,
) -> None:
    """A line over the ratios, and a hollow mark for what had no pooling."""
    found = [(o.case.ratio, scale * o.measures[key]) for o in pooled if key in o.measures]
    axes.plot([r for r, _ in found], [v for _, v in found], "o-", color=colour, label=label, markersize=4)
    alone = [(o.case.ratio, scale * o.measures[key]) for o in others if key in o.measures]
    if alone:
        axes.plot([r for r, _ in alone], [v for _, v in alone], "D", color=colour, markerfacecolor="white",
                  label=f"{label}, no pooling", markersize=6)  # fmt: skip
