"""Audiobooks as m4b files: AAC in MP4 with chapters, tags and a cover, through the package PyAV (extra `[book]`)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from moksori.audio.io import _to_int16
from moksori.errors import AudioError, MissingExtra

SUFFIXES = (".m4b", ".m4a", ".mp4")
DEFAULT_KBPS = 64
_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_FRAME = 1024
_FIELDS = ("title", "artist", "album", "album_artist", "composer", "date", "genre", "description", "copyright")


@dataclass(frozen=True)
class Chapter:
    """A part of the sound; both ends in samples from its beginning."""

    title: str
    start: int
    end: int


@dataclass(frozen=True)
class Mp4Sound:
    """An MP4 file that is being read: its tags and the samples of its first sound, channels mixed down, one reading."""

    sample_rate: int
    seconds: float
    tags: Mapping[str, str]
    chapters: Sequence[tuple[str, float, float]]
    """Title, start and end in seconds."""
    blocks: Iterator[Float[np.ndarray, " block"]]


def encoder() -> Any:
    """PyAV; raises MissingExtra without it."""
    try:
        import av
    except ImportError as error:
        raise MissingExtra("av", "book", "reading and writing m4b and m4a") from error
    return av


def check_rate(sample_rate: int) -> None:
    """Raises AudioError for a rate that AAC does not have."""
    if sample_rate not in _RATES:
        raise AudioError(f"m4b: has no sound of {sample_rate} Hz: one of {', '.join(map(str, _RATES))}")


def write_m4b(
    path: Path,
    blocks: Iterable[Float[np.ndarray, " block"]],
    sample_rate: int,
    chapters: Sequence[Chapter],
    tags: Mapping[str, str] | None = None,
    cover: bytes | None = None,
    kbps: int = DEFAULT_KBPS,
) -> None:
    """Blocks of one channel in [-1, 1] as AAC with chapters; memory does not grow with their number.

    tags: title, artist and what else MP4 has fields for; all others go into the comment as lines `name=value`. cover: a
    JPEG or PNG. Half a file is left at `path` where writing fails. Raises MissingExtra without PyAV, AudioError for a
    rate that AAC does not have and a cover that is no picture, OSError where the disk refuses.
    """
    av = encoder()
    check_rate(sample_rate)
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart", "brand": "M4B "}) as file:
        sound = file.add_stream("aac", rate=sample_rate, layout="mono")
        sound.bit_rate = 1000 * kbps
        file.metadata.update(_fields(tags or {}))
        unit = Fraction(1, sample_rate)
        file.set_chapters(
            [
                {"id": n, "start": c.start, "end": c.end, "time_base": unit, "metadata": {"title": c.title}}
                for n, c in enumerate(chapters)
            ]
        )
        picture = None if cover is None else _picture(av, file, cover)
        file.start_encoding()
        if picture is not None:
            file.mux(picture)
        place = 0
        for samples in _framed(blocks):
            frame = av.AudioFrame.from_ndarray(_to_int16(np.clip(samples, -1.0, 1.0))[None], "s16", "mono")
            frame.sample_rate, frame.pts, frame.time_base = sample_rate, place, unit
            place += len(samples)
            file.mux(sound.encode(frame))
        file.mux(sound.encode(None))


def open_mp4(path: Path) -> Mp4Sound:
    """Opens an m4b, m4a or mp4 file; its blocks are read as they are asked for.

    Raises MissingExtra without PyAV, AudioError for a file that is missing or holds no sound that can be read.
    """
    av = encoder()
    if not path.is_file():
        raise AudioError(f"{path}: does not exist; check the name")
    try:
        file = av.open(str(path), metadata_errors="replace")
        if not file.streams.audio:
            file.close()
            raise AudioError(f"{path}: holds no sound")
        stream = file.streams.audio[0]
        rate = int(stream.rate)
        seconds = float((file.duration or 0) / av.time_base)
        chapters = [
            (c["metadata"].get("title", ""), float(c["start"] * c["time_base"]), float(c["end"] * c["time_base"]))
            for c in file.chapters()
        ]
        tags = _unfolded(dict(file.metadata))
    except (av.FFmpegError, OSError, ValueError) as error:
        raise AudioError(f"{path}: cannot be read: {_reason(error)}") from error

    def blocks() -> Iterator[Float[np.ndarray, " block"]]:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=rate)
        try:
            with file:
                for frame in file.decode(stream):
                    for mono in resampler.resample(frame):
                        yield mono.to_ndarray()[0].astype(np.float32)
        except (av.FFmpegError, OSError, ValueError) as error:
            raise AudioError(f"{path}: is corrupt, decoding failed ({_reason(error)}); get the file anew") from error

    return Mp4Sound(rate, seconds, tags, chapters, blocks())


def check_cover(cover: bytes) -> None:
    """Raises AudioError unless the bytes are a JPEG or PNG picture; MissingExtra without PyAV."""
    _opened_cover(encoder(), cover).close()


def _opened_cover(av: Any, cover: bytes) -> Any:
    try:
        picture = av.open(BytesIO(cover))
        codec = picture.streams.video[0].codec_context.name if picture.streams.video else "no picture"
    except (av.FFmpegError, OSError, ValueError) as error:
        raise AudioError(f"cover: is no picture that can be read ({_reason(error)}): give a JPEG or PNG") from error
    if codec not in ("mjpeg", "png"):
        picture.close()
        raise AudioError(f"cover: is {codec}: give a JPEG or PNG")
    return picture


def _picture(av: Any, file: Any, cover: bytes) -> Any:
    """The packet of the cover, for a new stream of the file that players show beside the sound."""
    with _opened_cover(av, cover) as source:
        stream = file.add_stream_from_template(source.streams.video[0])
        stream.disposition = av.stream.Disposition.attached_pic
        packet = next(source.demux(source.streams.video[0]))
        packet.stream, packet.pts, packet.dts = stream, 0, 0
        return packet


def _framed(blocks: Iterable[Float[np.ndarray, " block"]]) -> Iterator[Float[np.ndarray, " frame"]]:
    """The same samples in frames of 1024, as AAC takes them; the last one may be shorter."""
    rest = np.zeros(0, np.float32)
    for block in blocks:
        joined = np.concatenate([rest, block])
        whole = len(joined) // _FRAME * _FRAME
        for start in range(0, whole, _FRAME):
            yield joined[start : start + _FRAME]
        rest = joined[whole:]
    if len(rest):
        yield rest


def _fields(tags: Mapping[str, str]) -> dict[str, str]:
    fields = {name: value for name, value in tags.items() if name in _FIELDS and value}
    comment = [f"{name}={value}" for name, value in tags.items() if name not in _FIELDS]
    return fields | ({"comment": "\n".join(comment)} if comment else {})


def _unfolded(tags: dict[str, str]) -> dict[str, str]:
    for line in tags.pop("comment", "").splitlines():
        name, separator, value = line.partition("=")
        if separator and name.isidentifier():
            tags[name] = value
    return tags


def _reason(error: Exception) -> str:
    return " ".join(str(getattr(error, "strerror", None) or error).split()).lower()
