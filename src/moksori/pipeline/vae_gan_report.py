"""The comparison as a page for the docs, as pictures, and as one HTML file with the same sentence by every variant."""

import html
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from moksori.audio.io import write_whole
from moksori.corpus.manifest import Corpus, read_utterance, write_text
from moksori.evaluation.names import UNCHANGED
from moksori.evaluation.page import STYLE, sound_figure, spectrogram_levels
from moksori.evaluation.picture import save_bars
from moksori.pipeline.vae_gan_desk import pictured, shown_sounds
from moksori.pipeline.vae_gan_material import CORPUS_NAME, Trial, gather
from moksori.pipeline.vae_gan_result import Comparison, Row
from moksori.pipeline.vae_gan_variants import PAIRS
from moksori.pipeline.vae_gan_verdicts import MEASURES, Measure, leaders, over_seeds, verdict
from moksori.types import Waveform

TABLE_NAME, PICTURE_NAME, STRIP_NAME, PAGE_NAME = "vae_gan.md", "vae_gan.png", "vae_gan_strip.png", "vae_gan.html"
PARTS: Mapping[str, Sequence[str]] = {
    "Likeness and sharpness": ("mcd", "mcd_voiced", "gv_ratio", "modulation", "ripple_ratio"),
    "Coverage": ("wasserstein", "precision", "recall", "phone_variance"),
    "Identity": ("similarity", "nearer", "identified", "leak"),
    "Content": ("wer", "stoi", "estoi", "phones"),
    "Prosody and sound": ("f0_rmse_cents", "pitch_semitones", "voicing_error", "ovrl", "p808"),
    "A tour of the latent": ("tour_copy", "tour_between", "tour_prior"),
}
_PANELS = ("mcd", "gv_ratio", "modulation", "wasserstein", "recall", "identified", "similarity", "wer", "ovrl")
_COSTS = (
    ("minutes of training", "seconds", 1 / 60, 1),
    ("ms a step, at the end", "milliseconds_per_step", 1.0, 0),
    ("MB at most", "peak_mb", 1.0, 0),
    ("norm of the gradients, median", "gradient_norm", 1.0, 2),
    ("largest", "largest_gradient_norm", 1.0, 1),
)
_TOLD = (
    ("KL, nats a frame", "kl", 1.0, 2),
    ("codes in use", "codes_used", 1.0, 0),
    ("perplexity", "perplexity", 1.0, 1),
    ("the critic's own distance", "distance", 1.0, 3),
    ("lost with another's z", "latent_gain", 1.0, 2),
    ("with another's codes", "code_gain", 1.0, 3),
    ("with another speaker", "speaker_gain", 1.0, 3),
)
"""What runs say of themselves; the last three in units of their own reconstruction loss."""
_KEYS = {measure.key: measure for measure in MEASURES}


@dataclass(frozen=True)
class Report:
    """What was written. strip, page: None where no run has kept its sounds."""

    table: Path
    picture: Path
    strip: Path | None
    page: Path | None

    @property
    def files(self) -> list[Path]:
        return [path for path in (self.table, self.picture, self.strip, self.page) if path is not None]


def save_report(study: Comparison, corpus: str | Path | None = None, recordings: bool = True) -> Report:
    """Writes everything beside `vae_gan.json`. corpus: what was converted; None: nothing is to be heard. recordings:
    whether they are to be heard beside what was made of them; without them the page may go where they may not."""
    folder = study.folder
    table, picture = folder / TABLE_NAME, folder / PICTURE_NAME
    heard = _heard(study, corpus, recordings)
    strip = page = None
    if heard:
        strip, page = folder / STRIP_NAME, folder / PAGE_NAME
        name, sounds = next(iter(heard.items()))
        write_whole(strip, _strip(name, sounds))
        write_whole(page, _page(study, heard).encode("utf-8"))
    write_text(table, "\n".join([*markdown(study, strip is not None), ""]))
    save_bars(picture, _panels(study), "VAE or GAN? mean and spread over seeds")
    return Report(table, picture, strip, page)


def markdown(study: Comparison, strip: bool = False) -> list[str]:
    """The page's lines."""
    settings = study.settings
    many, overrides = settings["seeds"], ", ".join(f"`{given}`" for given in settings["overrides"])
    lines = [
        "# VAE or GAN?",
        "",
        f"{_count(settings['trials'], 'conversion')} among {', '.join(settings['speakers'])} of "
        f"`{settings['corpus']}`, {settings['parallel']} of them with the target saying the same; {settings['steps']} "
        f"steps and {_count(many, 'seed')} for each variant" + (f"; {overrides}" if overrides else "") + ".",
        "",
        "A cell is the mean over seeds ± their standard deviation. **Bold** is best, and = what ties with it: a "
        "difference smaller than the larger of the two spreads is none."
        + (" With one seed there is no spread, and no difference is told from chance." if many < 2 else ""),
    ]
    for title, keys in PARTS.items():
        lines += ["", f"## {title}", "", *_table(study, [_KEYS[key] for key in keys])]
    lines += ["", "## What buys what", "", *comparisons(study)]
    lines += ["", "## What the runs say of themselves", "", *_told(study)]
    lines += ["", "## Stability and cost", "", *_costs(study)]
    if strip:
        lines += ["", f"![the same sentence by every variant]({STRIP_NAME})"]
    lines += ["", f"![measures with their spread]({PICTURE_NAME})"]
    lines += _failures(study)
    if study.notes:
        lines += ["", *(f"- {note}" for note in study.notes)]
    return lines


