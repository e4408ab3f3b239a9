"""Recordings from strangers are looked at before they are decoded."""

import struct

import numpy as np
import pytest
import soundfile

from moksori.audio.foreign import check_foreign
from moksori.audio.io import read
from moksori.errors import AudioError


def refused(path, match: str, seconds: float = 10.0) -> None:
    with pytest.raises(AudioError, match=match) as told:
        check_foreign(path, "talk.wav", seconds)
    assert str(path) not in str(told.value)


def test_a_recording_is_what_its_header_says(tmp_path) -> None:
    soundfile.write(tmp_path / "x.flac", np.zeros((800, 2)), 8000)
    found = check_foreign(tmp_path / "x.flac", "talk.flac", 10.0)
    assert (found.sample_rate, found.frames, found.channels) == (8000, 800, 2)


def test_small_files_that_would_become_large_are_refused(tmp_path) -> None:
    path = tmp_path / "x"
    silence = np.zeros(16000 * 120)
    for form, subtype in (("FLAC", "PCM_16"), ("OGG", "VORBIS")):
        soundfile.write(path, silence, 16000, format=form, subtype=subtype)
        assert path.stat().st_size < 60_000
        refused(path, "lasts 120 s")
    soundfile.write(path, np.zeros((100, 9)), 16000, format="WAV")
    refused(path, "9 channels")
    soundfile.write(path, np.zeros(100), 1000, format="WAV")
    refused(path, "1000 Hz")


def test_a_header_that_lies_is_refused(tmp_path) -> None:
    path = tmp_path / "x"
    layout = struct.pack("<HHIIHH", 1, 1, 8000, 8000, 1, 8)
    path.write_bytes(b"RIFF" + struct.pack("<I", 2**31) + b"WAVEfmt " + struct.pack("<I", 16) + layout
                     + b"data" + struct.pack("<I", 2**31 - 100) + b"\x80" * 1000)  # fmt: skip
    found = check_foreign(path, "talk.wav", 1e9)  # libsndfile has cut it to what is there
    assert found.frames <= 1000


@pytest.mark.parametrize("content", [b"", b"hello", b"RIFF\0\0\0\0WAVE", b"ID3\x04\0\0\xff\xff\xff\xff", b"OggS" * 50])
def test_what_is_no_recording_is_refused(content, tmp_path) -> None:
    (tmp_path / "x").write_bytes(content)
    refused(tmp_path / "x", "talk.wav")


def test_other_formats_than_ours_are_refused(tmp_path) -> None:
    soundfile.write(tmp_path / "x", np.zeros(100), 8000, format="AU", subtype="PCM_16")
    refused(tmp_path / "x", "is AU")


def test_an_mp3_without_a_length_ends_where_it_ends(tmp_path) -> None:
    samples = (0.3 * np.sin(np.arange(24000) * 0.05)).astype(np.float32)
    path = tmp_path / "x.mp3"
    with soundfile.SoundFile(
        path, "w", 22050, 1, "MPEG_LAYER_III", format="MP3", bitrate_mode="CONSTANT", compression_level=0.6
    ) as file:
        file.title = "a title that is longer than the tags at the end of a file may be"
        file.write(samples)
    assert len(read(path).samples) >= len(samples)
