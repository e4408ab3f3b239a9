"""Coded recordings as files: what is packed comes back, and what is broken is told."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moksori.errors import AudioError, BadInput, MoksoriError
from moksori.pipeline import codec_files
from moksori.pipeline.codec_files import (
    CodecHead,
    CodedSound,
    MkcReader,
    MkcWriter,
    code_bits,
    load_codes,
    packed_codes,
    unpacked_codes,
)

HEAD = CodecHead("küçük", "00ff12ab34cd56ef", 16000, 200, 8, 1024, 0.5)


def coded(samples: int = 30_001, head: CodecHead = HEAD, seed: int = 0) -> CodedSound:
    frames = -(-samples // head.hop_length)
    codes = np.random.default_rng(seed).integers(0, head.code_count, (head.stages, frames))
    return CodedSound(head, codes, samples)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 65535), st.integers(1, 17), st.integers(1, 40), st.integers(0, 2**31))
def test_packed_codes_come_back(count, stages, frames, seed):
    codes = np.random.default_rng(seed).integers(0, count, (stages, frames))
    packed = packed_codes(codes, count)
    assert len(packed) == -(-stages * frames * code_bits(count) // 8)
    assert np.array_equal(unpacked_codes(packed, frames, stages, count), codes)


def test_bits_of_a_code():
    assert [code_bits(count) for count in (1, 2, 3, 1000, 1024, 1025)] == [1, 1, 2, 10, 10, 11]
    assert HEAD.bits_per_second == 6400.0
    assert unpacked_codes(packed_codes(np.array([[6]]), 8), 1, 1, 6) is None  # no such entry


@pytest.mark.parametrize("samples", [1, 199, 200, 201, 160_000, 333_333])
def test_a_file_gives_back_what_was_saved(tmp_path, samples):
    sound = coded(samples)
    path = sound.save(tmp_path / "a.mkc")
    found = load_codes(path)
    assert found.head == HEAD
    assert found.samples == samples
    assert found.codes.dtype == np.int64
    assert np.array_equal(found.codes, sound.codes)
    blocks = -(-sound.codes.shape[1] // codec_files.BLOCK_FRAMES)
    beside = len(HEAD.packed()) + 6 * blocks + 14
    assert path.stat().st_size == sum(-(-n * 80 // 8) for n in _sizes(sound)) + beside
    assert list(tmp_path.iterdir()) == [path]


def _sizes(sound: CodedSound) -> list[int]:
    return [min(800, sound.codes.shape[1] - start) for start in range(0, sound.codes.shape[1], 800)]


def test_the_head_is_laid_out_as_the_docs_say():
    packed = HEAD.packed()
    assert packed[:4] == b"MKC\x01"
    assert packed[4:12] == bytes.fromhex(HEAD.fingerprint)
    assert struct.unpack("<IHBHf", packed[12:25]) == (16000, 200, 8, 1024, 0.5)
    assert packed[25] == len("küçük".encode())
    assert packed[-4:] == struct.pack("<I", zlib.crc32(packed[:-4]))


def test_fewer_stages_are_the_first_ones():
    sound = coded()
    less = sound.first(3)
    assert less.bits_per_second == 2400.0
    assert np.array_equal(less.codes, sound.codes[:3])
    for stages in (0, 9, True, 2.0):
        with pytest.raises(BadInput, match=r"stages .*: expected a whole number from 1 to 8"):
            sound.first(stages)


def test_every_damage_is_told(tmp_path):
    """Each byte changed, each place cut off, anything more: never a traceback, never silence."""
    data = coded(2_000).save(tmp_path / "a.mkc").read_bytes()
    for place in range(len(data)):
        changed = data[:place] + bytes([data[place] ^ 0x41]) + data[place + 1 :]
        for broken in (changed, data[:place]):
            with pytest.raises(AudioError, match=r"^x\.mkc: .*(again|makes one|newer moksori)"):
                list(MkcReader(io.BytesIO(broken).read, "x.mkc").blocks())
    with pytest.raises(AudioError, match="goes on after its end"):
        list(MkcReader(io.BytesIO(data + b"\0").read, "x.mkc").blocks())


def test_blocks_cannot_be_lost_or_exchanged(tmp_path):
    path = coded(200 * 1600).save(tmp_path / "a.mkc")
    data, head = path.read_bytes(), len(HEAD.packed())
    size = 2 + 8000 + 4
    first, second, end = data[head : head + size], data[head + size : head + 2 * size], data[head + 2 * size :]
    for order in (second + first + end, first + end, first + first + end):
        with pytest.raises(AudioError, match="wrong checksum"):
            list(MkcReader(io.BytesIO(data[:head] + order).read, "x").blocks())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"is no \.mkc file: 'moksori codec encode' makes one"),
        (b"RIFF....WAVE", r"is no \.mkc file"),
        (b"MKC\x02" + bytes(60), "of version 2, this moksori reads version 1: install a newer moksori"),
        (b"MKC\x01", "is cut off after 4 bytes"),
        (CodecHead("x", "00" * 8, 16000, 200, 8, 1).packed(), r"is damaged \(numbers out of range\)"),
        (CodecHead("x", "00" * 8, 16000, 200, 8, 1024, float("nan")).packed(), r"is damaged \(numbers out of range\)"),
    ],
)
def test_what_is_no_file_of_codes_is_told(tmp_path, content, message):
    path = tmp_path / "x.mkc"
    path.write_bytes(content)
    with pytest.raises(AudioError, match=message):
        load_codes(path)


def test_missing_files_and_other_suffixes_are_told(tmp_path):
    with pytest.raises(AudioError, match=r"none\.mkc: no such file or directory: name a \.mkc file"):
        load_codes(tmp_path / "none.mkc")
    with pytest.raises(AudioError, match="is a directory"):
        load_codes(tmp_path)
    with pytest.raises(BadInput, match=r"a coded recording ends in \.mkc: a\.mkc"):
        coded().save(tmp_path / "a.wav")
    with pytest.raises(BadInput, match="does not exist: create it first"):
        coded().save(tmp_path / "none" / "a.mkc")


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    (tmp_path / "a.mkc").write_bytes(b"before")

    def full(self, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(MkcWriter, "_put", full)
    with pytest.raises(MoksoriError, match="no space left on device: free space"):
        coded().save(tmp_path / "a.mkc")
    assert (tmp_path / "a.mkc").read_bytes() == b"before"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_writer_for_a_pipe_writes_what_comes():
    sound, file = coded(200 * 10), io.BytesIO()
    writer = MkcWriter(file, HEAD, at_least=1)
    sizes = []
    for frame in range(10):
        writer.push(sound.codes[:, frame : frame + 1])
        sizes.append(len(file.getvalue()))
    writer.finish(2000)
    assert np.diff(sizes).tolist() == [16] * 9
    assert writer.bytes == len(file.getvalue())
    reader = MkcReader(io.BytesIO(file.getvalue()).read, "x")
    assert np.array_equal(np.concatenate(list(reader.blocks()), axis=1), sound.codes)
    assert (reader.frames, reader.samples, reader.bytes) == (10, 2000, writer.bytes)


def test_a_pipe_may_give_single_bytes():
    file = io.BytesIO()
    sound = coded(5000)
    writer = MkcWriter(file, HEAD)
    writer.push(sound.codes)
    writer.finish(5000)
    whole = io.BytesIO(file.getvalue())
    reader = MkcReader(lambda size: whole.read(min(size, 1)), "x")
    assert np.array_equal(np.concatenate(list(reader.blocks()), axis=1), sound.codes)
