"""Recordings as codes of a codec in a file or a pipe, an `.mkc`. All numbers are little-endian:

    head      "MKC", a byte with the version 1; the codec's fingerprint (8 bytes), rate in Hz (uint32), hop in samples
              (uint16), stages (uint8), entries of a codebook (uint16), gain (float32), length of the codec's name
              (uint8) and the name in UTF-8; checksum
    blocks    frames (uint16, 1 to 800); their codes, a frame's stages side by side, ceil(log2 entries) bits each, the
              lowest first, filled up to a whole byte; checksum
    end       frames 0 (uint16), samples in all (uint64); checksum

A checksum (uint32) is the CRC-32 of all before it but checksums, so that blocks cannot be lost, changed or exchanged.
The gain is what the recording was multiplied by before it was coded, and is undone when it is decoded.
"""

import math
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Int

from moksori.errors import AudioError, BadInput
from moksori.pipeline.say import check_folder
from moksori.pipeline.whole_files import written_whole

SUFFIX = ".mkc"
BLOCK_FRAMES = 800
"""The most frames of a block, 10 s at 80 frames a second: what a block costs beside its codes is 6 bytes."""
_MAGIC, _VERSION = b"MKC", 1
_HEAD = struct.Struct("<8sIHBHfB")
_AGAIN = "make it again from its recording"


@dataclass(frozen=True)
class CodecHead:
    """What a file says first: the codec by name and fingerprint, what its codes are, and the gain.

    sample_rate: in Hz. hop_length: samples of a frame. stages: codebooks that were used. code_count: entries of each.
    """

    name: str
    fingerprint: str
    sample_rate: int
    hop_length: int
    stages: int
    code_count: int
    gain: float = 1.0

    @property
    def code_bits(self) -> int:
        """Of one code."""
        return code_bits(self.code_count)

    @property
    def bits_per_second(self) -> float:
        """Of the codes; what a file holds beside them is not counted."""
        return self.stages * self.code_bits * self.sample_rate / self.hop_length

    def packed(self) -> bytes:
        """The head with its checksum."""
        name = self.name.encode("utf-8")[:255]
        fields = (self.sample_rate, self.hop_length, self.stages, self.code_count, self.gain, len(name))
        head = _MAGIC + bytes([_VERSION]) + _HEAD.pack(bytes.fromhex(self.fingerprint), *fields) + name
        return head + _checksum(zlib.crc32(head))


@dataclass(frozen=True)
class CodedSound:
    """A recording as codes, in memory: what `SoundCodec.encode` gives and `decode` takes.

    samples: of the recording, at the codec's rate.
    """

    head: CodecHead
    codes: Int[np.ndarray, "stages frames"]
    samples: int

    @property
    def duration_seconds(self) -> float:
        return self.samples / self.head.sample_rate

    @property
    def bits_per_second(self) -> float:
        """Of the codes."""
        return self.head.bits_per_second

    def first(self, stages: int) -> "CodedSound":
        """The same recording by its first stages alone: coarser, at fewer bits a second.

        Raises BadInput for a number of stages that it has not.
        """
        check_stages(stages, self.head.stages)
        return CodedSound(replace(self.head, stages=stages), self.codes[:stages], self.samples)

    def save(self, path: str | Path) -> Path:
        """Writes a file whose name ends in `.mkc`, whole or not at all.

        Raises BadInput for another suffix or a folder that is missing, MoksoriError where the disk refuses.
        """
        path = Path(path)
        check_mkc_path(path)
        with written_whole(path) as part, part.open("wb") as file:
            writer = MkcWriter(file, self.head)
            writer.push(self.codes)
            writer.finish(self.samples)
        return path


