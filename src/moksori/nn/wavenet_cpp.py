"""The step of `wavenet_step` in C++, compiled by torch's extension loader where there is a compiler.

The source needs no header of torch, so it compiles in seconds, once a machine; it is called through ctypes.
"""

import ctypes
import hashlib
import os
import shutil
import time
from functools import cache
from pathlib import Path

import numpy as np
import torch

from moksori.nn.wavenet_step import SamplingError, StepCondition, StepState, StepWeights

_SOURCE = Path(__file__).with_name("wavenet_step.cpp")
_LONGEST_COMPILATION = 300.0
"""Seconds; a lock that is older was left behind."""
_FLAGS = ["-O3", "-std=c++17", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast"]


def compiler_found() -> bool:
    """Whether there is what the loader needs: GCC or Clang, and ninja."""
    compiler = os.environ.get("CXX", "c++")
    return os.name == "posix" and shutil.which(compiler) is not None and shutil.which("ninja") is not None


_ARRAYS = (
    *("input_taps", "input_bias", "taps", "gate_bias", "mixing", "residual_bias", "skip_bias"),
    *("hidden", "hidden_bias", "out", "out_bias"),
)


def unlock(folder: Path) -> None:
    """Takes away the lock of a compilation that was killed: the loader would wait for it for ever."""
    lock = folder / "lock"
    if lock.exists() and time.time() - lock.stat().st_mtime > _LONGEST_COMPILATION:
        lock.unlink(missing_ok=True)


class _Step(ctypes.Structure):
    """`Step` of the source."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in (*_ARRAYS, "dilations")),
        *((name, ctypes.c_int64) for name in ("codes", "oldest", "layers", "kernel", "residual", "gate")),
        *((name, ctypes.c_int64) for name in ("skip", "head", "outputs", "mixtures")),
        *((name, ctypes.c_float) for name in ("residual_scale", "minimum_log_scale")),
    ]


class _Run(ctypes.Structure):
    """`Run` of the source."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("rings", "history", "condition", "head_condition", "drive")),
        *((name, ctypes.c_void_p) for name in ("uniforms", "temperature", "forced", "samples", "all_outputs")),
        *((name, ctypes.c_int64) for name in ("position", "hop", "offset", "frames", "streams", "count", "draws")),
        *((name, ctypes.c_int64) for name in ("temperature_frames", "condition_streams", "drive_streams")),
        ("temperature_streams", ctypes.c_int64),
    ]


def run_cpp(
    weights: StepWeights,
    state: StepState,
    condition: StepCondition | None,
    uniforms: np.ndarray,
    temperature: np.ndarray,
    forced: np.ndarray | None,
    samples: np.ndarray,
    outputs: np.ndarray | None,
) -> None:
    """As `wavenet_step.run_reference`. Raises SamplingError where it does not compile."""
    dilations = np.asarray(weights.dilations, dtype=np.int64)
    step = _Step(
        *(_at(getattr(weights, name)) for name in _ARRAYS),
        _at(dilations),
        *(weights.input_taps.shape[1], weights.input_taps.shape[0], weights.layers, weights.taps.shape[1]),
        *(weights.residual, weights.gate, len(weights.skip_bias), weights.hidden.shape[1], weights.outputs),
        *(weights.mixtures, weights.residual_scale, weights.minimum_log_scale),
    )
    head = drive = layers = None
    if condition is not None:
        layers, head, drive = condition.layers, condition.head, condition.drive
    run = _Run(
        *(_at(array) for array in (state.rings, state.history, layers, head, drive)),
        *(_at(array) for array in (uniforms, temperature, forced, samples, outputs)),
        *(state.position, 0 if condition is None else condition.hop_length),
        *((0, 0) if condition is None else (condition.offset, condition.frames)),
        *(*uniforms.shape, temperature.shape[1], 1 if layers is None else len(layers)),
        *(1 if drive is None else len(drive), len(temperature)),
    )
    compiled_library().moksori_wavenet_run(ctypes.byref(step), ctypes.byref(run), len(state.rings), state.lanes)
    state.position += samples.shape[1]


def _at(array: np.ndarray | None) -> int | None:
    """The address of a contiguous array."""
    if array is None:
        return None
    assert array.flags.c_contiguous
    return int(array.ctypes.data)


@cache
def compiled_library() -> ctypes.CDLL:
    """The compiled source; compiles it where that has not been done. Raises SamplingError where it cannot be had."""
    if not compiler_found():
        raise SamplingError("the cpp back end needs a C++ compiler (g++ or clang++, or CXX) and ninja on the PATH")
    # The machine's instructions are part of the name: a home that several machines share keeps one for each.
    machine = f"{torch.backends.cpu.get_cpu_capability()} {_FLAGS}"
    digest = hashlib.sha256(_SOURCE.read_bytes() + machine.encode()).hexdigest()[:12]
    try:
        from torch.utils.cpp_extension import _get_build_directory, load  # needs setuptools

        name = f"moksori_wavenet_{digest}"
        unlock(Path(_get_build_directory(name, False)))
        path = load(name, [str(_SOURCE)], extra_cflags=_FLAGS, is_python_module=False, with_cuda=False)
        library = ctypes.CDLL(str(path))
        library.moksori_wavenet_run.restype = None
        library.moksori_wavenet_run.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64]
    except (ImportError, RuntimeError, OSError) as error:
        raise SamplingError(f"the cpp back end does not compile here: {error}; take numba or numpy") from error
    return library
