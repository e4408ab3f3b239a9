"""Audio files in and out: wav, flac, ogg (Vorbis), opus and mp3, all through libsndfile.

Reading mixes down to one channel and can change the rate; memory grows with the mono result, never with the number of
channels of the file. Writing leaves a whole file or none.
"""

import io
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from jaxtyping import Float

from moksori.audio.resample import Resampler, resample
from moksori.errors import AudioError
from moksori.types import Waveform

BLOCK_FRAMES = 1 << 16
"""Frames decoded or encoded at a time; Vorbis crashes libsndfile when handed minutes at once."""
DEFAULT_MAXIMUM_SECONDS = 3600.0
"""What `read` takes unless told otherwise: an hour at 22.05 kHz is 318 MB."""

_MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_OPUS_RATES = (8000, 12000, 16000, 24000, 48000)
_MP3_FRAME_BYTES = 1441
_COMMON_FIELDS = ("title", "artist", "album", "date", "genre", "tracknumber")


@dataclass(frozen=True)
class _Format:
    """How a suffix is written. rates: those the codec knows, `None` for any. fields: tags that the format has."""

    name: str
    subtype: str
    rates: tuple[int, ...] | None
    fields: tuple[str, ...]


_FORMATS = {
    ".wav": _Format("WAV", "PCM_16", None, (*_COMMON_FIELDS, "copyright")),
    ".flac": _Format("FLAC", "PCM_16", None, (*_COMMON_FIELDS, "copyright", "license")),
    ".ogg": _Format("OGG", "VORBIS", None, (*_COMMON_FIELDS, "copyright", "license")),
    ".opus": _Format("OGG", "OPUS", _OPUS_RATES, (*_COMMON_FIELDS, "copyright", "license")),
    ".mp3": _Format("MP3", "MPEG_LAYER_III", _MP3_RATES, _COMMON_FIELDS),
}
SUFFIXES = tuple(_FORMATS)
"""The suffixes that `write` knows."""


@dataclass(frozen=True)
class AudioInfo:
    """What the header of a recording says; frames are samples per channel at `sample_rate` Hz."""

    sample_rate: int
    frames: int
    channels: int
    duration_seconds: float


def probe(path: str | os.PathLike[str]) -> AudioInfo:
    """Rate, length and channels of a recording, from its header alone.

    Raises AudioError for a file that is missing, empty or no audio.
    """
    with _open(Path(path)) as file:
        return AudioInfo(file.samplerate, file.frames, file.channels, file.frames / file.samplerate)


def read(
    path: str | os.PathLike[str],
    sample_rate: int | None = None,
    *,
    start_seconds: float = 0.0,
    duration_seconds: float | None = None,
    maximum_seconds: float | None = DEFAULT_MAXIMUM_SECONDS,
) -> Waveform:
    """A recording, or a stretch of it, as one float32 channel: the mean of its channels.

    sample_rate: in Hz; other rates are resampled (soxr, very high quality), `None` keeps the file's own.
    start_seconds, duration_seconds: the stretch to read; `None` reads to the end, and so does more than there is.
    maximum_seconds: longer stretches are refused before anything is decoded; `None` lifts the limit.
    Should the peak be over 1 (lossy codecs overshoot, float files may hold anything) all is scaled down to a peak of 1.
    Raises AudioError for a file that is missing, empty, corrupt, cut short or too long, or holds NaN or infinity.
    """
    path = Path(path)
    if sample_rate is not None and sample_rate <= 0:
        raise AudioError(f"{path}: cannot be read at {sample_rate} Hz: the sample rate must be positive")
    with _open(path) as file:
        _refuse_cut_wav(path, file)
        start, frames = _stretch(path, file, start_seconds, duration_seconds, maximum_seconds)
        rate = file.samplerate if sample_rate is None else sample_rate
        resampler = Resampler(file.samplerate, rate)
        try:
            if start:
                _skip(file, start)
            blocks = [resampler.push(block) for block in _mono_blocks(path, file, frames)]
        except (soundfile.SoundFileError, RuntimeError) as error:
            raise AudioError(f"{path}: is corrupt, decoding failed ({_reason(error)}); get the file anew") from error
    samples = np.concatenate([*blocks, resampler.finish()])
    peak = float(np.abs(samples).max())
    if peak > 1.0:
        samples /= peak
    return Waveform(samples, rate)