class MkcWriter:
    """Codes as they come, into a file or pipe; the head is written at once.

    at_least: frames that are gathered to a block; 1: what comes is written and flushed, for who listens meanwhile.
    """

    def __init__(self, file: BinaryIO, head: CodecHead, at_least: int = BLOCK_FRAMES) -> None:
        self._file, self._head, self._at_least = file, head, at_least
        self._held: list[np.ndarray] = []
        self.frames, self.bytes = 0, 0
        packed = head.packed()
        self._crc = zlib.crc32(packed[:-4])
        self._put(packed)

    def push(self, codes: Int[np.ndarray, "stages frames"]) -> None:
        """The codes of the next frames."""
        self._held.append(codes)
        if sum(part.shape[1] for part in self._held) >= self._at_least:
            self._flush()

    def finish(self, samples: int) -> None:
        """Writes what is left, and the end. samples: of the recording, at the codec's rate."""
        self._flush()
        hop = self._head.hop_length
        assert self.frames == -(-samples // hop), (self.frames, samples, hop)
        self._block(struct.pack("<HQ", 0, samples))

    def _flush(self) -> None:
        codes = np.concatenate(self._held, axis=1) if self._held else np.zeros((self._head.stages, 0), np.int64)
        self._held = []
        for start in range(0, codes.shape[1], BLOCK_FRAMES):
            part = codes[:, start : start + BLOCK_FRAMES]
            self.frames += part.shape[1]
            self._block(struct.pack("<H", part.shape[1]) + packed_codes(part, self._head.code_count))

    def _block(self, content: bytes) -> None:
        self._crc = zlib.crc32(content, self._crc)
        self._put(content + _checksum(self._crc))

    def _put(self, content: bytes) -> None:
        self._file.write(content)
        self._file.flush()
        self.bytes += len(content)


class MkcReader:
    """A file or pipe that is read block by block.

    read: gives at most so many bytes, b"" at the end. source: its name, for messages. samples: of the recording, at the
    codec's rate; known, as `frames` is, once all blocks were read.
    Raises AudioError, naming the source, for what is no such file or of a newer version.
    """

    def __init__(self, read: Callable[[int], bytes], source: str) -> None:
        self._read, self.source = read, source
        self.frames, self.samples, self.bytes = 0, 0, 0
        self.head = self._read_head()

    def blocks(self) -> Iterator[Int[np.ndarray, "stages frames"]]:
        """The codes. Raises AudioError, when it is met, for what is damaged, cut off, or goes on after its end."""
        head = self.head
        while frames := struct.unpack("<H", mark := self._exactly(2))[0]:
            if frames > BLOCK_FRAMES:
                raise AudioError(f"{self.source}: is damaged (a block of {frames} frames): {_AGAIN}")
            payload = self._exactly(-(-frames * head.stages * head.code_bits // 8))
            self._check(mark + payload)
            codes = unpacked_codes(payload, frames, head.stages, head.code_count)
            if codes is None:
                raise AudioError(f"{self.source}: is damaged (a code out of range): {_AGAIN}")
            self.frames += frames
            yield codes
        end = self._exactly(8)
        self._check(mark + end)
        self.samples = struct.unpack("<Q", end)[0]
        if self.frames != -(-self.samples // head.hop_length) or self.samples == 0:
            raise AudioError(f"{self.source}: is damaged ({self.frames} frames of {self.samples} samples): {_AGAIN}")
        if self._read(1):
            raise AudioError(f"{self.source}: goes on after its end, so it is no whole file: copy it again")

    def _read_head(self) -> CodecHead:
        begin = self._gathered(len(_MAGIC) + 1)
        if begin[: len(_MAGIC)] != _MAGIC:
            raise AudioError(f"{self.source}: is no {SUFFIX} file: 'moksori codec encode' makes one of a recording")
        if begin[len(_MAGIC) :] not in (b"", bytes([_VERSION])):
            raise AudioError(
                f"{self.source}: of version {begin[-1]}, this moksori reads version {_VERSION}: install a newer moksori"
            )
        self._crc = 0
        fixed = self._exactly(_HEAD.size)
        mark, rate, hop, stages, count, gain, length = _HEAD.unpack(fixed)
        name = self._exactly(length)
        self._check(begin + fixed + name)
        if min(rate, hop, stages) < 1 or count < 2 or not (math.isfinite(gain) and gain > 0):
            raise AudioError(f"{self.source}: is damaged (numbers out of range): {_AGAIN}")
        return CodecHead(name.decode("utf-8", "replace"), mark.hex(), rate, hop, stages, count, gain)

    def _check(self, content: bytes) -> None:
        """Reads the checksum that follows; raises AudioError where it is another than that of `content`."""
        self._crc = zlib.crc32(content, self._crc)
        if self._exactly(4) != _checksum(self._crc):
            raise AudioError(f"{self.source}: is damaged (wrong checksum): copy it again, or {_AGAIN}")

    def _exactly(self, count: int) -> bytes:
        found = self._gathered(count)
        if len(found) < count:
            raise AudioError(f"{self.source}: is cut off after {self.bytes} bytes: copy it again, or {_AGAIN}")
        return found

    def _gathered(self, count: int) -> bytes:
        parts: list[bytes] = []
        missing = count
        while missing > 0 and (part := self._read(missing)):
            parts.append(part)
            missing -= len(part)
        self.bytes += count - missing
        return b"".join(parts)


def load_codes(path: str | Path) -> CodedSound:
    """The codes in an `.mkc` file.

    Raises AudioError, naming the file and the remedy, for one that is missing, damaged, cut off or none at all.
    """
    with open_mkc(path) as file:
        reader = MkcReader(file.read, str(path))
        blocks = list(reader.blocks())
    return CodedSound(reader.head, np.concatenate(blocks, axis=1), reader.samples)


def open_mkc(path: str | Path) -> BinaryIO:
    """The file, opened; raises AudioError where that cannot be."""
    path = Path(path).expanduser()
    try:
        return path.open("rb")
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise AudioError(f"{path}: {reason}: name a {SUFFIX} file") from error


def check_mkc_path(path: Path) -> None:
    """Raises BadInput unless the name ends in `.mkc` and the folder is there."""
    if path.suffix.lower() != SUFFIX:
        raise BadInput(f"{path}: a coded recording ends in {SUFFIX}: {path.stem or 'x'}{SUFFIX}")
    check_folder(path)


def check_stages(stages: int, most: int) -> None:
    """Raises BadInput unless that is a number of stages out of so many."""
    if isinstance(stages, bool) or not isinstance(stages, int) or not 1 <= stages <= most:
        raise BadInput(f"stages {stages!r}: expected a whole number from 1 to {most}")


def code_bits(code_count: int) -> int:
    """Bits that tell one of so many entries."""
    return max((code_count - 1).bit_length(), 1)


def packed_codes(codes: Int[np.ndarray, "stages frames"], code_count: int) -> bytes:
    """Frame after frame, each code's lowest bit first, filled up with zeros to a whole byte."""
    places = np.arange(code_bits(code_count))
    bits = codes.T.reshape(-1, 1).astype(np.int64) >> places & 1
    return np.packbits(bits.astype(np.uint8), bitorder="little").tobytes()


def unpacked_codes(
    payload: bytes, frames: int, stages: int, code_count: int
) -> Int[np.ndarray, "stages frames"] | None:
    """The codes that `packed_codes` packed; None where one is out of range."""
    width = code_bits(code_count)
    bits = np.unpackbits(np.frombuffer(payload, np.uint8), count=frames * stages * width, bitorder="little")
    found = (bits.reshape(-1, width).astype(np.int64) << np.arange(width)).sum(axis=1)
    if int(found.max()) >= code_count:
        return None
    return found.reshape(frames, stages).T


def _checksum(crc: int) -> bytes:
    return struct.pack("<I", crc)
