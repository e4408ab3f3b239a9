"""Recordings that are to be changed: read in blocks, at the model's rate and level, refused with a reason."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from moksori.audio.io import read, write
from moksori.audio.stream import read_blocks
from moksori.errors import AudioError
from moksori.pipeline.recordings import TARGET_POWER, open_recording
from moksori.types import Waveform

RATE = 8000


def talk(seconds: float, rate: int = RATE, level: float = 0.2) -> np.ndarray:
    time = np.arange(round(seconds * rate)) / rate
    return (level * np.sin(2 * np.pi * 170 * time)).astype(np.float32)


def whole(audio, rate: int = RATE) -> np.ndarray:
    return np.concatenate(list(open_recording(audio, rate).sound.blocks()))


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3"])
@pytest.mark.parametrize("rate", [8000, 22050, 48000])
def test_blocks_of_a_file_are_what_reading_it_gives(tmp_path, suffix: str, rate: int) -> None:
    path = tmp_path / f"talk{suffix}"
    write(path, Waveform(talk(9.3, rate), rate))
    expected = read(path, RATE).samples
    blocks = list(read_blocks(path, RATE))
    assert rate == 8000 or len(blocks) > 2
    assert np.array_equal(np.concatenate(blocks), expected)
    opened = open_recording(path, RATE)
    assert (opened.sound.samples, opened.sound.sample_rate) == (len(expected), RATE)
    assert opened.sound.duration_seconds == pytest.approx(len(expected) / RATE)


def test_a_file_an_array_a_pair_and_channels_are_the_same(tmp_path) -> None:
    samples = talk(2.0, 16000)
    soundfile.write(tmp_path / "stereo.wav", np.stack([1.5 * samples, 0.5 * samples], axis=1), 16000, "FLOAT")
    forms = [
        tmp_path / "stereo.wav",
        str(tmp_path / "stereo.wav"),
        Waveform(samples, 16000),
        (samples.astype(np.float64), 16000),
        (np.stack([samples, samples], axis=1), 16000),
    ]
    first, *others = (whole(form) for form in forms)
    for other in others:
        assert np.abs(other - first).max() < 1e-6


def test_the_level_is_that_of_the_corpora_however_loud_it_was() -> None:
    pause = np.zeros(3 * RATE, np.float32)
    for level in (0.003, 0.2, 2.0):
        samples = whole((np.concatenate([pause, talk(2.0, level=level), pause]), RATE))
        spoken = samples[3 * RATE : 5 * RATE]
        assert np.square(spoken).mean() == pytest.approx(TARGET_POWER, rel=0.01)


def test_the_loudest_stretch_is_where_the_speech_is() -> None:
    sound = np.concatenate([1e-3 * talk(3.0), talk(1.0), 1e-3 * talk(2.0)])
    opened = open_recording((sound, RATE), RATE)
    start, stop = opened.scan.loudest_stretch(1.0)
    assert (start, stop) == (3 * RATE, 4 * RATE)
    stretch = opened.stretch(start, stop)
    assert np.array_equal(stretch, whole((sound, RATE))[start:stop])
    short = open_recording((talk(0.34), RATE), RATE)
    assert short.scan.loudest_stretch(4.0)[0] == 0
    assert 0.3 * RATE <= len(short.stretch(*short.scan.loudest_stretch(4.0))) <= 0.34 * RATE


BROKEN = np.array([0.1, np.nan] * RATE, np.float32)


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        ((np.zeros(2 * RATE, np.float32), RATE), "is silent, nothing in it is louder than -70 dB"),
        ((talk(1.0, level=1e-4), RATE), "is silent"),
        ((talk(0.05), RATE), "lasts 0.05 s, too short to hold speech: give at least 0.1 s"),
        ((np.zeros(0, np.float32), RATE), "lasts 0 s, too short"),
        ((np.ones(1, np.float32), RATE), "lasts 0.000125 s, too short"),
        ((BROKEN, RATE), "holds NaN or infinity"),
        ((np.ones(RATE, np.int16), RATE), "found an array of int16 with the shape [8000]: expected floats"),
        ((np.ones((2, 2, 50)), RATE), "with the shape [2, 2, 50]"),
        ((talk(1.0), 0), "the sample rate 0 must be a positive whole number"),
        ((talk(1.0), 22050.5), "the sample rate 22050.5 must be"),
        (talk(1.0), "expected a path, a pair (samples, sample_rate) or a Waveform, found ndarray"),
        (None, "found NoneType"),
    ],
)
def test_what_cannot_be_used_is_told(audio, message: str) -> None:
    with pytest.raises(AudioError, match=r"^recording") as error:
        open_recording(audio, RATE)
    assert message in str(error.value)


def bad_files(folder: Path) -> dict[str, str]:
    """Name of a bad file -> what is said of it."""
    (folder / "empty.wav").touch()
    (folder / "text.wav").write_text("not a sound")
    soundfile.write(folder / "none.wav", np.zeros(0, np.float32), RATE)
    soundfile.write(folder / "one.wav", np.ones(1, np.float32), RATE)
    soundfile.write(folder / "nan.wav", BROKEN, RATE, "FLOAT")
    soundfile.write(folder / "silent.flac", np.zeros(RATE), RATE)
    write(folder / "whole.flac", Waveform(np.random.default_rng(0).normal(0, 0.1, 9 * RATE).astype(np.float32), RATE))
    data = bytearray((folder / "whole.flac").read_bytes())
    data[len(data) // 2 : len(data) // 2 + 400] = bytes(400)
    (folder / "broken.flac").write_bytes(data)
    write(folder / "long.wav", Waveform(talk(2.0), RATE))
    (folder / "cut.wav").write_bytes((folder / "long.wav").read_bytes()[:9000])
    for good in ("whole.flac", "long.wav"):
        (folder / good).unlink()
    return {
        "empty.wav": "is empty (0 bytes)",
        "text.wav": "is no recording that can be read",
        "none.wav": "is empty, its header says 0 samples",
        "one.wav": "too short",
        "nan.wav": "holds NaN or infinity",
        "silent.flac": "is silent",
        "broken.flac": "corrupt",
        "cut.wav": "is cut short",
        "missing.wav": "does not exist",
    }


def test_bad_files_are_told_by_name(tmp_path) -> None:
    for name, message in bad_files(tmp_path).items():
        with pytest.raises(AudioError) as error:
            open_recording(tmp_path / name, RATE)
        assert message in str(error.value), name
        assert name in str(error.value)