def write(path: str | os.PathLike[str], waveform: Waveform, metadata: Mapping[str, str] | None = None) -> None:
    """A waveform as wav or flac (16 bits), ogg (Vorbis), opus or mp3, by the suffix; whole, or not at all.

    Samples beyond [-1, 1] are clipped. Opus and mp3 know a few rates only: others are resampled to the next higher.
    metadata: tags such as title, artist, comment; names that the format has no field for go into its comment as lines
    `name=value`, where `read_metadata` finds them.
    Raises AudioError for another suffix, an empty waveform or one with NaN or infinity, and when the file cannot be
    written; what was at `path` before then is untouched.
    """
    path = Path(path)
    form = _FORMATS.get(path.suffix.lower())
    if form is None:
        found = f"the suffix {path.suffix!r}" if path.suffix else "no suffix"
        raise AudioError(f"{path}: has {found}, which names no audio format; use one of {', '.join(SUFFIXES)}")
    if len(waveform.samples) == 0:
        raise AudioError(f"{path}: the waveform has no samples, nothing was written")
    if not np.isfinite(waveform.samples).all():
        raise AudioError(f"{path}: the waveform holds NaN or infinity, nothing was written")
    if form.rates is not None and waveform.sample_rate not in form.rates:
        waveform = resample(waveform, min((r for r in form.rates if r >= waveform.sample_rate), default=form.rates[-1]))
    # Encoded in memory: libsndfile reports a full disk unreliably, and a failed encoder must not leave half a file.
    encoded = io.BytesIO()
    try:
        with soundfile.SoundFile(encoded, "w", waveform.sample_rate, 1, form.subtype, format=form.name) as file:
            for name, value in _fields(metadata or {}, form).items():
                setattr(file, name, value)
            for start in range(0, len(waveform.samples), BLOCK_FRAMES):
                block = np.clip(waveform.samples[start : start + BLOCK_FRAMES], -1.0, 1.0)
                # The inverse of reading, which divides by 32768; libsndfile itself multiplies by 32767.
                file.write(_to_int16(block) if form.subtype == "PCM_16" else block)
    except (soundfile.SoundFileError, RuntimeError) as error:
        raise AudioError(
            f"{path}: {form.name} cannot hold this waveform at {waveform.sample_rate} Hz ({_reason(error)}); try .wav"
        ) from error
    write_whole(path, encoded.getbuffer())


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """The tags of a recording, with those that `write` had put into the comment under their own names again.

    Raises AudioError for a file that is missing, empty or no audio.
    """
    with _open(Path(path)) as file:
        is_mp3 = file.format == "MP3"
        tags = {name: value for name, value in file.copy_metadata().items() if value}
    if is_mp3:  # LAME stores the bytes of UTF-8 as Latin-1
        tags = {name: _undo_latin1(value) for name, value in tags.items()}
    comment = []
    for line in tags.pop("comment", "").splitlines():
        name, separator, value = line.partition("=")
        if separator and name.isidentifier():
            tags[name] = value
        else:
            comment.append(line)
    return tags | ({"comment": "\n".join(comment)} if comment else {})


def write_whole(path: Path, data: bytes | memoryview) -> None:
    """The bytes as a file that appears at once: written beside `path`, then moved over it.

    Raises AudioError when the folder is missing, read-only or full, or `path` is no ordinary file; nothing is left.
    """
    part = path.with_name(f".{path.name[:40]}.{secrets.token_hex(4)}.part")
    try:
        if path.exists() and not path.is_file():
            kind = "a folder" if path.is_dir() else "no ordinary file"
            raise AudioError(f"{path}: is {kind}; give the name of a file")
        try:
            with part.open("xb") as file:
                file.write(data)
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    except (OSError, ValueError) as error:
        raise AudioError(f"{path}: cannot be written: {_why_not(error)}") from error


def _why_not(error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError):
        return "its folder does not exist; create it first"
    if isinstance(error, NotADirectoryError):
        return "a part of its path is a file, not a folder"
    reason = str(getattr(error, "strerror", None) or error).lower()
    return f"{reason}; free space on the disk or choose another place or name"


class _Recording(soundfile.SoundFile):
    """A sound file that never seeks in mp3: soundfile does so after every block, and libsndfile lands elsewhere."""

    def seekable(self) -> bool:
        return self.format != "MP3" and bool(super().seekable())


@contextmanager
def _open(path: Path) -> Iterator[_Recording]:
    """An open recording of at least one frame."""
    try:
        if not path.is_file():
            if path.is_dir():
                raise AudioError(f"{path}: is a folder; give the name of a recording in it")
            raise AudioError(f"{path}: {'is no ordinary file' if path.exists() else 'does not exist; check the name'}")
        if path.stat().st_size == 0:
            raise AudioError(f"{path}: is empty (0 bytes)")
        with path.open("rb"):  # libsndfile calls every failure a "System error"; Python says which
            pass
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise AudioError(f"{path}: cannot be read: {(reason or str(error)).lower()}") from error
    try:
        file = _Recording(path)
    except (soundfile.SoundFileError, RuntimeError, TypeError, ValueError) as error:
        raise AudioError(
            f"{path}: is no recording that can be read (expected wav, flac, ogg, opus or mp3): {_reason(error)}"
        ) from error
    with file:
        if file.frames <= 0:
            raise AudioError(f"{path}: is empty, its header says 0 samples")
        yield file


