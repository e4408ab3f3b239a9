"""Changing who speaks while they speak: sound comes in blocks, and leaves in another voice a stated time later."""

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from moksori.audio.resample import Resampler
from moksori.errors import AudioError
from moksori.pipeline.conversions import ConvertOptions, conversion_metadata
from moksori.pipeline.recordings import TARGET_POWER

if TYPE_CHECKING:
    from moksori.pipeline.conversion_ways import BetweenSpeakers, ThroughVoices

_STEP_SECONDS = 0.05
_MEMORY_SECONDS = 10.0
_SILENT_POWER = 1e-7  # -70 dB, as in pipeline.recordings
_GAIN_LIMITS = (0.05, 30.0)


class RunningLevel:
    """Brings sound that comes bit by bit to the level of recordings: by the loud parts of the last ten seconds or so.

    Until something was loud the gain is 1. It moves within a twentieth of a second, so that no step is heard.
    """

    def __init__(self, sample_rate: int) -> None:
        self._step = round(_STEP_SECONDS * sample_rate)
        self._rest = np.zeros(0, np.float32)
        self._level = 0.0
        self._steps = 0
        self._gain = 1.0

    def push(self, samples: Float[np.ndarray, " samples"]) -> Float[np.ndarray, " levelled"]:
        """The next samples; those of whole twentieths of a second."""
        joined = np.concatenate([self._rest, samples])
        whole = len(joined) // self._step * self._step
        self._rest = joined[whole:]
        steps = [self._levelled(joined[at : at + self._step]) for at in range(0, whole, self._step)]
        return np.concatenate([joined[:0], *steps])

    def finish(self) -> Float[np.ndarray, " levelled"]:
        """What was held back, after the last samples."""
        return self._rest * np.float32(self._gain)

    def _levelled(self, step: Float[np.ndarray, " step"]) -> Float[np.ndarray, " step"]:
        power = float(np.square(step, dtype=np.float64).mean())
        if power > _SILENT_POWER and power > 0.1 * self._level:
            self._steps = min(self._steps + 1, round(_MEMORY_SECONDS / _STEP_SECONDS))
            self._level += (power - self._level) / self._steps
        before = self._gain
        if self._level > 0.0:
            self._gain = min(max(math.sqrt(TARGET_POWER / self._level), _GAIN_LIMITS[0]), _GAIN_LIMITS[1])
        return step * np.linspace(before, self._gain, len(step), dtype=np.float32)


class LiveConversion:
    """Sound in another voice; iterate over it, once, for blocks of float32 samples in [-1, 1] at `sample_rate` Hz.

    delay_seconds: from a sample that comes in to the same one as it leaves, at the most; the time of the work itself,
    and of programs before and behind, is not in it. notes: what a person should know of the target's recordings.
    """

    def __init__(
        self,
        way: "ThroughVoices | BetweenSpeakers",
        blocks: Iterable[Float[np.ndarray, " block"]],
        sample_rate: int,
        options: ConvertOptions,
        seed: int,
    ) -> None:
        way.check(options)
        if isinstance(sample_rate, bool) or not isinstance(sample_rate, int) or sample_rate <= 0:
            raise AudioError(f"the sample rate {sample_rate!r} must be a positive whole number of Hz")
        found = way.target(options)
        self.target, self.notes, self.seed = found.voice, found.notes, seed
        self.model, self.sample_rate = way.manifest.name, way.manifest.sample_rate
        self._way, self._options = way, options
        self._blocks, self._native_rate = blocks, sample_rate
        self._came = self._left = 0

    @property
    def delay_seconds(self) -> float:
        resampling = _resampling_seconds(self._native_rate, self.sample_rate)
        return self._way.live_delay_seconds(self.target) + _STEP_SECONDS + resampling

    @property
    def duration_seconds(self) -> float:
        """Of the sound that has left so far."""
        return self._left / self.sample_rate

    @property
    def metadata(self) -> dict[str, str]:
        return conversion_metadata(self.model, self.seed, "", self.target.name)

    def __iter__(self) -> Iterator[Float[np.ndarray, " block"]]:
        for block in self._way.live(self._levelled(), self.target, self._options, self.seed):
            # The last frame is filled up with silence, which does not belong to the sound.
            kept = block[: self._came - self._left]
            self._left += len(kept)
            yield kept

    def _levelled(self) -> Iterator[Float[np.ndarray, " block"]]:
        resampler, level = Resampler(self._native_rate, self.sample_rate), RunningLevel(self.sample_rate)
        for block in self._blocks:
            if not np.isfinite(block).all():
                raise AudioError("what comes in holds NaN or infinity")
            yield self._counted(level.push(resampler.push(block)))
        yield self._counted(np.concatenate([level.push(resampler.finish()), level.finish()]))

    def _counted(self, samples: Float[np.ndarray, " samples"]) -> Float[np.ndarray, " samples"]:
        self._came += len(samples)
        return samples


def _resampling_seconds(source_rate: int, target_rate: int) -> float:
    """How long a resampler holds samples back: what it still owes after a second of sound."""
    if source_rate == target_rate:
        return 0.0
    resampler = Resampler(source_rate, target_rate)
    ready = sum(len(resampler.push(np.zeros(source_rate // 50, np.float32))) for _ in range(50))
    return 1.0 - ready / target_rate
