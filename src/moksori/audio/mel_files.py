"""Mels as files: a plain array (.npy), or a .safetensors file that also says which front end they are of.

Both hold float32 `[mels, frames]` in natural log. They are read and written piece by piece, so that neither takes
memory that grows with the recording.
"""

import json
import math
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import safetensors
from jaxtyping import Float

from moksori.audio.mel import MelConfig
from moksori.config import validate
from moksori.errors import AudioError, BadInput, ConfigError, MoksoriError

SUFFIXES = (".npy", ".safetensors")
TENSOR = "mel"
FRONT_END = "front_end"
"""Names in a .safetensors file: of the tensor, and of the metadata that hold the MelConfig as JSON."""
LOUDEST, BELOW_FLOOR = 12.0, 6.0
"""Log-mels of waveforms in [-1, 1] stay below 6; models may leave the range of recordings by a little."""
_SCAN_FRAMES = 8192


class _Array(Protocol):
    """What a numpy array, a mapped file and a slice of a safetensors file have in common."""

    def __getitem__(self, key: Any) -> Any: ...


@dataclass(frozen=True)
class Mel:
    """A log-mel: float32 values `[mels, frames]` in natural log. front_end: what it was made with; None: not known."""

    values: Float[np.ndarray, "mels frames"]
    front_end: MelConfig | None = None

    def save(self, path: str | Path) -> Path:
        """Writes a .npy or .safetensors file; only the latter keeps the front end. Raises as `write_mel` does."""
        path = Path(path)
        write_mel(path, [self.values], self.values.shape[1], self.values.shape[0], self.front_end)
        return path


@dataclass(frozen=True)
class OpenMel:
    """A mel that is read piece by piece. name: for messages; shape as it was found."""

    name: str
    shape: tuple[int, ...]
    front_end: MelConfig | None
    array: _Array

    @property
    def frames(self) -> int:
        return self.shape[1]

    def blocks(self, size: int) -> Iterator[Float[np.ndarray, "mels block"]]:
        """Float32, at most `size` frames each."""
        for start in range(0, self.frames, size):
            stop = min(start + size, self.frames)  # slices of a safetensors file may not reach beyond the end
            yield np.array(self.array[:, start:stop], dtype=np.float32)


def open_mel(source: "str | Path | Mel | np.ndarray") -> OpenMel:
    """A mel file, a `Mel`, or an array `[mels, frames]`, which is looked at but not read yet.

    Raises BadInput for another suffix, what is missing or no such file, other numbers than real ones, and files that
    are not of one mel.
    """
    if isinstance(source, Mel):
        return OpenMel("mel", source.values.shape, source.front_end, source.values)
    if isinstance(source, str | Path):
        path = Path(source).expanduser()
        if path.suffix.lower() not in SUFFIXES:
            raise BadInput(f"{path}: the suffix {path.suffix!r} names no mel file: use {' or '.join(SUFFIXES)}")
        if not path.is_file():
            raise BadInput(f"{path}: {'is no file' if path.exists() else 'does not exist'}: name a mel file")
        return _open_npy(path) if path.suffix.lower() == ".npy" else _open_safetensors(path)
    array = np.asarray(source)
    _refuse_type("mel", str(array.dtype), np.issubdtype(array.dtype, np.floating))
    return OpenMel("mel", array.shape, None, array)


def check_mel(mel: OpenMel, front_end: MelConfig) -> None:
    """Raises BadInput unless a mel is of that front end, as far as shape, settings and all values tell."""
    name, bands = mel.name, front_end.n_mels
    if mel.front_end is not None and mel.front_end != front_end:
        raise BadInput(
            f"{name}: is of another front end ({differences(mel.front_end, front_end)}): name a vocoder for such mels "
            "with --model, or make the mel anew"
        )
    if len(mel.shape) != 2:
        raise BadInput(
            f"{name}: has the shape {list(mel.shape)}, expected [mels, frames]: {bands} bands, one recording"
        )
    if mel.shape[0] != bands:
        if mel.shape[1] == bands:
            raise BadInput(
                f"{name}: has the shape {list(mel.shape)}, frames first: turn it to [mels, frames] with mel.T"
            )
        raise BadInput(f"{name}: has {mel.shape[0]} mel bands, the vocoder takes {bands}: make it with {bands}")
    if mel.frames == 0:
        raise BadInput(f"{name}: holds no frames: give one frame or more")
    lowest, highest = _range(mel)
    silent = math.log(front_end.floor)
    if lowest >= 0.0 and highest > 0.0:
        raise BadInput(
            f"{name}: holds no value below 0, so it is no logarithm: give np.log(np.maximum(mel, {front_end.floor:g}))"
        )
    if lowest < silent - BELOW_FLOOR or highest > LOUDEST:
        raise BadInput(
            f"{name}: values from {lowest:.1f} to {highest:.1f}, expected natural logarithms from {silent:.1f} to 5 or "
            "so: multiply decibels by ln(10) / 20, base-10 logarithms by ln(10)"
        )


def differences(first: MelConfig, second: MelConfig) -> str:
    """The settings in which two front ends differ, with both values."""
    ours, theirs = first.model_dump(), second.model_dump()
    return ", ".join(f"{name} {ours[name]} and {theirs[name]}" for name in ours if ours[name] != theirs[name])


