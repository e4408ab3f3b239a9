"""An id for each frame of a recording: its phone, or what a user's files say of it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Int

from moksori.errors import CorpusError
from moksori.types import Example, SpeechNeeds

SLACK_FRAMES = 2
"""Front ends differ in what they make of the ends: a file may be so much shorter or longer than the recording."""


def with_units(examples: Sequence[Example], needs: SpeechNeeds) -> list[Example]:
    """The examples with `units`; those that were made of tokens and durations take their place.

    Raises CorpusError naming the file for one that is missing or broken, does not fit its recording, or holds an id
    that is not 0 to `needs.units` - 1.
    """
    if needs.unit_folder:
        folder = Path(needs.unit_folder).expanduser()
        if not folder.is_dir():
            raise CorpusError(f"{folder}: no such folder: objective.unit_folder names the one with a file a recording")
        return [replace(example, units=_from_file(folder, example, needs)) for example in examples]
    return [
        replace(e, units=np.repeat(e.tokens, e.durations), tokens=None, stress=None, durations=None)
        for e in examples
        if e.tokens is not None and e.durations is not None
    ]


def _from_file(folder: Path, example: Example, needs: SpeechNeeds) -> Int[np.ndarray, " frames"]:
    name, frames = example.utterance.name, len(example.waveform) // needs.hop_length
    path = next((p for p in (folder / f"{name}.npy", folder / f"{name}.txt") if p.is_file()), None)
    if path is None:
        raise CorpusError(f"{folder}: holds no {name}.npy and no {name}.txt: every recording needs its units")
    try:
        ids = np.load(path, allow_pickle=False) if path.suffix == ".npy" else _parsed(path)
    except (OSError, ValueError) as error:
        raise CorpusError(f"{path}: not a list of whole numbers ({error}): write one id a frame") from error
    if ids.ndim != 1 or not np.issubdtype(ids.dtype, np.integer) or len(ids) == 0:
        raise CorpusError(
            f"{path}: {ids.dtype} of shape {list(ids.shape)}: write one row of whole numbers, one a frame"
        )
    if abs(len(ids) - frames) > SLACK_FRAMES:
        milliseconds = 1000 * needs.hop_length / needs.sample_rate
        raise CorpusError(
            f"{path}: {len(ids)} ids, the recording has {frames} frames of {milliseconds:g} ms: write one id for each"
        )
    if ids.min() < 0 or ids.max() >= needs.units:
        raise CorpusError(
            f"{path}: ids from {ids.min()} to {ids.max()}, expected 0 to {needs.units - 1}: set model.prior.num_units"
        )
    return np.pad(ids[:frames], (0, max(frames - len(ids), 0)), mode="edge").astype(np.int64)


def _parsed(path: Path) -> Int[np.ndarray, " ids"]:
    return np.array([int(word) for word in path.read_text(encoding="utf-8").split()], dtype=np.int64)
