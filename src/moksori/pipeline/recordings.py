"""A recording that is to be changed: a file or an array, read block by block at a model's rate and level."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from moksori.audio.io import probe
from moksori.audio.resample import Resampler
from moksori.audio.stream import read_blocks
from moksori.errors import AudioError
from moksori.types import LongRecording

LEAST_SECONDS = 0.1
TARGET_POWER = 10.0 ** (-21.9 / 10.0)
"""Mean square of the loud parts that recordings are brought to: what -23 LUFS, the level of our corpora, is for speech
(-21.9 dB, standard deviation 0.8 dB, over 60 clips of seven speakers)."""
_BLOCK_SAMPLES = 2**16
_POWER_SECONDS = 0.1
_SILENT_POWER = 1e-7  # -70 dB: the absolute gate of ITU-R BS.1770


@runtime_checkable
class Sounding(Protocol):
    """What has samples and a rate: a Waveform, a Speech, a Converted."""

    @property
    def samples(self) -> Float[np.ndarray, "*shape"]: ...

    @property
    def sample_rate(self) -> int: ...


Audio = str | Path | Sounding | tuple[Float[np.ndarray, "*shape"], int]
"""A file, something with `samples` and `sample_rate`, or a pair of both; `[samples]` or `[samples, channels]`."""


@dataclass(frozen=True)
class Scan:
    """What one look at a whole recording tells: where it is loud, in steps of 0.1 s, and how much.

    power: mean square of each step. level: mean square of the loud ones, 0 where there are none.
    """

    samples: int
    sample_rate: int
    power: Float[np.ndarray, " steps"]
    level: float

    def loudest_stretch(self, seconds: float) -> tuple[int, int]:
        """First and last sample of the stretch of that length with the most loud steps."""
        count = min(max(round(seconds / _POWER_SECONDS), 1), len(self.power))
        loud = (self.power > 0.1 * self.level).astype(np.float64)
        running = np.concatenate([[0.0], np.cumsum(loud)])
        first = int(np.argmax(running[count:] - running[:-count]))
        step = round(_POWER_SECONDS * self.sample_rate)
        return first * step, min((first + count) * step, self.samples)


@dataclass(frozen=True)
class OpenRecording:
    """A recording that was looked through: `sound` gives it at the model's rate and level.

    native_rate: its own, in Hz.
    """

    name: str
    scan: Scan
    sound: LongRecording
    native_rate: int

    def stretch(self, start: int, stop: int) -> Float[np.ndarray, " samples"]:
        """The samples from `start` to `stop`."""
        kept, position = [], 0
        for block in self.sound.blocks():
            kept.append(block[max(start - position, 0) : max(stop - position, 0)])
            position += len(block)
            if position >= stop:
                break
        return np.concatenate(kept)


def open_recording(audio: Audio, sample_rate: int) -> OpenRecording:
    """Looks a recording through once, and gives it at `sample_rate` Hz with the level that models learnt from.

    Raises AudioError for what cannot be read, is shorter than 0.1 s or silent, or holds NaN or infinity.
    """
    name, native_rate, blocks = _opened(audio, sample_rate)
    found = _scan(blocks(), sample_rate)
    if found.samples < LEAST_SECONDS * sample_rate:
        raise AudioError(
            f"{name}: lasts {found.samples / sample_rate:.3g} s, too short to hold speech: give at least "
            f"{LEAST_SECONDS:g} s"
        )
    if found.level == 0.0:
        raise AudioError(f"{name}: is silent, nothing in it is louder than -70 dB: give a recording of speech")
    gain = np.float32(math.sqrt(TARGET_POWER / found.level))

    def levelled() -> Iterator[Float[np.ndarray, " block"]]:
        return (block * gain for block in blocks())

    return OpenRecording(name, found, LongRecording(found.samples, sample_rate, levelled), native_rate)


def open_sound(audio: Audio, sample_rate: int) -> OpenRecording:
    """Looks any sound through once, and gives it at `sample_rate` Hz as loud as it is: a moment, and silence, too.

    Raises AudioError for what cannot be read, holds no sample at that rate, or holds NaN or infinity.
    """
    name, native_rate, blocks = _opened(audio, sample_rate)
    found = _scan(blocks(), sample_rate)
    if found.samples == 0:
        raise AudioError(f"{name}: holds no sample at {sample_rate} Hz: give a longer sound")
    return OpenRecording(name, found, LongRecording(found.samples, sample_rate, blocks), native_rate)


def level_of(samples: Float[np.ndarray, " samples"], sample_rate: int) -> float:
    """Mean square of the loud steps of a sound in memory; 0 where none is louder than -70 dB."""
    return _scan(iter([samples]), sample_rate).level


def _opened(audio: Audio, sample_rate: int) -> tuple[str, int, Callable[[], Iterator[Float[np.ndarray, " block"]]]]:
    """A name for messages, the recording's own rate, and the way to start reading at `sample_rate` Hz."""
    if isinstance(audio, str | Path):
        path = Path(audio).expanduser()
        return str(path), probe(path).sample_rate, lambda: read_blocks(path, sample_rate)
    if isinstance(audio, tuple) and len(audio) == 2:
        samples, rate = audio
    elif isinstance(audio, Sounding):
        samples, rate = audio.samples, audio.sample_rate
    else:
        raise AudioError(
            f"recording: expected a path, a pair (samples, sample_rate) or a Waveform, found {type(audio).__name__}"
        )
    mono = _mono(samples)
    if isinstance(rate, bool) or not isinstance(rate, int | np.integer) or rate <= 0:
        raise AudioError(f"recording: the sample rate {rate!r} must be a positive whole number of Hz")

    def blocks() -> Iterator[Float[np.ndarray, " block"]]:
        resampler = Resampler(int(rate), sample_rate)
        for start in range(0, len(mono), _BLOCK_SAMPLES):
            yield resampler.push(mono[start : start + _BLOCK_SAMPLES])
        yield resampler.finish()

    return "recording", int(rate), blocks


def _mono(samples: object) -> Float[np.ndarray, " samples"]:
    array = np.asarray(samples)
    if array.ndim not in (1, 2) or not np.issubdtype(array.dtype, np.floating):
        raise AudioError(
            f"recording: found an array of {array.dtype} with the shape {list(array.shape)}: expected floats in "
            "[-1, 1], [samples] or [samples, channels]; divide 16-bit integers by 32768"
        )
    mono = array if array.ndim == 1 else array.mean(axis=1)
    if not np.isfinite(mono).all():
        raise AudioError("recording: holds NaN or infinity; read it again from its file")
    return mono.astype(np.float32)


def _scan(blocks: Iterator[Float[np.ndarray, " block"]], sample_rate: int) -> Scan:
    step = round(_POWER_SECONDS * sample_rate)
    powers: list[Float[np.ndarray, " some"]] = []
    rest, total = np.zeros(0, np.float32), 0
    for block in blocks:
        total += len(block)
        joined = np.concatenate([rest, block])
        whole = len(joined) // step * step
        powers.append(np.square(joined[:whole].reshape(-1, step), dtype=np.float64).mean(axis=1))
        rest = joined[whole:]
    if total < step and total:  # a moment is a step of its own
        powers.append(np.square(rest, dtype=np.float64).mean(keepdims=True))
    power = np.concatenate([np.zeros(0), *powers])
    audible = power[power > _SILENT_POWER]
    level = float(audible[audible > 0.1 * audible.mean()].mean()) if len(audible) else 0.0
    return Scan(total, sample_rate, power, level)