def comparisons(study: Comparison) -> list[str]:
    """Pair by pair, whether a measure is better, worse, or a tie."""
    found = [(one, other, told) for a, b, told in PAIRS
             if (one := study.row(a)) is not None and (other := study.row(b)) is not None]  # fmt: skip
    if not found:
        return ["No two of the variants that are compared were run."]
    lines = ["| | against | better | worse | tie |", "|---|---|---|---|---|"]
    for one, other, told in found:
        said: dict[str, list[str]] = {"better": [], "worse": [], "tie": [], "-": []}
        for measure in MEASURES:
            said[verdict(measure, one.values(measure.key), other.values(measure.key))].append(measure.short)
        cells = [", ".join(said[name]) or "-" for name in ("better", "worse", "tie")]
        lines.append(f"| {one.name}: {told} | {other.name} | {' | '.join(cells)} |")
    return lines


def summary(study: Comparison) -> list[str]:
    """One table of the headline measures, for a terminal."""
    return _table(study, [_KEYS[key] for key in _PANELS])


def failures(study: Comparison) -> list[str]:
    """A line for each run that was stopped or could not be measured."""
    return [f"{row.name}, seed {run.seed}: {run.reason}" for row in study.rows for run in row.failures]


def _table(study: Comparison, measures: Sequence[Measure]) -> list[str]:
    """Variants down, measures across; then what they stand beside."""
    measures = [m for m in measures if any(not math.isnan(v) for row in study.rows for v in row.values(m.key))]
    if not measures:
        return ["Not measured."]
    lead = {m.key: leaders(m, [row.values(m.key) for row in study.rows]) for m in measures}
    lines = [f"| | {' | '.join(m.title for m in measures)} |", f"|{'---|' * (len(measures) + 1)}"]
    for place, row in enumerate(study.rows):
        cells = [_cell(m, row.values(m.key), lead[m.key][place]) for m in measures]
        lines.append(f"| {row.name} | {' | '.join(cells)} |")
    for name, found in study.references.items():
        cells = [m.shown(found.get(m.key, math.nan)) for m in measures]
        lines.append(f"| *{name}* | {' | '.join(cells)} |")
    return lines


def _cell(measure: Measure, values: Sequence[float], lead: str) -> str:
    found = over_seeds(values)
    if not found.n:
        return "-"
    text = measure.shown(found.mean)
    if not math.isnan(found.spread):
        text += f" ± {measure.shown(found.spread)}"
    return f"**{text}**" if lead == "best" else f"{text} =" if lead == "tie" else text


def _costs(study: Comparison) -> list[str]:
    heads = ["seeds that ended well", *(title for title, _, _, _ in _COSTS)]
    lines = [f"| | {' | '.join(heads)} |", f"|{'---|' * (len(heads) + 1)}"]
    for row in study.rows:
        if row.preset:
            cells = [_over(row, "cost", key, scale, digits) for _, key, scale, digits in _COSTS]
            well = f"{len(row.runs) - len(row.failures)} of {len(row.runs)}"
            lines.append(f"| {row.name} | {' | '.join([well, *cells])} |")
    return [*lines, "", "Memory is that of the whole process; evaluation is in none of the figures."]


def _told(study: Comparison) -> list[str]:
    known = [column for column in _TOLD if any(column[1] in run.validation for row in study.rows for run in row.runs)]
    active = "numbers of z that tell anything, %"
    heads = [*(title for title, _, _, _ in known), active]
    lines = [f"| | {' | '.join(heads)} |", f"|{'---|' * (len(heads) + 1)}"]
    for row in study.rows:
        if row.preset:
            cells = [_over(row, "validation", key, scale, digits) for _, key, scale, digits in known]
            lines.append(f"| {row.name} | {' | '.join([*cells, _over(row, 'measures', 'active', 100.0, 0)])} |")
    return [*lines, "", "Each in its own terms, of held-out recordings: not to be compared between kinds of models."]


def _over(row: Row, where: str, key: str, scale: float, digits: int) -> str:
    """The mean over seeds."""
    found = over_seeds([getattr(run, where).get(key, math.nan) for run in row.runs])
    return f"{scale * found.mean:.{digits}f}" if found.n else "-"


def _failures(study: Comparison) -> list[str]:
    found = failures(study)
    return ["", "## What failed", "", *(f"- {line}" for line in found)] if found else []


def _count(number: int, name: str) -> str:
    return f"{number} {name}" + ("" if number == 1 else "s")


