"""Sound that is encoded while it is made, for whoever reads it as it comes: wav, flac, mp3, opus, or samples alone."""

import io
import tempfile
from collections.abc import Iterator, Mapping
from typing import IO, Literal, get_args

import numpy as np
import soundfile
from jaxtyping import Float

from moksori.audio.io import _FORMATS, BLOCK_FRAMES, _fields, _to_int16
from moksori.audio.pipe import wav_header
from moksori.audio.resample import Resampler
from moksori.errors import AudioError

StreamFormat = Literal["mp3", "wav", "flac", "opus", "pcm"]
STREAM_FORMATS: tuple[StreamFormat, ...] = get_args(StreamFormat)
LOWEST_RATE, HIGHEST_RATE = 8000, 48000
_MP3_BITS_PER_SECOND = 64_000
_MP3_RATES = (8000, 12000, 16000, 24000, 32000, 48000)
"""At these a frame of the constant bit rate has a whole number of bytes, so that readers are not mistaken in a length;
the sound begins some 1,100 samples late, as that of every mp3 without a table of its frames."""
_HELD_BYTES = 1 << 20
_READ_BYTES = 1 << 16
_TAG_BYTES = 128


class Encoder:
    """Blocks of one channel in [-1, 1] in, bytes out, in memory that does not grow; what has left is never changed.

    The head of a wav does not tell its length (`audio.pipe`). A flac leaves at its end only, since readers want to find
    its length in its head. mp3 has a constant bit rate, from which readers tell a length. pcm has no head: signed 16
    bits, little-endian. sample_rate: of the blocks, in Hz. heard_rate: of what leaves; None: the blocks' own. Where the
    format does not know that, it is the next higher. metadata: tags, as for `audio.io.write`.
    Raises AudioError for another format, and for a rate that is not from 8,000 to 48,000.
    """

    def __init__(
        self, sample_rate: int, form: StreamFormat, metadata: Mapping[str, str], heard_rate: int | None = None
    ) -> None:
        if form not in STREAM_FORMATS:
            raise AudioError(f"format {form!r}: unknown: take one of {', '.join(STREAM_FORMATS)}")
        rate = sample_rate if heard_rate is None else heard_rate
        if not LOWEST_RATE <= rate <= HIGHEST_RATE:
            raise AudioError(f"sample rate {rate}: expected {LOWEST_RATE} to {HIGHEST_RATE} Hz")
        known = _MP3_RATES if form == "mp3" else _FORMATS[f".{form}"].rates if form != "pcm" else None
        if known is not None and rate not in known:
            rate = min(each for each in known if each >= rate)
        self.sample_rate = rate
        """Of the sound that leaves, in Hz."""
        self._resampler = Resampler(sample_rate, rate)
        self._head = wav_header(rate, metadata) if form == "wav" else b""
        self._sink, self._held = _Sink(), _held_file() if form == "flac" else None
        self._file: soundfile.SoundFile | None = None
        self._subtype = "PCM_16"
        if form not in ("wav", "pcm"):
            layout = _FORMATS[f".{form}"]
            self._subtype = layout.subtype
            rated = {"bitrate_mode": "CONSTANT", "compression_level": _mp3_level(rate)} if form == "mp3" else {}
            sink: IO[bytes] | _Sink = self._held or self._sink
            self._file = soundfile.SoundFile(sink, "w", rate, 1, layout.subtype, format=layout.name, **rated)
            for tag, value in _fields(metadata, layout).items():
                setattr(self._file, tag, value)

    def push(self, samples: Float[np.ndarray, " block"]) -> bytes:
        """The next samples; the bytes that are ready, perhaps none."""
        return self._encoded(self._resampler.push(samples))

    def finish(self) -> Iterator[bytes]:
        """What was held back, after the last samples; read it once, to its end."""
        last = self._encoded(self._resampler.finish())
        if self._file is not None:
            self._file.close()
        last += self._sink.taken()
        # An mp3 has its tags in front; the second ones, 128 bytes behind, would be counted as sound.
        yield last[:-_TAG_BYTES] if last[-_TAG_BYTES:].startswith(b"TAG") else last
        if self._held is not None:
            self._held.seek(0)
            while part := self._held.read(_READ_BYTES):
                yield part
        self.close()

    def close(self) -> None:
        """Lets go of everything, also early, where nobody reads any more."""
        if self._file is not None:
            self._file.close()
        if self._held is not None:
            self._held.close()

    def _encoded(self, samples: Float[np.ndarray, " block"]) -> bytes:
        clipped = np.clip(samples, -1.0, 1.0)
        if self._file is None:
            made, self._head = self._head + _to_int16(clipped).astype("<i2").tobytes(), b""
            return made
        for start in range(0, len(clipped), BLOCK_FRAMES):
            block = clipped[start : start + BLOCK_FRAMES]
            self._file.write(_to_int16(block) if self._subtype == "PCM_16" else block)
        return self._sink.taken()


def _held_file() -> IO[bytes]:
    """In memory, and on the disk from a mebibyte on."""
    return tempfile.SpooledTemporaryFile(_HELD_BYTES)


def _mp3_level(rate: int) -> float:
    """libsndfile's compression level, 0 to 1, for the wanted bits per second; from 32 kHz on it is MPEG-1."""
    highest, lowest = (320_000, 32_000) if rate >= 32_000 else (160_000, 8_000)
    return (highest - _MP3_BITS_PER_SECOND) / (highest - lowest)


class _Sink(io.RawIOBase):
    """A file of which only what was not taken yet is kept. libsndfile goes back at the end to write lengths into the
    head; that has left, so it is let go, and readers find the length unknown, as in every stream."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._left = self._place = 0

    def taken(self) -> bytes:
        """What is new."""
        made = bytes(self._kept)
        self._left += len(made)
        self._kept.clear()
        return made

    def write(self, data: object) -> int:
        given = bytes(memoryview(data))  # type: ignore[arg-type]
        start = self._place - self._left
        self._place += len(given)
        fresh = given[-start:] if start < 0 else given
        start = max(start, 0)
        self._kept[start : start + len(fresh)] = fresh
        return len(given)

    def read(self, size: int = -1) -> bytes:
        return b""

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._left + len(self._kept)}[whence]
        self._place = max(base + offset, 0)
        return self._place

    def tell(self) -> int:
        return self._place
