"""Sound for a pipe: what other programs make of the header, and that nothing waits."""

import io
import struct
import wave

import numpy as np
import pytest
import soundfile

from moksori.audio.io import read, read_metadata, write
from moksori.audio.pipe import wav_header, write_pipe
from moksori.types import Waveform

RATE = 22050
TAGS = {"artist": "moksori toy", "software": "moksori 0", "synthetic": "true", "seed": "7"}


def blocks() -> list[np.ndarray]:
    draw = np.random.default_rng(0)
    return [draw.uniform(-1.2, 1.2, size).astype(np.float32) for size in (1, 700, 33)]


def test_a_file_of_the_stream_is_read_like_a_file(tmp_path):
    with (tmp_path / "stream.wav").open("wb") as file:
        write_pipe(blocks(), RATE, file, "wav", TAGS)
    write(tmp_path / "file.wav", Waveform(np.concatenate(blocks()), RATE))
    streamed, filed = read(tmp_path / "stream.wav"), read(tmp_path / "file.wav")
    assert streamed.sample_rate == RATE
    assert np.array_equal(streamed.samples, filed.samples)
    assert read_metadata(tmp_path / "stream.wav") == TAGS


def test_the_header_says_that_the_length_is_unknown():
    header = wav_header(16000, TAGS)
    assert header[:4] == b"RIFF"
    assert header[8:16] == b"WAVEfmt "
    assert struct.unpack("<I", header[4:8]) == struct.unpack("<I", header[-4:]) == (0xFFFFFFFF,)
    assert struct.unpack("<IHHIIHH", header[16:36]) == (16, 1, 1, 16000, 32000, 2, 16)
    assert header[-8:-4] == b"data"
    assert len(header) % 2 == 0
    plain = wav_header(RATE, {})
    assert len(plain) == 44
    with wave.open(io.BytesIO(plain + b"\1\0\2\0")) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2)


def test_pcm_is_little_endian_and_clipped():
    file = io.BytesIO()
    write_pipe([np.array([0.0, 0.5, -0.5, 2.0, -2.0], np.float32)], RATE, file, "pcm", TAGS)
    assert file.getvalue() == struct.pack("<5h", 0, 16384, -16384, 32767, -32768)
    raw, _ = soundfile.read(
        io.BytesIO(file.getvalue()), format="RAW", samplerate=RATE, channels=1, subtype="PCM_16", endian="LITTLE"
    )
    assert raw.tolist() == [0.0, 0.5, -0.5, 32767 / 32768, -1.0]


@pytest.mark.parametrize("form", ["wav", "pcm"])
def test_each_block_leaves_at_once_and_nothing_without_one(form):
    class Pipe(io.BytesIO):
        flushed = 0

        def flush(self) -> None:
            self.flushed = len(self.getvalue())

    file, sent = Pipe(), []

    def counted():
        for block in blocks():
            sent.append(file.flushed)
            yield block

    write_pipe(counted(), RATE, file, form)
    head = 44 if form == "wav" else 0
    assert sent == [0, head + 2, head + 2 + 1400]
    assert file.flushed == len(file.getvalue()) == head + 2 * 734
    empty = io.BytesIO()
    write_pipe([], RATE, empty, form)
    assert empty.getvalue() == b""


def test_a_reader_that_has_gone_is_told():
    class Gone(io.BytesIO):
        def write(self, _: object) -> int:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        write_pipe(blocks(), RATE, Gone())