def write_mel(
    path: Path,
    blocks: Iterable[Float[np.ndarray, "mels block"]],
    frames: int,
    n_mels: int,
    front_end: MelConfig | None = None,
) -> None:
    """Blocks of a mel as a file, whole or not at all; a .safetensors file keeps the front end.

    frames: in all blocks together. Raises BadInput for another suffix, AudioError where they are not so many, and
    MoksoriError if the disk is full or the folder cannot be written; what was at `path` before then is untouched.
    """
    check_mel_suffix(path)
    part = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.part")
    try:
        offset = _begin(part, path.suffix.lower(), n_mels, frames, front_end)
        with part.open("r+b") as file:  # the whole size at once, so that a full disk is met here and not in the mapping
            os.truncate(file.fileno(), offset + 4 * n_mels * frames)
            if hasattr(os, "posix_fallocate") and n_mels * frames:
                os.posix_fallocate(file.fileno(), offset, 4 * n_mels * frames)
        values = np.memmap(part, np.float32, "r+", offset, (n_mels, frames))
        done = 0
        for block in blocks:
            width = min(block.shape[1], frames - done)
            values[:, done : done + width] = block[:, :width]
            done += block.shape[1]
        if done != frames:
            raise AudioError(f"{path}: {done} frames of a mel came, {frames} were announced; nothing was written")
        values.flush()
        del values
        part.replace(path)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise MoksoriError(f"{path}: cannot be written: {reason}: free space or choose another folder") from error
    finally:
        part.unlink(missing_ok=True)


def check_mel_suffix(path: Path) -> None:
    """Raises BadInput, naming the suffixes that exist, unless `path` ends in one of them."""
    if path.suffix.lower() not in SUFFIXES:
        found = f"the suffix {path.suffix!r}" if path.suffix else "no suffix"
        raise BadInput(f"{path}: has {found}, which names no mel file: use {' or '.join(SUFFIXES)}")


def _begin(part: Path, suffix: str, n_mels: int, frames: int, front_end: MelConfig | None) -> int:
    """Writes a file's header; returns where the values begin."""
    if suffix == ".npy":
        header = {"descr": "<f4", "fortran_order": False, "shape": (n_mels, frames)}
        with part.open("xb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            return file.tell()
    metadata = {} if front_end is None else {FRONT_END: front_end.model_dump_json()}
    tensor = {"dtype": "F32", "shape": [n_mels, frames], "data_offsets": [0, 4 * n_mels * frames]}
    # The library writes tensors from memory only; its format is a length, JSON, and the values.
    text = json.dumps({"__metadata__": metadata, TENSOR: tensor}).encode("utf-8")
    text += b" " * (-len(text) % 8)
    part.write_bytes(len(text).to_bytes(8, "little") + text)
    return 8 + len(text)


def _open_npy(path: Path) -> OpenMel:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        reason = " ".join(str(error).split())
        raise BadInput(f"{path}: is no array of numbers, or cut off ({reason}): write it with numpy.save") from error
    if not isinstance(array, np.ndarray):
        raise BadInput(f"{path}: holds several arrays, expected one: write it with numpy.save")
    _refuse_type(str(path), str(array.dtype), np.issubdtype(array.dtype, np.floating))
    return OpenMel(str(path), array.shape, None, array)


def _open_safetensors(path: Path) -> OpenMel:
    try:
        # Left open, since slices of it are read later; it ends with the last of them.
        file = safetensors.safe_open(path, framework="numpy")
        names = list(file.keys())
        if TENSOR not in names and len(names) != 1:
            raise BadInput(f"{path}: holds the tensors {', '.join(sorted(names)[:8])}, expected one called {TENSOR!r}")
        piece = file.get_slice(TENSOR if TENSOR in names else names[0])
        kind, metadata = str(piece.get_dtype()), file.metadata() or {}
    except (safetensors.SafetensorError, OSError) as error:
        raise BadInput(f"{path}: is no safetensors file, or cut off ({error}): make it anew") from error
    _refuse_type(str(path), kind, kind in ("F16", "F32", "F64"))
    return OpenMel(str(path), tuple(piece.get_shape()), _front_end(path, metadata), piece)


def _front_end(path: Path, metadata: Mapping[str, str]) -> MelConfig | None:
    if FRONT_END not in metadata:
        return None
    try:
        return validate(MelConfig, json.loads(metadata[FRONT_END]), FRONT_END)
    except (ValueError, TypeError, ConfigError) as error:
        raise BadInput(f"{path}: its metadata {FRONT_END!r} is broken ({error}): make the mel anew") from error


def _refuse_type(name: str, kind: str, real: bool) -> None:
    if not real:
        raise BadInput(f"{name}: holds {kind}, expected floats of 16, 32 or 64 bits: convert it with astype('float32')")


def _range(mel: OpenMel) -> tuple[float, float]:
    """Least and greatest value; raises BadInput at the first frame with NaN or infinity."""
    lowest, highest, done = math.inf, -math.inf, 0
    for block in mel.blocks(_SCAN_FRAMES):
        finite = np.isfinite(block).all(axis=0)
        if not finite.all():
            place = done + int(np.argmin(finite))
            raise BadInput(f"{mel.name}: holds NaN or infinity, first in frame {place}: make it anew")
        lowest, highest = min(lowest, float(block.min())), max(highest, float(block.max()))
        done += block.shape[1]
    return lowest, highest
