"""Where each speaker's pitch lies: where conversion moves a melody."""

from collections.abc import Iterable, Mapping

import numpy as np
from jaxtyping import Float

from moksori.types import Example

_LEAST_FRAMES = 50


def pitch_ranges(examples: Iterable[Example], alone: bool = False) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation of ln F0 (Hz) by speaker, of those whose examples have F0.

    alone: whether it is told of a single speaker too, as songs in another key need; otherwise {} for one.
    """
    found: dict[str, list[Float[np.ndarray, " frames"]]] = {}
    for example in examples:
        tracks = found.setdefault(example.utterance.speaker, [])
        if example.f0 is not None:
            tracks.append(example.f0)
    return ranges_of_tracks(found) if len(found) > 1 or alone else {}


def ranges_of_tracks(tracks: Mapping[str, list[Float[np.ndarray, " frames"]]]) -> dict[str, tuple[float, float]]:
    """The same of F0 in Hz per frame, 0 where unvoiced; speakers with next to no voiced frame are left out.

    Frames an octave or more from the speaker's median do not count: trackers err by octaves.
    """
    ranges = {}
    for speaker, parts in sorted(tracks.items()):
        f0 = np.concatenate([np.zeros(0, np.float32), *parts])
        log_f0 = np.log(f0[f0 > 0], dtype=np.float64)
        if len(log_f0) < _LEAST_FRAMES:
            continue
        kept = log_f0[np.abs(log_f0 - np.median(log_f0)) < np.log(2.0)]
        ranges[speaker] = (round(float(kept.mean()), 4), round(float(kept.std()), 4))
    return ranges