def _panels(study: Comparison) -> dict[str, dict[str, tuple[float, float, float]]]:
    panels: dict[str, dict[str, tuple[float, float, float]]] = {}
    for key in _PANELS:
        measure = _KEYS[key]
        values: dict[str, tuple[float, float, float]] = {}
        for row in study.rows:
            found = over_seeds(row.values(key))
            if found.n:
                around = 0.0 if math.isnan(found.spread) else found.spread
                values[row.name] = tuple(measure.scale * v for v in
                                         (found.mean, found.mean - around, found.mean + around))  # type: ignore[assignment]  # fmt: skip
        for name, known in study.references.items():
            if not math.isnan(value := known.get(key, math.nan)):
                values[name] = (measure.scale * value,) * 3
        panels[measure.title] = values
    return panels


# ---- what can be heard


def _heard(study: Comparison, corpus: str | Path | None, recordings: bool) -> dict[str, dict[str, Waveform]]:
    """Sentence by sentence the recordings and what each variant made of it, in the table's order."""
    trials = _trials(study, corpus)
    found: dict[str, dict[str, Waveform]] = {}
    for trial in trials:
        sounds: dict[str, Waveform] = {}
        for row in study.rows:
            sound = shown_sounds(_folder(study, row), trial)
            if sound is not None:
                sounds[row.name] = sound
        if sounds:
            beside = {UNCHANGED: read_utterance(trial.source)} if recordings else {}
            if recordings and trial.parallel is not None:
                beside[f"{trial.target} saying it"] = read_utterance(trial.parallel)
            found[f"{trial.source.speaker} to {trial.target}: {trial.source.text or trial.source.name}"] = {
                **beside,
                **sounds,
            }
    return found


def _trials(study: Comparison, corpus: str | Path | None) -> list[Trial]:
    if corpus is None:
        return []
    own = study.folder / CORPUS_NAME
    part = Corpus.open(own if (own / "corpus.json").is_file() else corpus)
    return pictured(gather(part, int(study.settings["sentences"])).trials)


def _folder(study: Comparison, row: Row) -> Path:
    """Of the seed whose sounds are kept."""
    return study.folder / (f"{row.name}-seed-1" if row.preset else f"beside-{row.name.removesuffix(' (as it is)')}")


def _strip(name: str, sounds: Mapping[str, Waveform]) -> bytes:
    """Spectrograms of one sentence, under each other."""
    figure = Figure(figsize=(9.0, 0.95 * len(sounds) + 0.5), dpi=100, facecolor="white", layout="constrained")
    for axes, (who, sound) in zip(figure.subplots(len(sounds), 1, squeeze=False).flat, sounds.items(), strict=True):
        axes.imshow(spectrogram_levels(sound), aspect="auto", cmap="magma", vmin=0.0, vmax=1.0)
        axes.set_ylabel(who.replace("$", r"\$"), rotation=0, ha="right", va="center", fontsize=8)
        axes.set_xticks([])
        axes.set_yticks([])
    figure.suptitle(f"{name[:110]} (0 to 8 kHz)".replace("$", r"\$"), fontsize=9)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    encoded = io.BytesIO()
    # As few colours as do: a third of the bytes.
    Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB").quantize(64).save(encoded, "png", optimize=True)
    return encoded.getvalue()


def _page(study: Comparison, heard: Mapping[str, Mapping[str, Waveform]]) -> str:
    """Everything in the file: it opens without a network."""
    settings = study.settings
    told = (
        f"{settings['corpus']}: {', '.join(settings['speakers'])}; {settings['steps']} steps, "
        f"{_count(settings['seeds'], 'seed')}; sounds of the first seed"
    )
    parts = ["<h1>VAE or GAN?</h1>", f'<p class="dim">{html.escape(told)}</p>']
    parts += [_html_table(summary(study))]
    for name, sounds in heard.items():
        figures = "".join(sound_figure(who, sound) for who, sound in sounds.items())
        parts.append(f'<h3>{html.escape(name)}</h3><div class="sounds">{figures}</div>')
    notes = "".join(f"<li>{html.escape(line)}</li>" for line in [*failures(study), *study.notes])
    parts.append(f"<ul>{notes}</ul>" if notes else "")
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>VAE or GAN?</title>'
        f"<style>{STYLE}</style>"
    )
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'


def _html_table(lines: Sequence[str]) -> str:
    """A table of the markdown page, in which bold and italics are the only marks."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if not line.startswith("|--")]
    if len(rows) < 2:
        return f"<p>{html.escape(' '.join(lines))}</p>"
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in rows[0])
    body = "".join(f"<tr>{''.join(f'<td>{_marked(cell)}</td>' for cell in row)}</tr>" for row in rows[1:])
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _marked(cell: str) -> str:
    text = html.escape(cell.strip("*"))
    return f"<b>{text}</b>" if cell.startswith("**") else f"<i>{text}</i>" if cell.startswith("*") else text
