"""What is asked of a conversion, and what comes of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import numpy as np

from moksori.errors import BadInput
from moksori.pipeline.enrolment import Like
from moksori.pipeline.made_sound import MadeSound
from moksori.pipeline.speech import synthetic_metadata
from moksori.text.markup import MAXIMUM_SHIFT_SEMITONES
from moksori.types import MAXIMUM_VARIATION, ConvertControls

MAXIMUM_KEY_SEMITONES = 24.0


@dataclass(frozen=True)
class ConvertOptions:
    """How a recording is converted; values out of range raise BadInput.

    speaker: who is to speak. source: who speaks in the recording, both by their names in the model; None: found out.
    like: recordings and voices of who is to speak instead, for models that imitate. Neither of both: who speaks
    already, so that the recording is only cleaned.
    variation: 0 to 10, noise in what is read off the recording; None = the model's own. shift_semitones: -12 to 12.
    strength: 0, the source's own voice, to 1, the target's. key: of a song, in semitones, -24 to 24; "auto" brings it
    to where the target sings; None: as it is, moved by shift_semitones alone. text: what is said in the recording, for
    models that make it anew from that, and its language, None: the model's. clean: that noise is to go, and `like` is
    who speaks already, which matters to what is advised alone.
    """

    speaker: str | None = None
    source: str | None = None
    variation: float | None = None
    shift_semitones: float = 0.0
    like: tuple[Like, ...] = ()
    strength: float = 1.0
    key: float | Literal["auto"] | None = None
    text: str | None = None
    language: str | None = None
    clean: bool = False

    def __post_init__(self) -> None:
        if self.key is not None and self.key != "auto":
            _within("key", self.key, -MAXIMUM_KEY_SEMITONES, MAXIMUM_KEY_SEMITONES)
        if self.key is not None and self.shift_semitones:
            raise BadInput(f"a key ({self.key}) and a pitch ({self.shift_semitones:g}) are given: give one of them")
        _within("pitch", self.shift_semitones, -MAXIMUM_SHIFT_SEMITONES, MAXIMUM_SHIFT_SEMITONES)
        _within("strength", self.strength, 0.0, 1.0)
        if self.variation is not None:
            _within("variation", self.variation, 0.0, MAXIMUM_VARIATION)
        if self.text is not None and not self.like:
            raise BadInput("a text of what is said, and nobody to say it: give a recording of who is to, like")
        if self.language is not None and self.text is None:
            raise BadInput(f"language {self.language!r}: is that of a text: give what is said, text")
        if self.speaker is not None and self.like:
            raise BadInput(
                f"both a speaker of the model ({self.speaker!r}) and a voice to imitate are given: give one of them"
            )

    @property
    def controls(self) -> ConvertControls:
        shift = self.key if isinstance(self.key, int | float) else self.shift_semitones
        return ConvertControls(self.variation, shift, self.strength)


def likes(given: Like | Sequence[Like] | None) -> tuple[Like, ...]:
    """One or several voices to imitate; a pair of samples and a rate is one."""
    if given is None:
        return ()
    if isinstance(given, list):
        return tuple(given)
    if isinstance(given, tuple):
        pair = len(given) == 2 and isinstance(given[0], np.ndarray) and isinstance(given[1], int | np.integer)
        return (cast(Like, given),) if pair else cast(tuple[Like, ...], given)
    return (cast(Like, given),)


@dataclass(frozen=True)
class Conversion(MadeSound):
    """A converted recording: float32 samples in [-1, 1] and their rate in Hz.

    speaker: who speaks now; source: who was taken to speak in the recording. notes: what a person should know of it.
    seed: with it the same model makes the same samples of the same recording again.
    """

    speaker: str
    source: str
    seed: int
    model: str
    notes: tuple[str, ...] = ()

    def save(self, path: str | Path, watermark: bool = False) -> Path:
        """Writes a wav, flac, ogg, opus or mp3 file (by its suffix) whose metadata says that it is synthetic.

        Raises AudioError or BadInput for another suffix or a folder that is missing, and MoksoriError when the disk is
        full; nothing is left half written.
        """
        return self.write(path, conversion_metadata(self.model, self.seed, self.source, self.speaker), watermark)


@dataclass(frozen=True)
class WrittenConversion:
    """What `convert_to_file` did. compute_seconds: of work, reading and writing included."""

    path: Path
    seed: int
    speaker: str
    source: str
    duration_seconds: float
    compute_seconds: float
    notes: tuple[str, ...]

    @property
    def real_time_factor(self) -> float:
        """Seconds of work per second of sound."""
        return self.compute_seconds / self.duration_seconds


def conversion_metadata(model: str, seed: int, source: str, speaker: str) -> dict[str, str]:
    """Tags of a file: that a machine spoke, which model, with which seed, and who became whom."""
    tags = {**synthetic_metadata(model, seed), "speaker": speaker}
    return {**tags, "converted_from": source} if source else tags


def _within(name: str, value: float, low: float, high: float) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not low <= value <= high:
        raise BadInput(f"{name} {value!r}: expected a number from {low:g} to {high:g}")
