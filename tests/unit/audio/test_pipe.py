"""Sound through a pipe: what other programs make of the header, that nothing waits, and wav that is read from one."""

import io
import struct
import wave

import numpy as np
import pytest
import soundfile

from moksori.audio.io import read, read_metadata, write
from moksori.audio.pipe import read_pipe, wav_header, write_pipe
from moksori.errors import AudioError
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


# ---- wav from a pipe ----


def piped(data: bytes, most: int = 1000):
    """Reads a pipe that gives so many bytes at most each time."""
    file = io.BytesIO(data)
    return read_pipe(lambda count: file.read(min(count, most)), "stdin")


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32", "FLOAT"])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_wav_is_read_as_it_comes(subtype: str, channels: int):
    samples = np.random.default_rng(0).uniform(-0.9, 0.9, (5000, channels)).astype(np.float32)
    file = io.BytesIO()
    soundfile.write(file, samples, 22050, subtype=subtype, format="WAV")
    wanted = soundfile.read(io.BytesIO(file.getvalue()), always_2d=True)[0].mean(axis=1)
    for most in (7, 10**6):
        rate, found = piped(file.getvalue(), most)
        made = list(found)
        assert rate == 22050
        assert len(made) == 12  # 20 ms each
        assert np.abs(np.concatenate(made) - wanted).max() < 1e-7


def test_what_this_module_writes_is_read_and_a_cut_end_does_not_matter():
    file = io.BytesIO()
    write_pipe(blocks(), 16000, file, "wav", {"artist": "x", "seed": "3"})
    rate, found = piped(file.getvalue()[:-1])
    made = np.concatenate(list(found))
    whole = np.concatenate(blocks())
    assert rate == 16000
    assert np.abs(made - np.clip(whole, -1, 1)[: len(made)]).max() < 5e-5
    assert len(made) == len(whole) - 1


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is no wav: pipe one"),
        (b"RIFF1234WAVE", "ends before its sound begins"),
        (b"OggS" + bytes(40), "is no wav"),
        (b"RIFF1234WAVEdata" + bytes(40), "does not say how its samples are stored"),
        (b"RIFF1234WAVEjunk" + b"\xff" * 40, "stands before its sound: it is no wav"),
        (wav_header(16000, {}).replace(b"\x01\x00\x01\x00", b"\x01\x00\x00\x00"), "holds 0 channels of 16 bits"),
        (wav_header(16000, {}).replace(b"\x02\x00\x10\x00", b"\x02\x00\x08\x00"), "1 channels of 8 bits"),
    ],
)
def test_other_streams_are_told(data: bytes, message: str):
    with pytest.raises(AudioError, match=f"stdin: .*{message}"):
        piped(data)


def test_nan_in_a_pipe_is_told():
    file = io.BytesIO()
    soundfile.write(file, np.full(100, np.nan, np.float32), 8000, subtype="FLOAT", format="WAV")
    with pytest.raises(AudioError, match="stdin: holds NaN"):
        list(piped(file.getvalue())[1])
