"""Pictures of sound and of training, as PNG files that appear whole; no display is needed."""

import io
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from moksori.audio.io import write_whole
from moksori.audio.stft import linear_spectrogram
from moksori.errors import AudioError
from moksori.types import Waveform

MAXIMUM_SECONDS = 60.0
"""More than a minute in one picture shows nothing any more."""
_WINDOW_SECONDS = 0.04
_RANGE_DB = 80.0
_INK, _PAPER, _LINE = "#222831", "#ffffff", "#ffffff"
_DPI = 120


def save_spectrogram(
    path: Path, waveform: Waveform, words: Sequence[tuple[str, float, float]] | None = None, title: str = ""
) -> None:
    """A narrow-band spectrogram as PNG: seconds across, kHz up to 8 upwards, level in dB under the loudest point.

    words: (text, start, end) in seconds; each is named above the picture and bounded by lines in it.
    Raises AudioError for an empty waveform, one with NaN or infinity, one of more than a minute, or if the file cannot
    be written.
    """
    if len(waveform.samples) == 0 or not np.isfinite(waveform.samples).all():
        raise AudioError(f"{path}: no picture of a waveform that is empty or holds NaN or infinity")
    if waveform.duration_seconds > MAXIMUM_SECONDS:
        raise AudioError(
            f"{path}: a picture shows at most {MAXIMUM_SECONDS:g} s, the waveform lasts "
            f"{waveform.duration_seconds:.0f} s; cut it first"
        )
    seconds = waveform.duration_seconds
    # Wider for longer sounds, so that a word keeps the width of its name.
    width = float(np.clip(2.0 + 2.4 * seconds, 7.0, 40.0))
    figure = Figure(figsize=(width, 4.2), dpi=_DPI, facecolor=_PAPER, layout="constrained")
    axes = figure.subplots()
    levels, top_khz = _levels(waveform)
    image = axes.imshow(
        levels,
        origin="lower",
        aspect="auto",
        interpolation="bilinear",
        cmap="magma",
        vmin=-_RANGE_DB,
        vmax=0.0,
        extent=(0.0, seconds, 0.0, top_khz),
    )
    axes.set_xlim(0.0, seconds)
    axes.set_ylim(0.0, min(top_khz, 8.0))
    axes.set_xlabel("time (s)")
    axes.set_ylabel("frequency (kHz)")
    _tidy(axes)
    figure.colorbar(image, ax=axes, label="level (dB)", pad=0.01, fraction=0.05, aspect=30).outline.set_visible(False)
    _draw_words(axes, words or (), seconds, width)
    if title:
        figure.suptitle(_plain(title), color=_INK, fontsize=11)
    _save(figure, path)


def save_curves(
    path: Path,
    curves: Mapping[str, tuple[Sequence[float | int], Sequence[float | int]]],
    x_label: str = "step",
    y_label: str = "",
    title: str = "",
    logarithmic: bool = False,
) -> None:
    """Lines in one diagram as PNG, such as losses over training steps.

    curves: name -> (x, y) of equal length; values that are NaN or infinite leave a gap.
    logarithmic: the y axis; values of 0 and less leave a gap then.
    Raises AudioError if there is no curve, x and y differ in length, or the file cannot be written.
    """
    if not curves:
        raise AudioError(f"{path}: no curve to draw")
    figure = Figure(figsize=(8.0, 4.5), dpi=_DPI, facecolor=_PAPER, layout="constrained")
    axes = figure.subplots()
    for name, (x, y) in curves.items():
        if len(x) != len(y):
            raise AudioError(f"{path}: curve {name!r} has {len(x)} x values and {len(y)} y values")
        values = np.asarray(y, dtype=np.float64)
        values = np.where(np.isfinite(values) & ((values > 0.0) | (not logarithmic)), values, np.nan)
        axes.plot(np.asarray(x, dtype=np.float64), values, label=_plain(name), linewidth=1.6)
    if logarithmic:
        axes.set_yscale("log")
    axes.set_xlabel(_plain(x_label))
    axes.set_ylabel(_plain(y_label))
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    _tidy(axes)
    axes.legend(frameon=False, fontsize=9)
    if title:
        axes.set_title(_plain(title), color=_INK, fontsize=11)
    _save(figure, path)


def _levels(waveform: Waveform) -> tuple[Float[np.ndarray, "bins frames"], float]:
    """Levels in dB under the loudest point, and the frequency of the last bin in kHz."""
    rate = waveform.sample_rate
    window = max(2 * round(_WINDOW_SECONDS * rate / 2), 2)
    n_fft = 1 << int(np.ceil(np.log2(window)) + 1)  # twice the window: smooth harmonics
    hop = max(round(0.005 * rate), len(waveform.samples) // 4000, 1)
    samples = waveform.samples
    if len(samples) < hop:
        samples = np.pad(samples, (0, hop - len(samples)))
    signal = torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32)).unsqueeze(0)
    magnitude = linear_spectrogram(signal, max(n_fft, hop), hop, window, epsilon=0.0)[0].numpy()
    loudest = magnitude.max()
    if loudest == 0.0:
        return np.full_like(magnitude, -_RANGE_DB), rate / 2000.0
    return 20.0 * np.log10(np.maximum(magnitude / loudest, 10.0 ** (-_RANGE_DB / 20.0))), rate / 2000.0


def _draw_words(axes: Axes, words: Sequence[tuple[str, float, float]], seconds: float, width: float) -> None:
    inches_per_second = 0.86 * width / seconds  # the rest is axes and colour bar
    for text, start, end in words:
        start, end = max(start, 0.0), min(end, seconds)
        if end <= start:
            continue
        for edge in (start, end):
            axes.axvline(edge, color=_LINE, linewidth=0.8, alpha=0.65)
        upright = 0.085 * len(text) + 0.05 > (end - start) * inches_per_second  # its name is wider than the word lasts
        axes.annotate(
            _plain(text),
            xy=((start + end) / 2.0, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0.0, 4.0),
            textcoords="offset points",
            ha="left" if upright else "center",
            va="bottom",
            rotation=50 if upright else 0,
            rotation_mode="anchor",
            fontsize=9,
            color=_INK,
        )


def _tidy(axes: Axes) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(colors=_INK, labelsize=9)
    axes.xaxis.label.set_color(_INK)
    axes.yaxis.label.set_color(_INK)
    axes.xaxis.set_major_locator(MaxNLocator(nbins="auto", steps=[1, 2, 5, 10]))


def _plain(text: str) -> str:
    """Text that matplotlib does not take for a formula."""
    return text.replace("$", r"\$")


def _save(figure: Figure, path: Path) -> None:
    encoded = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a script without a font becomes boxes
        FigureCanvasAgg(figure).print_png(encoded)
    write_whole(Path(path), encoded.getvalue())
