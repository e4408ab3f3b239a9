"""Sampling from a WaveNet: one or many streams, from the beginning or going on, on the fastest back end there is.

The uniforms are drawn before, so that every back end makes the same sound of one seed: `numpy` (the reference), `numba`
(compiled on first use and kept; extra `fast`) and `cpp` (torch's extension loader; where a compiler is found).
"""

import logging
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec

import numpy as np
import torch
from jaxtyping import Float, Float32, Shaped
from torch import Generator

from moksori.nn.wavenet_cpp import compiled_library, compiler_found, run_cpp
from moksori.nn.wavenet_step import (
    SMALLEST_UNIFORM,
    SamplingError,
    StepCondition,
    StepState,
    StepWeights,
    run_reference,
)

BACKENDS = ("numpy", "numba", "cpp")
_Run = Callable[..., None]
_LOG = logging.getLogger(__name__)


def draw_uniforms(
    weights: StepWeights, streams: int, samples: int, generator: Generator | None = None
) -> Float32[np.ndarray, "streams samples draws"]:
    """All randomness of so many samples; a block that is drawn later goes on where the generator stands."""
    # Time first, so that sound made in blocks draws the same numbers as sound made at once.
    drawn = torch.rand(samples, streams, weights.draws, generator=generator)
    return np.ascontiguousarray(drawn.numpy().transpose(1, 0, 2))


def sample(
    weights: StepWeights,
    uniforms: Float[np.ndarray, "streams samples draws"],
    condition: StepCondition | None = None,
    temperature: float | Float[np.ndarray, "streams frames"] = 1.0,
    state: StepState | None = None,
    backend: str = "auto",
) -> Shaped[np.ndarray, "streams samples"]:
    """New sound, one sample after the other: codes int64, or with logistics float32 in [-1, 1].

    uniforms: of `draw_uniforms`; they say how many streams and samples there are.
    temperature: 1 samples the distribution, less sharpens it, 0 takes the likeliest; an array has a row for each
        stream, or one for all, and a column for each frame of the condition.
    state: goes on from there, and is moved on; None begins anew. By blocks or at once, the sound is the same.
    backend: one of BACKENDS, or "auto": numba, else a compiler, else NumPy.
    Raises SamplingError if the parts do not fit together or the back end cannot be had.
    """
    uniforms = np.clip(np.ascontiguousarray(uniforms, dtype=np.float32), SMALLEST_UNIFORM, 1.0 - SMALLEST_UNIFORM)
    if uniforms.ndim != 3 or uniforms.shape[2] != weights.draws or not np.isfinite(uniforms).all():
        raise SamplingError(f"uniforms of shape {uniforms.shape}: expected [streams, samples, {weights.draws}], finite")
    made, _ = _run(weights, uniforms, None, condition, temperature, state, backend, want_outputs=False)
    return made if weights.mixtures else made.astype(np.int64)


def stepwise_outputs(
    weights: StepWeights,
    samples: Shaped[np.ndarray, "streams samples"],
    condition: StepCondition | None = None,
    state: StepState | None = None,
    backend: str = "auto",
) -> Float32[np.ndarray, "streams samples O"]:
    """What the network says before each of the given samples, step by step: the teacher-forced outputs.

    samples: codes, or with logistics sound. A `state` that is given remembers them, so that `sample` can go on.
    """
    forced = np.ascontiguousarray(samples, dtype=np.float32)
    if forced.ndim != 2 or not np.isfinite(forced).all():
        raise SamplingError(f"samples of shape {forced.shape}: expected [streams, samples], finite")
    if not weights.mixtures and forced.size and not 0 <= forced.min() <= forced.max() < weights.outputs:
        raise SamplingError(f"codes from {forced.min():g} to {forced.max():g}: expected 0 to {weights.outputs - 1}")
    uniforms = np.full((*forced.shape, weights.draws), 0.5, dtype=np.float32)
    _, outputs = _run(weights, uniforms, forced, condition, 0.0, state, backend, want_outputs=True)
    assert outputs is not None
    return outputs


def available_backends() -> tuple[str, ...]:
    """The back ends that this machine can have, in the order in which "auto" takes them; compiles nothing."""
    found = [
        *(["numba"] if find_spec("numba") is not None else []),
        *(["cpp"] if compiler_found() else []),
    ]
    return (*found, "numpy")


@cache
def fastest_backend() -> str:
    """What "auto" takes: the first of `available_backends` that works; a compiler that was found may still fail."""
    for name in available_backends():
        if name != "cpp":
            return name
        try:
            compiled_library()
        except SamplingError as error:
            _LOG.warning("%s", error)
        else:
            return name
    return "numpy"


def _run(
    weights: StepWeights,
    uniforms: np.ndarray,
    forced: np.ndarray | None,
    condition: StepCondition | None,
    temperature: float | np.ndarray,
    state: StepState | None,
    backend: str,
    want_outputs: bool,
) -> tuple[np.ndarray, np.ndarray | None]:
    streams, count = uniforms.shape[:2]
    run = _backend(fastest_backend() if backend == "auto" else backend)
    state = StepState.zeros(weights, streams) if state is None else state.checked(weights, streams)
    condition = None if condition is None else condition.checked(weights, streams, count)
    warmth = np.ascontiguousarray(temperature, dtype=np.float32)
    warmth = warmth.reshape(1, 1) if np.ndim(temperature) == 0 else warmth
    if warmth.ndim != 2 or warmth.shape[0] not in (1, streams) or warmth.shape[1] < 1:
        raise SamplingError(f"a temperature of shape {warmth.shape}: expected a number, or [{streams} (or 1), frames]")
    if not np.isfinite(warmth).all() or warmth.min() < 0:
        raise SamplingError(f"temperature {warmth.min():g}: it must be 0 (the likeliest) or more")
    if warmth.shape[1] > 1 and condition is None:
        raise SamplingError("a temperature for every frame needs a condition, which says how long a frame is")
    samples = np.zeros((streams, count), dtype=np.float32)
    outputs = np.zeros((streams, count, weights.outputs), dtype=np.float32) if want_outputs else None
    run(weights, state, condition, uniforms, warmth, forced, samples, outputs)
    return samples, outputs


@cache
def _backend(name: str) -> _Run:
    if name == "numpy":
        return run_reference
    if name == "numba":
        if find_spec("numba") is None:
            raise SamplingError("the numba back end needs the package numba: pip install 'moksori[fast]'")
        from moksori.nn.wavenet_numba import run_numba

        return run_numba
    if name == "cpp":
        return run_cpp
    raise SamplingError(f"unknown back end {name!r}: {', '.join(BACKENDS)} or auto")
