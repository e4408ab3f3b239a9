"""Sound for a pipe: 16-bit samples, raw or behind a wav header that does not know how many will come."""

import struct
from collections.abc import Iterable, Mapping
from typing import BinaryIO, Literal

import numpy as np
from jaxtyping import Float

from moksori.audio.io import _to_int16

PipeFormat = Literal["wav", "pcm"]
UNKNOWN_LENGTH = 0xFFFFFFFF
"""What programs that write wav to a pipe put where the length belongs, and what readers take as `until it ends`."""
_PCM, _BYTES = 1, 2
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
    tags = b"".join(_chunk(name, text.encode() + b"\0") for name, text in fields.items() if text)
    head = b"WAVE" + _chunk(b"fmt ", layout) + (_chunk(b"LIST", b"INFO" + tags) if tags else b"")
    return b"RIFF" + struct.pack("<I", UNKNOWN_LENGTH) + head + b"data" + struct.pack("<I", UNKNOWN_LENGTH)


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
