"""Audiobook files: sound, chapters, tags and cover that another reader finds again."""

import struct
import zlib

import numpy as np
import pytest

from moksori.audio import m4b
from moksori.errors import AudioError, MissingExtra

RATE = 16000


def tone(seconds: float) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * 220.0 * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def png() -> bytes:
    """A picture of one grey pixel."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0\x80")) + chunk(b"IEND", b"")
    )


@pytest.fixture
def av():
    return pytest.importorskip("av", reason="m4b files need the package av: pip install 'moksori[book]'")


def test_what_is_written_is_found_again(av, tmp_path):
    sound = tone(2.5)
    chapters = [m4b.Chapter("One", 0, RATE), m4b.Chapter("제2장", RATE, len(sound))]
    tags = {"title": "A Book", "artist": "Ann", "synthetic": "true", "seed": "7"}
    m4b.write_m4b(tmp_path / "a.m4b", iter(np.array_split(sound, 7)), RATE, chapters, tags, png())
    found = m4b.open_mp4(tmp_path / "a.m4b")
    assert found.sample_rate == RATE
    assert found.seconds == pytest.approx(2.5, abs=0.1)
    assert [(title, round(start, 2)) for title, start, _ in found.chapters] == [("One", 0.0), ("제2장", 1.0)]
    assert {name: found.tags[name] for name in tags} == tags
    heard = np.concatenate(list(found.blocks))
    middle = heard[RATE : RATE + 4000]
    assert np.abs(np.fft.rfft(middle)).argmax() == pytest.approx(220.0 * 4000 / RATE, abs=1)
    assert np.abs(middle).max() == pytest.approx(0.3, abs=0.05)
    with av.open(str(tmp_path / "a.m4b")) as file:
        pictures = [stream for stream in file.streams.video if stream.disposition & av.stream.Disposition.attached_pic]
    assert len(pictures) == 1
    assert (tmp_path / "a.m4b").read_bytes()[4:12] == b"ftypM4B "


def test_what_cannot_be_is_told(av, tmp_path):
    with pytest.raises(AudioError, match="17000 Hz"):
        m4b.write_m4b(tmp_path / "a.m4b", [tone(0.1)], 17000, [])
    with pytest.raises(AudioError, match="cover"):
        m4b.check_cover(b"no picture at all")
    (tmp_path / "b.m4b").write_bytes(b"no sound" * 100)
    with pytest.raises(AudioError, match=r"b\.m4b"):
        m4b.open_mp4(tmp_path / "b.m4b")
    with pytest.raises(AudioError, match="does not exist"):
        m4b.open_mp4(tmp_path / "c.m4b")


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(MissingExtra, match=r"moksori\[book\]"):
        m4b.encoder()
