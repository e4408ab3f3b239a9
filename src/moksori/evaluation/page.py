"""An evaluation as one HTML file: tables, plots of the measures, and sounds to hear with their spectrograms.

Everything is in the file (Opus sounds, PNG pictures, SVG plots, no script from elsewhere), so that it can be sent on
and opened without a network.
"""

import base64
import html
import io
import math
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import matplotlib
import numpy as np
import torch
from jaxtyping import Float
from PIL import Image

from moksori.audio.io import write, write_whole
from moksori.audio.resample import resample
from moksori.audio.stft import linear_spectrogram
from moksori.evaluation.bars import Bar
from moksori.evaluation.columns import COLUMNS, cell, number
from moksori.evaluation.names import CONTROLS, HUMAN
from moksori.evaluation.report import Group, Report
from moksori.evaluation.score import SystemScores
from moksori.evaluation.statistics import Estimate
from moksori.types import Waveform

HEARD_SECONDS = 12.0
"""Of each sound in the page."""
_RATE = 16000
_WINDOW, _HOP, _RANGE_DB = 640, 160, 70.0
_WIDTH, _HEIGHT, _COLOUR_STEPS = 640, 128, 64
_COLOURS = ("#00798c", "#d1495b", "#c98a00", "#4f8f6d", "#5b6ea8", "#8d6a9f", "#7a5c3e")
_TITLES = {
    "speak": "Speech from text",
    "like": "Speech in the voice of a prompt",
    "convert": "Changing who speaks",
    "sing": "Singing",
    "vocode": "Copies of recordings",
    "codec": "Coded recordings",
    "denoise": "Cleaning recordings",
}
_ARROWS = {"lower": "lower is better", "higher": "higher is better", "": "near the recordings'"}
STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --dim: #888; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 68rem; padding: 0 1.2rem; }
h1 { font-size: 1.6rem; margin-bottom: .2rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; } h3 { font-size: 1rem; }
.dim, caption, figcaption { color: var(--dim); font-size: .85rem; text-align: left; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } .model { font-weight: 600; background: var(--soft); }
th { white-space: normal; max-width: 9rem; vertical-align: bottom; } .wide { margin-bottom: 1.2rem; }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(19rem, 1fr)); gap: 1rem 1.6rem; }
.plots h3 { margin: 0 0 .2rem; } svg { width: 100%; height: auto; display: block; } svg text { fill: currentColor; }
.sounds { display: grid; grid-template-columns: repeat(auto-fill, minmax(19rem, 1fr)); gap: 1rem 1.6rem; }
figure { margin: 0; } figure img { width: 100%; height: 8rem; display: block; border-radius: 4px; }
audio { width: 100%; height: 2.2rem; margin-top: .3rem; } figcaption b { color: CanvasText; }
.reached::before { content: "\\2713"; color: #2a9d4a; } .missed::before { content: "\\2717"; color: #d1495b; }
li.reached, li.missed { list-style: none; margin-left: -1.2rem; }
li.reached::before, li.missed::before { margin-right: .5rem; }
"""


def save_page(path: Path | str, report: Report) -> Path:
    """Writes the page, whole or not at all. Raises AudioError naming the path if it cannot be written."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, render_page(report).encode("utf-8"))
    return path


def render_page(report: Report) -> str:
    """The page's text."""
    title = f"{report.model}: {_TITLES.get(report.task, report.task)}"
    parts = [
        f"<h1>{_text(title)}</h1>",
        f'<p class="dim">{_text(report.corpus)} ({_text(report.split)}), n = {report.n}, seed {report.seed}, model '
        f"{_text(report.model_hash)}</p>",
        _bars(report.bars()),
        "<h2>Figures</h2>",
    ]
    several = len(report.groups) > 1
    systems = [s for s in report.systems if s.name not in CONTROLS]
    parts.append(
        _table(
            systems,
            report.model,
            f"{_text(report.headline or 'All together')}; &plusmn; is half of a 95 % interval" if several else "",
        )
    )
    if several:
        parts += [
            _table(
                [s for s in group.systems if s.name not in CONTROLS],
                report.model,
                f"{_text(group.speaker)} {_text(group.language)}, {group.n} of {group.of}",
            )
            for group in report.groups
            if group.speaker != report.headline
        ]
    parts += [_trials(report), "<h2>Measures with their 95 % intervals</h2>", _plots(systems, report.model)]
    if report.pictures:
        parts.append("<h2>Listen</h2>")
        for picture in report.pictures:
            heard = "".join(sound_figure(name, sound) for name, sound in picture.sounds.items())
            parts.append(f'<h3>{_text(picture.name)}</h3><div class="sounds">{heard}</div>')
    lines = [*report.summary(), *(line for group in report.groups for line in _remarks(report, group))]
    parts += ["<h2>How it was measured</h2>", _list(lines), _explained(systems)]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{_text(title)}</title>'
    body = "".join(parts)
    return f'<!doctype html>\n<html lang="en"><head>{head}<style>{STYLE}</style></head><body>{body}</body></html>\n'


def _remarks(report: Report, group: Group) -> list[str]:
    prefix = f"{group.speaker}: " if len(report.groups) > 1 else ""
    return [prefix + line for line in group.summary(report.model, report.task, bars=False)]


def _text(value: object) -> str:
    return html.escape(str(value))


def _list(lines: Iterable[str]) -> str:
    items = "".join(f"<li>{_text(line)}</li>" for line in lines)
    return f"<ul>{items}</ul>" if items else ""


def _bars(bars: Sequence[Bar]) -> str:
    if not bars:
        return ""
    rows = "".join(
        f'<li class="{"reached" if bar.reached else "missed"}">{_text(COLUMNS[bar.measure].title)} '
        f"{number(bar.measure, bar.value)}: {'reaches' if bar.reached else 'misses'} the bar of "
        f"{number(bar.measure, bar.limit)} <span class=dim>({_text(bar.rule)})</span></li>"
        for bar in bars
    )
    return f"<h2>Bars</h2><ul>{rows}</ul>"


def _keys(systems: Sequence[SystemScores]) -> list[str]:
    return [key for key in COLUMNS if any(_known(system.measures.get(key)) for system in systems)]


def _known(estimate: Estimate | None) -> bool:
    return estimate is not None and math.isfinite(estimate.value)


def _table(systems: Sequence[SystemScores], model: str, caption: str) -> str:
    """Measures down, systems across: there are more of the former."""
    chosen = [' class="model"' if system.name == model else "" for system in systems]
    head = "".join(f"<th{c}>{_text(system.name)}</th>" for system, c in zip(systems, chosen, strict=True))
    rows = []
    for key in _keys(systems):
        cells = "".join(
            f"<td{c}>{_text(cell(key, system.measures.get(key)))}</td>"
            for system, c in zip(systems, chosen, strict=True)
        )
        rows.append(f"<tr><td>{_text(COLUMNS[key].title)}</td>{cells}</tr>")
    told = f"<caption>{caption}</caption>" if caption else ""
    body = "".join(rows)
    return f'<div class="wide"><table>{told}<thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _trials(report: Report) -> str:
    if not report.trials:
        return ""
    rows = "".join(
        f"<tr><td>{_text(row.code)}</td><td>{_text(row.kind)}</td><td>{_text(cell('speaker_eer', row.error_rate))}</td>"
        f"<td>{row.targets}</td><td>{row.impostors}</td></tr>"
        for row in report.trials
    )
    head = "<tr><th>vectors</th><th>trials</th><th>equal error rate %</th><th>of one person</th><th>of two</th></tr>"
    return (
        "<h2>Who speaks: trials of 3-second segments, people of one sex</h2>"
        f'<div class="wide"><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>'
    )


def _plots(systems: Sequence[SystemScores], model: str) -> str:
    plots = []
    for key in _keys(systems):
        column = COLUMNS[key]
        rows = {s.name: e for s in systems if (e := s.measures.get(key)) is not None and math.isfinite(e.value)}
        plots.append(
            f'<div><h3>{_text(column.title)}</h3><div class="dim">{_ARROWS[column.better]}</div>'
            f"{_plot(rows, column.scale, column.digits, [s.name for s in systems], model)}</div>"
        )
    return f'<div class="plots">{"".join(plots)}</div>'


def _plot(rows: Mapping[str, Estimate], scale: float, digits: int, order: Sequence[str], model: str) -> str:
    """A dot at each value and a line over its interval, as SVG, with the numbers beside them."""
    spans = {name: (e.low * scale, e.value * scale, e.high * scale) for name, e in rows.items()}
    low, high = min(low for low, _, _ in spans.values()), max(high for _, _, high in spans.values())
    margin = 0.06 * (high - low) or abs(high) * 0.05 or 1.0
    low, high = (max(low - margin, 0.0) if low >= 0 else low - margin), high + margin
    left, width, step = 150, 112, 20

    def across(value: float) -> float:
        return left + (value - low) / (high - low) * width

    lines = []
    for place, (name, (least, value, most)) in enumerate(spans.items()):
        y = 12 + step * place
        colour = _COLOURS[order.index(name) % len(_COLOURS)]
        weight = ' font-weight="600"' if name == model else ""
        lines.append(
            f'<text x="{left - 8}" y="{y + 4}" font-size="10.5" text-anchor="end"{weight}>{_text(_short(name))}</text>'
            f'<line x1="{across(least):.1f}" x2="{across(most):.1f}" y1="{y}" y2="{y}" stroke="{colour}" '
            'stroke-width="3" opacity=".5"/>'
            f'<circle cx="{across(value):.1f}" cy="{y}" r="4" fill="{colour}"><title>{_text(name)}: {value:.{digits}f} '
            f"[{least:.{digits}f}, {most:.{digits}f}]</title></circle>"
            f'<text x="{left + width + 8}" y="{y + 4}" font-size="10.5">{value:.{digits}f}</text>'
        )
    bottom = 12 + step * len(spans)
    right, small = left + width, 'font-size="9" opacity=".7"'
    axis = (
        f'<line x1="{left}" x2="{right}" y1="{bottom - 6}" y2="{bottom - 6}" stroke="currentColor" opacity=".3"/>'
        f'<text x="{left}" y="{bottom + 8}" {small}>{low:.{digits}f}</text>'
        f'<text x="{right}" y="{bottom + 8}" {small} text-anchor="end">{high:.{digits}f}</text>'
    )
    return f'<svg viewBox="0 0 {left + width + 46} {bottom + 14}" role="img">{"".join(lines)}{axis}</svg>'


def _short(name: str) -> str:
    return name if len(name) <= 24 else f"{name[:23]}…"


def sound_figure(name: str, sound: Waveform) -> str:
    """A sound to hear under its spectrogram, as HTML that holds both; "" for no samples."""
    cut = Waveform(sound.samples[: int(HEARD_SECONDS * sound.sample_rate)], sound.sample_rate)
    if len(cut.samples) == 0:
        return ""
    role = "<b>" + _text(name) + "</b>"
    longer = f" (the first {HEARD_SECONDS:g} s)" if len(cut.samples) < len(sound.samples) else ""
    return (
        f'<figure><img alt="spectrogram of {_text(name)}" src="data:image/png;base64,{_base64(_spectrogram(cut))}">'
        f'<audio controls preload="none" src="data:audio/ogg;base64,{_base64(_opus(cut))}"></audio>'
        f"<figcaption>{role}, {sound.duration_seconds:.1f} s{longer}; 0 to 8 kHz</figcaption></figure>"
    )


def _opus(sound: Waveform) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sound.opus"
        write(path, sound)
        return path.read_bytes()


def spectrogram_levels(sound: Waveform) -> Float[np.ndarray, "rows columns"]:
    """0 to 1 for 70 dB under the loudest point up to it, low frequencies in the last row, 0 to 8 kHz."""
    samples = resample(sound, _RATE).samples
    samples = np.pad(samples, (0, max(0, 2 * _WINDOW - len(samples))))
    magnitude = linear_spectrogram(torch.from_numpy(np.ascontiguousarray(samples))[None], 1024, _HOP, _WINDOW, 1e-9)[0]
    levels = 20 * np.log10(np.maximum(magnitude.numpy(), 1e-6))
    levels = _shrunk(_shrunk(levels - levels.max(), _HEIGHT).T, min(levels.shape[1], _WIDTH)).T
    return np.clip(1 + levels / _RANGE_DB, 0.0, 1.0)[::-1]


def _spectrogram(sound: Waveform) -> bytes:
    """As a small PNG of 64 colours of a map."""
    shown = spectrogram_levels(sound)
    image = Image.fromarray(np.round(shown * (_COLOUR_STEPS - 1)).astype(np.uint8), mode="P")
    colours = matplotlib.colormaps["magma"](np.linspace(0, 1, _COLOUR_STEPS))[:, :3]
    image.putpalette((colours * 255).astype(np.uint8).tobytes())
    encoded = io.BytesIO()
    image.save(encoded, format="png", optimize=True)
    return encoded.getvalue()


def _shrunk(levels: Float[np.ndarray, "rows columns"], height: int) -> Float[np.ndarray, "height columns"]:
    """The loudest of each of `height` equal parts, so that thin harmonics stay to be seen."""
    edges = np.linspace(0, len(levels), height + 1).astype(int)
    return np.stack([levels[low:high].max(axis=0) for low, high in pairwise(edges)])


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _explained(systems: Sequence[SystemScores]) -> str:
    names = [system.name for system in systems]
    told = {HUMAN: "what people recorded, through the same judges"}
    lines = [f"{name}: {text}" for name, text in told.items() if name in names]
    lines.append("The judges are programs; nobody listened. docs/evaluation.md tells what each figure is worth.")
    return _list(lines)