def _stretch(
    path: Path, file: _Recording, start_seconds: float, duration_seconds: float | None, maximum: float | None
) -> tuple[int, int]:
    """First frame and number of frames to decode."""
    if not start_seconds >= 0.0 or (duration_seconds is not None and not duration_seconds > 0.0):
        raise AudioError(f"{path}: cannot read {duration_seconds} s from {start_seconds} s on: both must be positive")
    start = round(start_seconds * file.samplerate)
    if start >= file.frames:
        raise AudioError(
            f"{path}: there is nothing at {start_seconds:g} s, the recording lasts {file.frames / file.samplerate:g} s"
        )
    frames = file.frames - start
    if duration_seconds is not None:
        frames = min(frames, max(round(duration_seconds * file.samplerate), 1))
    if maximum is not None and frames > maximum * file.samplerate:
        raise AudioError(
            f"{path}: lasts {frames / file.samplerate:.0f} s, more than the limit of {maximum:g} s; "
            "cut it into shorter files"
        )
    return start, frames


def _skip(file: _Recording, frames: int) -> None:
    """Goes to a frame; where it cannot seek, by decoding up to it."""
    if file.seekable():
        file.seek(frames)
        return
    while frames > 0 and len(block := file.read(min(BLOCK_FRAMES, frames), dtype="float32")):
        frames -= len(block)


def _refuse_cut_wav(path: Path, file: _Recording) -> None:
    """Raises AudioError for a wav that holds less than its header says, which libsndfile only notes in its log.

    Programs that write to a pipe put a length near 2 or 4 GiB there, or 0, meaning that they did not know it.
    """
    cut = re.findall(r"^data : (\d+) \(should be (\d+)\)$", file.extra_info, re.MULTILINE)
    if cut and int(cut[-1][1]) < int(cut[-1][0]) < 0x7FFF0000:
        raise AudioError(
            f"{path}: is cut short, {cut[-1][1]} of {cut[-1][0]} bytes of sound are there; get the file anew"
        )


def _mono_blocks(path: Path, file: _Recording, frames: int) -> Iterator[Float[np.ndarray, " block"]]:
    """The next `frames` frames, mixed down, a block at a time."""
    missing = frames
    while missing > 0:
        block = file.read(min(BLOCK_FRAMES, missing), dtype="float32", always_2d=True)
        if len(block) == 0:
            if missing < frames and _length_is_a_guess(path, file):
                return
            raise AudioError(
                f"{path}: is cut short or corrupt, {frames - missing} of {frames} samples can be read; "
                "get the file anew"
            )
        mono = block[:, 0] if block.shape[1] == 1 else block.mean(axis=1, dtype=np.float64).astype(np.float32)
        if not np.isfinite(mono).all():
            raise AudioError(f"{path}: holds NaN or infinity; export it again, as 16-bit wav or flac for example")
        missing -= len(block)
        yield mono


def _length_is_a_guess(path: Path, file: _Recording) -> bool:
    """Whether a file is an mp3 that does not say how long it is: libsndfile then divides the bytes of the file, tags
    and pictures included, by those of a frame."""
    if file.format != "MP3":
        return False
    with path.open("rb") as raw:
        head = raw.read(10)
        if head[:3] == b"ID3" and len(head) == 10:  # the size of the tag in front, seven bits a byte
            raw.seek(10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True)))
        else:
            raw.seek(0)
        frame = raw.read(_MP3_FRAME_BYTES)
    return not any(mark in frame for mark in (b"Xing", b"Info", b"VBRI"))


def _to_int16(samples: Float[np.ndarray, " block"]) -> np.ndarray:
    return np.clip(np.rint(samples * 32768.0), -32768, 32767).astype(np.int16)


def _fields(metadata: Mapping[str, str], form: _Format) -> dict[str, str]:
    """libsndfile's string fields for these tags; the comment takes what the format has no field for."""
    fields = {name: _one_line(value) for name, value in metadata.items() if name in form.fields}
    said = str(metadata.get("comment", "")).encode("utf-8", "replace").decode("utf-8")
    comment = [said.replace("\0", "")] if said else []
    for name, value in metadata.items():
        if name not in form.fields and name != "comment":
            if not name.isidentifier():
                raise AudioError(f"metadata name {name!r}: use letters, digits and underscores")
            comment.append(f"{name}={_one_line(value)}")
    return {name: value for name, value in (fields | {"comment": "\n".join(comment)}).items() if value}


def _one_line(value: str) -> str:
    text = str(value).encode("utf-8", "replace").decode("utf-8")  # halves of characters are nothing that a tag can hold
    return " ".join(text.replace("\0", "").split())


def _undo_latin1(value: str) -> str:
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value


def _reason(error: Exception) -> str:
    """The last part of libsndfile's message, on one line."""
    return " ".join(str(getattr(error, "error_string", error)).split()).rstrip(".")
