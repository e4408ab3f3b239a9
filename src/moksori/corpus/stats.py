"""Durations and F0 per speaker, as numbers and as a picture."""

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import Float

from moksori.audio.f0 import extract_f0
from moksori.corpus.manifest import Corpus, read_utterance, write_bytes, write_text
from moksori.types import Utterance

HOP_SECONDS = 0.01
DRAWN_SPEAKERS = 20
"""More rows than this cannot be read in a picture; the JSON has all."""


@dataclass(frozen=True)
class SpeakerStats:
    """One speaker. durations: seconds of the shortest, median, mean and longest utterance.

    f0_hz: 5, 50 and 95 % quantiles of the voiced frames; voiced: their share. pitch_utterances: how many were measured.
    """

    utterances: int
    hours: float
    shortest_seconds: float
    median_seconds: float
    mean_seconds: float
    longest_seconds: float
    f0_hz: tuple[float, float, float]
    voiced: float
    pitch_utterances: int


def corpus_stats(
    corpus: Corpus,
    folder: Path | None = None,
    *,
    pitch_utterances: int = 50,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, SpeakerStats]:
    """Statistics per speaker; writes `stats.json` and `stats.png` into `folder` (the corpus's own by default).

    pitch_utterances: F0 is measured on so many utterances of each speaker, spread evenly over the manifest.
    Raises CorpusError if the files cannot be written, AudioError for a recording that cannot be read.
    """
    utterances = [u for split in corpus.splits for u in corpus.split(split)]
    of_speaker = {name: [u for u in utterances if u.speaker == name] for name in corpus.info.speakers}
    of_speaker = {name: items for name, items in of_speaker.items() if items}
    measured = {name: _spread(items, pitch_utterances) for name, items in of_speaker.items()}
    pitches = _pitches([u for items in measured.values() for u in items], workers, progress)
    found: dict[str, SpeakerStats] = {}
    voiced: dict[str, Float[np.ndarray, " frames"]] = {}
    for name, items in of_speaker.items():
        seconds = np.array([u.duration_seconds for u in items])
        frames = np.concatenate([pitches[u.name] for u in measured[name]])
        voiced[name] = frames[frames > 0]
        quantiles = np.percentile(voiced[name], [5, 50, 95]) if len(voiced[name]) else np.zeros(3)
        found[name] = SpeakerStats(
            utterances=len(items),
            hours=round(float(seconds.sum()) / 3600, 4),
            shortest_seconds=round(float(seconds.min()), 3),
            median_seconds=round(float(np.median(seconds)), 3),
            mean_seconds=round(float(seconds.mean()), 3),
            longest_seconds=round(float(seconds.max()), 3),
            f0_hz=(round(float(quantiles[0]), 1), round(float(quantiles[1]), 1), round(float(quantiles[2]), 1)),
            voiced=round(len(voiced[name]) / max(len(frames), 1), 4),
            pitch_utterances=len(measured[name]),
        )
    folder = folder or corpus.folder
    durations = {name: np.array([u.duration_seconds for u in items]) for name, items in of_speaker.items()}
    write_text(
        folder / "stats.json",
        json.dumps({name: asdict(s) for name, s in found.items()}, ensure_ascii=False, indent=2) + "\n",
    )
    write_bytes(folder / "stats.png", _picture(corpus.info.name, durations, voiced))
    return found


def _spread(items: Sequence[Utterance], number: int) -> list[Utterance]:
    if len(items) <= number:
        return list(items)
    return [items[index] for index in np.linspace(0, len(items) - 1, number).round().astype(int)]


def _pitches(
    utterances: Sequence[Utterance], workers: int, progress: Callable[[int, int], None] | None
) -> dict[str, Float[np.ndarray, " frames"]]:
    def one(utterance: Utterance) -> Float[np.ndarray, " frames"]:
        waveform = read_utterance(utterance)
        return extract_f0(waveform, round(HOP_SECONDS * waveform.sample_rate), method="fast")

    found = {}
    with ThreadPoolExecutor(workers) as pool:
        try:
            for utterance, f0 in zip(utterances, pool.map(one, utterances), strict=True):
                found[utterance.name] = f0
                if progress is not None:
                    progress(len(found), len(utterances))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    return found


def _picture(
    title: str,
    durations: Mapping[str, Float[np.ndarray, " utterances"]],
    voiced: Mapping[str, Float[np.ndarray, " frames"]],
) -> bytes:
    """PNG: left the durations of all utterances, stacked by speaker; right the F0 of each speaker as a box."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = sorted(durations, key=lambda name: -durations[name].sum())[:DRAWN_SPEAKERS]
    figure = Figure(figsize=(11, 2.5 + 0.25 * max(len(names), 8)), dpi=100, layout="constrained")
    left, right = figure.subplots(1, 2)
    shown = f" ({len(names)} of {len(durations)} speakers)" if len(names) < len(durations) else ""
    figure.suptitle(f"{title}{shown}")
    left.hist([durations[name] for name in names], bins=40, stacked=True, label=names)
    left.set(xlabel="seconds", ylabel="utterances", title="durations")
    if len(names) <= 10:
        left.legend()
    right.boxplot(
        [voiced[n] if len(voiced[n]) else [0.0] for n in names],
        orientation="horizontal",
        whis=(5, 95),
        showfliers=False,
    )
    right.set_yticks(range(1, len(names) + 1), names)
    right.set(xlabel="Hz", title="F0: median, quartiles, 5 to 95 %")
    buffer = BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()
