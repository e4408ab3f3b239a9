"""Sound through a pipe: 16-bit samples, raw or behind a wav header that does not know how many will come; and wav from
a pipe, as recorders write it."""

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import BinaryIO, Literal

import numpy as np
from jaxtyping import Float

from moksori.audio.io import _to_int16
from moksori.errors import AudioError

PipeFormat = Literal["wav", "pcm"]
UNKNOWN_LENGTH = 0xFFFFFFFF
"""What programs that write wav to a pipe put where the length belongs, and what readers take as `until it ends`."""
_PCM, _FLOAT, _EXTENSIBLE, _BYTES = 1, 3, 0xFFFE, 2
_MAXIMUM_CHUNK_BYTES = 2**20  # of what stands before the sound
_TAGS = {"artist": b"IART", "software": b"ISFT"}


def write_pipe(
    blocks: Iterable[Float[np.ndarray, " block"]],
    sample_rate: int,
    file: BinaryIO,
    form: PipeFormat = "wav",
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Writes blocks of one channel in [-1, 1] as they come, each at once: signed 16 bits, little-endian.

    form: `pcm` is samples alone; `wav` puts a header with `metadata` first, together with the first block, so that
    nothing at all is written where there is none. Raises what writing raises, BrokenPipeError if the reader has gone.
    """
    header = wav_header(sample_rate, metadata or {}) if form == "wav" else b""
    for block in blocks:
        file.write(header + _to_int16(block).astype("<i2").tobytes())
        file.flush()
        header = b""


def wav_header(sample_rate: int, metadata: Mapping[str, str]) -> bytes:
    """The head of a wav file of one channel, 16 bits and unknown length; tags stand before the sound."""
    layout = struct.pack("<HHIIHH", _PCM, 1, sample_rate, sample_rate * _BYTES, _BYTES, 8 * _BYTES)
    comment = "\n".join(f"{name}={value}" for name, value in metadata.items() if name not in _TAGS)
    fields = {tag: metadata[name] for name, tag in _TAGS.items() if name in metadata} | {b"ICMT": comment}
    tags = b"".join(_chunk(name, text.encode("utf-8", "replace") + b"\0") for name, text in fields.items() if text)
    head = b"WAVE" + _chunk(b"fmt ", layout) + (_chunk(b"LIST", b"INFO" + tags) if tags else b"")
    return b"RIFF" + struct.pack("<I", UNKNOWN_LENGTH) + head + b"data" + struct.pack("<I", UNKNOWN_LENGTH)


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def read_pipe(
    read: Callable[[int], bytes], name: str, block_seconds: float = 0.02
) -> tuple[int, Iterator[Float[np.ndarray, " block"]]]:
    """The rate in Hz of a wav that comes through a pipe, and its samples as they come, channels mixed down.

    read: gives up to so many bytes, b"" at the end. Samples are of 16, 24 or 32 bits or 32-bit floats. A length in the
    header does not matter: the sound ends where the pipe does.
    Raises AudioError, naming the stream, for what is no such wav; of samples that are NaN or infinity, when they come.
    """
    head = _exactly(read, 12)
    if head[:4] not in (b"RIFF", b"RF64") or head[8:] != b"WAVE":
        raise AudioError(f"{name}: is no wav: pipe one (arecord -t wav, ffmpeg -f wav -, sox -t wav -)")
    layout = b""
    while True:
        mark = _exactly(read, 8)
        if len(mark) < 8:
            raise AudioError(f"{name}: ends before its sound begins")
        kind, size = mark[:4], struct.unpack("<I", mark[4:])[0]
        if kind == b"data":
            break
        if size > _MAXIMUM_CHUNK_BYTES:
            raise AudioError(f"{name}: a chunk {kind!r} of {size} bytes stands before its sound: it is no wav")
        content = _exactly(read, size + size % 2)
        layout = content if kind == b"fmt " else layout
    if len(layout) < 16:
        raise AudioError(f"{name}: does not say how its samples are stored")
    form, channels, rate, _, _, bits = struct.unpack("<HHIIHH", layout[:16])
    if form == _EXTENSIBLE and len(layout) >= 26:
        form = struct.unpack("<H", layout[24:26])[0]
    if (form, bits) not in ((_PCM, 16), (_PCM, 24), (_PCM, 32), (_FLOAT, 32)) or not 0 < channels <= 64 or rate == 0:
        raise AudioError(
            f"{name}: holds {channels} channels of {bits} bits in the form {form} at {rate} Hz: pipe 16, 24 or 32 "
            "bits, or 32-bit floats"
        )

    def blocks() -> Iterator[Float[np.ndarray, " block"]]:
        width = channels * bits // 8
        while data := _exactly(read, max(round(block_seconds * rate), 1) * width):
            samples = _decoded(data[: len(data) // width * width], bits, form == _FLOAT)
            mono = samples.reshape(-1, channels).mean(axis=1, dtype=np.float64).astype(np.float32)
            if not np.isfinite(mono).all():
                raise AudioError(f"{name}: holds NaN or infinity")
            yield mono

    return rate, blocks()


def _exactly(read: Callable[[int], bytes], count: int) -> bytes:
    """So many bytes, fewer only at the end: a pipe gives what there is."""
    parts: list[bytes] = []
    while count > 0 and (part := read(count)):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _decoded(data: bytes, bits: int, floats: bool) -> Float[np.ndarray, " samples"]:
    if floats:
        return np.frombuffer(data, "<f4")
    if bits == 24:
        # Each sample as the upper three bytes of four.
        wide = np.zeros((len(data) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        return (wide.view("<i4")[:, 0] / 2.0**31).astype(np.float32)
    return (np.frombuffer(data, f"<i{bits // 8}") / 2.0 ** (bits - 1)).astype(np.float32)
