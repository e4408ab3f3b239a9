"""One long sound made as many short ones side by side, which overlap and are faded into each other.

Every fold but the first begins a receptive field early, from nothing, and throws that away, so that what is kept knew a
whole past. All folds use the uniforms of the time they stand at: where two of them come to agree, they stay together,
and the join is then exact. Folding trades a little quality at the joins for speed; nothing is heard across a join.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil

import numpy as np
from jaxtyping import Float, Float32, Int64, Shaped

from moksori.nn.wavenet_sampling import sample
from moksori.nn.wavenet_step import LANES, SamplingError, StepCondition, StepState, StepWeights

LEAST_USEFUL = 8
"""A sound of fewer times what a fold throws away is not folded: that would cost more than a block saves."""


@dataclass(frozen=True)
class Folds:
    """Where the folds of a sound lie: fold i makes the samples from i · step on, `length` of them.

    The first keeps all; the others throw away `warm_up` samples, and their next `overlap` are faded into the fold
    before. The last may run past the end.
    """

    count: int
    step: int
    warm_up: int
    overlap: int
    samples: int

    @property
    def length(self) -> int:
        """Samples of each fold."""
        return self.samples if self.count == 1 else self.warm_up + self.step + self.overlap

    @property
    def times(self) -> Int64[np.ndarray, "folds length"]:
        """The sample that each sample of a fold stands for; past the end the last one."""
        starts = np.arange(self.count)[:, None] * self.step
        return np.minimum(starts + np.arange(self.length)[None], self.samples - 1)

    def condition(self, condition: StepCondition) -> StepCondition:
        """Each fold's own part of one stream's condition."""
        if len(condition.layers) != 1:
            raise SamplingError(f"{len(condition.layers)} streams cannot be folded together: fold one at a time")
        if self.count == 1:
            return condition
        frames = ceil((condition.offset + self.length) / condition.hop_length)
        first = np.arange(self.count)[:, None] * (self.step // condition.hop_length)
        chosen = np.minimum(first + np.arange(frames)[None], condition.frames - 1)
        return replace(
            condition,
            layers=condition.layers[0, chosen],
            head=None if condition.head is None else condition.head[0, chosen],
            drive=None if condition.drive is None else condition.drive[0, self.times],
        )

    def temperature(
        self, temperature: float | Float[np.ndarray, "1 frames"], condition: StepCondition | None
    ) -> float | Float[np.ndarray, "folds frames"]:
        """Each fold's own part of one that changes with the frames."""
        if condition is None or self.count == 1 or isinstance(temperature, float | int):
            return temperature
        frames = ceil((condition.offset + self.length) / condition.hop_length)
        first = np.arange(self.count)[:, None] * (self.step // condition.hop_length)
        return temperature[0, np.minimum(first + np.arange(frames)[None], temperature.shape[1] - 1)]

    def join(self, sounds: Float[np.ndarray, "folds length"]) -> Float32[np.ndarray, " samples"]:
        """The folds one after the other, each faded into the next at constant power.

        Two sounds of power 1 and correlation r that enter with g and 1 - g have power g² + (1 - g)² + 2 r g (1 - g);
        its root is divided by, so that neither equal sounds swell nor unlike ones sink.
        """
        joined = np.asarray(sounds[0], dtype=np.float32)
        rising = ((np.arange(self.overlap) + 0.5) / max(self.overlap, 1)).astype(np.float32)
        for sound in sounds[1:]:
            kept = np.asarray(sound, dtype=np.float32)[self.warm_up :]
            before, after = joined[len(joined) - self.overlap :], kept[: self.overlap]
            power = float(np.sqrt(np.dot(before, before) * np.dot(after, after)))
            alike = min(max(float(np.dot(before, after)) / power, 0.0), 1.0) if power > 0 else 1.0
            level = np.sqrt(rising**2 + (1 - rising) ** 2 + 2 * alike * rising * (1 - rising))
            faded = (rising * after + (1 - rising) * before) / level
            joined = np.concatenate([joined[: len(joined) - self.overlap], faded, kept[self.overlap :]])
        return joined[: self.samples].astype(np.float32)


@dataclass(frozen=True)
class Steering:
    """One stream's condition that is projected when its turn has come, so that not all of it lies in memory at once.

    frames: that it has. hop_length: samples a frame. project: the condition of some frames, a row for each fold, from
    the beginning of the first. at_once: frames of each fold that are projected together.
    """

    frames: int
    hop_length: int
    project: Callable[[Int64[np.ndarray, "folds frames"]], StepCondition]
    at_once: int


def plan_folds(samples: int, warm_up: int, overlap: int, hop_length: int = 1, folds: int = LANES) -> Folds:
    """Folds of one sound: `folds` of them, or one where the sound is so short that they would throw most away.

    warm_up: the receptive field. Folds begin at whole frames of `hop_length`.
    Raises SamplingError if a number is out of range.
    """
    if samples < 1 or folds < 1 or warm_up < 0 or overlap < 0 or hop_length < 1:
        raise SamplingError(
            f"{samples} samples in {folds} folds, {warm_up} to warm up, {overlap} to overlap, {hop_length} a frame"
        )
    if samples < LEAST_USEFUL * (warm_up + overlap) or folds == 1:
        return Folds(1, samples, 0, 0, samples)
    step = ceil(ceil((samples - warm_up - overlap) / folds) / hop_length) * hop_length
    return Folds(ceil((samples - warm_up - overlap) / step), step, warm_up, overlap, samples)


def sample_folded(
    weights: StepWeights,
    uniforms: Float[np.ndarray, "1 samples draws"],
    expand: Callable[[Shaped[np.ndarray, "folds length"]], Float[np.ndarray, "folds length"]],
    condition: StepCondition | Steering | None = None,
    temperature: float | Float[np.ndarray, "1 frames"] = 1.0,
    folds: int = LANES,
    overlap: int = 400,
    backend: str = "auto",
) -> Float32[np.ndarray, " samples"]:
    """One stream's sound, folded: in [-1, 1], since codes cannot be faded; the other arguments are `sample`'s.

    expand: the sound of what the network makes, of codes say. overlap: samples over which a fold is faded into the
    next; 25 ms by default at 16 kHz. A sound too short to be folded is made as one, equal to that of `sample`.
    """
    if len(uniforms) != 1:
        raise SamplingError(f"uniforms of {len(uniforms)} streams: one sound is folded at a time")
    samples = uniforms.shape[1]
    hop_length = 1 if condition is None or condition.frames == 1 else condition.hop_length
    plan = plan_folds(samples, weights.receptive_field, overlap, hop_length, folds)
    if isinstance(condition, Steering):
        return plan.join(expand(_steered(weights, uniforms[0, plan.times], condition, temperature, plan, backend)))
    if condition is not None:
        condition = condition.checked(weights, 1, samples)
        temperature = plan.temperature(temperature, condition)
        condition = plan.condition(condition)
    made = sample(weights, uniforms[0, plan.times], condition, temperature, None, backend)
    return plan.join(expand(made))


def _steered(
    weights: StepWeights,
    uniforms: Float[np.ndarray, "folds length draws"],
    steering: Steering,
    temperature: float | Float[np.ndarray, "1 frames"],
    plan: Folds,
    backend: str,
) -> Shaped[np.ndarray, "folds length"]:
    """What `sample` makes of all folds, some frames at a time; raises SamplingError where frames are missing."""
    hop, frames = steering.hop_length, ceil(plan.length / steering.hop_length)
    if plan.samples > steering.frames * hop:
        raise SamplingError(f"{steering.frames} frames of {hop} samples cannot steer {plan.samples} samples")
    first = np.arange(plan.count)[:, None] * (plan.step // hop)
    state, made = StepState.zeros(weights, plan.count), []
    for start in range(0, frames, steering.at_once):
        stop = min(start + steering.at_once, frames)
        chosen = np.minimum(first + np.arange(start, stop)[None], steering.frames - 1)
        warmth = temperature if isinstance(temperature, float | int) else temperature[0, chosen]
        own = uniforms[:, start * hop : min(stop * hop, plan.length)]
        made.append(sample(weights, own, steering.project(chosen), warmth, state, backend))
    return np.concatenate(made, axis=1)
