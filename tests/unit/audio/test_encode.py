"""Sound that is encoded while it is made: what arrives is what was sent, in every format."""

import io

import numpy as np
import pytest
import soundfile

from moksori.audio.encode import STREAM_FORMATS, Encoder
from moksori.audio.io import read, read_metadata
from moksori.errors import AudioError

RATE = 22050
TAGS = {"artist": "moksori kathleen", "synthetic": "true", "model": "kathleen", "seed": "7", "title": "Hello there"}


def tone(seconds: float = 1.5) -> np.ndarray:
    return (0.4 * np.sin(2 * np.pi * 330.0 * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def parts(form, samples: np.ndarray, size: int, rate: int | None = None) -> list[bytes]:
    encoder = Encoder(RATE, form, TAGS, rate)
    made = [encoder.push(samples[start : start + size]) for start in range(0, len(samples), size)]
    return [*made, *encoder.finish()]


@pytest.mark.parametrize("form", ["wav", "flac", "mp3", "opus"])
def test_a_file_in_pieces_is_the_sound(form, tmp_path) -> None:
    samples = tone()
    path = tmp_path / f"x.{form}"
    path.write_bytes(b"".join(parts(form, samples, 700)))
    heard = read(path)
    late = 2400 if form == "mp3" else 0  # of the encoder and of the last frame, which is filled up
    assert heard.sample_rate == {"mp3": 24000, "opus": 24000}.get(form, RATE)
    assert 0 <= len(heard.samples) - 1.5 * heard.sample_rate <= late
    spectrum = np.abs(np.fft.rfft(heard.samples[: heard.sample_rate] * np.hanning(heard.sample_rate)))
    assert abs(int(spectrum.argmax()) - 330) <= 1
    tags = read_metadata(path)
    assert tags["synthetic"] == "true"
    assert tags["seed"] == "7"


def test_samples_alone_are_the_sound_bit_for_bit() -> None:
    samples = tone(0.2)
    assert b"".join(parts("pcm", samples, 333)) == np.rint(samples * 32768.0).astype("<i2").tobytes()


@pytest.mark.parametrize("form", ["wav", "mp3", "opus", "pcm"])
def test_bytes_leave_before_the_sound_is_over(form) -> None:
    made = parts(form, tone(4.0), 2000)
    assert sum(map(len, made[: len(made) // 2])) > 0.3 * sum(map(len, made))


def test_a_flac_knows_its_length() -> None:
    samples = tone()
    with soundfile.SoundFile(io.BytesIO(b"".join(parts("flac", samples, 5000)))) as file:
        assert file.frames == len(samples)


@pytest.mark.parametrize("form", STREAM_FORMATS)
def test_another_rate_is_as_long(form, tmp_path) -> None:
    made = b"".join(parts(form, tone(1.0), 4000, 16000))
    if form == "pcm":
        assert len(made) == 2 * 16000
        return
    path = tmp_path / f"x.{form}"
    path.write_bytes(made)
    heard = read(path)
    assert heard.sample_rate == 16000
    assert heard.duration_seconds == pytest.approx(1.0, abs=0.12 if form == "mp3" else 0.001)


def test_what_does_not_exist_is_refused() -> None:
    with pytest.raises(AudioError, match="aac"):
        Encoder(RATE, "aac", {})  # type: ignore[arg-type]
    for rate in (7999, 96000):
        with pytest.raises(AudioError, match="8000 to 48000"):
            Encoder(RATE, "wav", {}, rate)


def test_an_encoder_that_is_left_early_lets_go() -> None:
    for form in STREAM_FORMATS:
        encoder = Encoder(RATE, form, TAGS)
        encoder.push(tone(0.1))
        encoder.close()
        encoder.close()
