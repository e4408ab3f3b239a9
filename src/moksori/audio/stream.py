"""Audio files longer than the memory: read block by block; written so too, and still whole or not at all."""

import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
from jaxtyping import Float

from moksori.audio.io import (
    _FORMATS,
    BLOCK_FRAMES,
    SUFFIXES,
    _fields,
    _mono_blocks,
    _open,
    _reason,
    _refuse_cut_wav,
    _to_int16,
)
from moksori.audio.resample import Resampler
from moksori.errors import AudioError, MoksoriError

# The formats and tags are those of audio.io: one table for both ways of writing.
_RIFF_MAXIMUM_BYTES = 2**32 - 2**20  # a RIFF header counts in 32 bits; room for the tags


def read_blocks(path: str | os.PathLike[str], sample_rate: int) -> Iterator[Float[np.ndarray, " block"]]:
    """The samples that `audio.io.read` gives at `sample_rate` Hz, block by block; a peak over 1 is left as it is.

    Raises AudioError as it does, for what is corrupt when it is met.
    """
    path = Path(path)
    with _open(path) as file:
        _refuse_cut_wav(path, file)
        resampler = Resampler(file.samplerate, sample_rate)
        try:
            for block in _mono_blocks(path, file, file.frames):
                yield resampler.push(block)
        except (soundfile.SoundFileError, RuntimeError) as error:
            raise AudioError(f"{path}: is corrupt, decoding failed ({_reason(error)}); get the file anew") from error
        yield resampler.finish()


def write_blocks(
    path: Path,
    blocks: Iterable[Float[np.ndarray, " block"]],
    sample_rate: int,
    frames: int,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Blocks of one channel in [-1, 1] as the file that `audio.io.write` would make of all of them together.

    frames: samples in all blocks together; from 4 GiB on a wav becomes RF64, since RIFF cannot count further.
    Raises AudioError for an unknown suffix, and MoksoriError if the disk is full or the folder cannot be written; what
    was at `path` before then is untouched.
    """
    path = Path(path)
    check_suffix(path)
    form = _FORMATS[path.suffix.lower()]
    rate = sample_rate
    if form.rates is not None and rate not in form.rates:
        rate = min((known for known in form.rates if known >= rate), default=form.rates[-1])
    resampler = Resampler(sample_rate, rate)
    name = "RF64" if form.name == "WAV" and 2 * frames > _RIFF_MAXIMUM_BYTES else form.name
    part = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb+") as raw:
            checked = _Checked(raw)
            with soundfile.SoundFile(checked, "w", rate, 1, form.subtype, format=name) as file:
                for tag, value in _fields(metadata or {}, form).items():
                    setattr(file, tag, value)
                for block in blocks:
                    _write(file, resampler.push(block), form.subtype, checked)
                _write(file, resampler.finish(), form.subtype, checked)
            checked.verify()
        part.replace(path)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise MoksoriError(f"{path}: cannot be written: {reason}: free space or choose another folder") from error
    except (soundfile.SoundFileError, RuntimeError) as error:
        raise AudioError(f"{path}: {form.name} cannot hold this sound at {rate} Hz ({error}): try .wav") from error
    finally:
        part.unlink(missing_ok=True)


def check_suffix(path: Path) -> None:
    """Raises AudioError, naming the suffixes that exist, unless `path` ends in one of them."""
    if path.suffix.lower() not in SUFFIXES:
        found = f"the suffix {path.suffix!r}" if path.suffix else "no suffix"
        raise AudioError(f"{path}: has {found}, which names no audio format: use one of {', '.join(SUFFIXES)}")


class _Checked:
    """A file that remembers why a write failed: libsndfile itself swallows what its callbacks raise."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._error: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            return self._file.write(data)
        except OSError as error:
            self._error = self._error or error
            return 0

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def verify(self) -> None:
        """Raises what a write raised."""
        if self._error is None:
            try:
                self._file.flush()
            except OSError as error:
                self._error = error
        if self._error is not None:
            raise self._error


def _write(file: soundfile.SoundFile, samples: Float[np.ndarray, " block"], subtype: str, checked: _Checked) -> None:
    for start in range(0, len(samples), BLOCK_FRAMES):
        block = np.clip(samples[start : start + BLOCK_FRAMES], -1.0, 1.0)
        try:
            file.write(_to_int16(block) if subtype == "PCM_16" else block)
        except (soundfile.SoundFileError, RuntimeError, AssertionError):
            checked.verify()  # the disk's own reason is the better one
            raise
        checked.verify()
