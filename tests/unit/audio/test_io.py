"""Reading and writing recordings: round trips, bad input, and nothing half-written."""

import os
import resource
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from moksori.audio.io import SUFFIXES, AudioInfo, probe, read, read_metadata, write
from moksori.errors import AudioError
from moksori.types import Waveform

LOSSLESS = (".wav", ".flac")
quick = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def tone(seconds: float = 0.5, sample_rate: int = 22050, hertz: float = 1000.0, gain: float = 0.5) -> Waveform:
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    return Waveform((gain * np.sin(2 * np.pi * hertz * time)).astype(np.float32), sample_rate)


def main_frequency(waveform: Waveform) -> float:
    spectrum = np.abs(np.fft.rfft(waveform.samples * np.hanning(len(waveform.samples))))
    return float(np.argmax(spectrum) * waveform.sample_rate / len(waveform.samples))


@contextmanager
def one_line_error(*expected: str) -> Iterator[None]:
    """An AudioError of one line with all of these words."""
    with pytest.raises(AudioError) as caught:
        yield
    message = str(caught.value)
    assert "\n" not in message
    for words in expected:
        assert words in message


# Round trips


@pytest.mark.parametrize("suffix", LOSSLESS)
@given(
    samples=arrays(np.int16, st.integers(1, 3000), elements=st.integers(-32768, 32767)),
    sample_rate=st.sampled_from([8000, 11025, 16000, 22050, 24000, 44100, 48000, 96000]),
)
@quick
def test_16_bits_come_back_to_the_bit(suffix: str, samples: np.ndarray, sample_rate: int, tmp_path: Path) -> None:
    waveform = Waveform(samples.astype(np.float32) / 32768.0, sample_rate)
    write(tmp_path / f"a{suffix}", waveform)
    back = read(tmp_path / f"a{suffix}")
    assert back.sample_rate == sample_rate
    assert back.samples.dtype == np.float32
    assert np.array_equal(back.samples, waveform.samples)


@given(samples=arrays(np.float32, st.integers(1, 2000), elements=st.floats(-10, 10, width=32)))
@quick
def test_any_samples_come_back_clipped_and_rounded(samples: np.ndarray, tmp_path: Path) -> None:
    write(tmp_path / "a.wav", Waveform(samples, 16000))
    back = read(tmp_path / "a.wav").samples
    assert np.abs(back - np.clip(samples, -1.0, 32767 / 32768)).max() <= 0.5 / 32768 + 1e-7


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("sample_rate", [8000, 11025, 16000, 22050, 24000, 44100, 48000, 96000])
def test_every_format_takes_every_rate(suffix: str, sample_rate: int, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    write(path, tone(sample_rate=sample_rate))
    own = read(path)
    assert own.sample_rate == probe(path).sample_rate
    assert abs(own.duration_seconds - 0.5) < 0.002
    assert abs(main_frequency(own) - 1000) < 4
    assert np.abs(own.samples[1000:-1000]).max() == pytest.approx(0.5, abs=0.08)
    assert read(path, 16000).sample_rate == 16000
    assert abs(main_frequency(read(path, 16000)) - 1000) < 4


@pytest.mark.parametrize(("rate", "stored"), [(8000, 8000), (22050, 24000), (44100, 48000), (96000, 48000)])
def test_opus_gets_the_next_higher_rate_it_knows(rate: int, stored: int, tmp_path: Path) -> None:
    write(tmp_path / "a.opus", tone(sample_rate=rate))
    assert probe(tmp_path / "a.opus").sample_rate == stored


def test_suffix_in_capitals(tmp_path: Path) -> None:
    write(tmp_path / "A.WAV", tone())
    assert probe(tmp_path / "A.WAV") == AudioInfo(22050, 11025, 1, 0.5)


def test_names_with_spaces_and_hangul(tmp_path: Path) -> None:
    path = tmp_path / "목소리 ü $x.flac"
    write(path, tone())
    assert len(read(path).samples) == 11025


# Channels, rates, stretches


@pytest.mark.parametrize("channels", [1, 2, 8])
def test_channels_are_averaged(channels: int, tmp_path: Path) -> None:
    samples = 0.1 * np.random.default_rng(channels).standard_normal((5000, channels)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", samples, 44100, subtype="FLOAT")
    assert probe(tmp_path / "a.wav").channels == channels
    assert np.abs(read(tmp_path / "a.wav").samples - samples.mean(axis=1)).max() < 1e-7
    assert len(read(tmp_path / "a.wav", 22050).samples) == 2500


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("start", [0.1, 3.3])
def test_a_stretch_is_cut_from_the_whole(suffix: str, start: float, tmp_path: Path) -> None:
    """3.3 s lies behind the first block; libsndfile's own seeking in mp3 misses the place."""
    path = tmp_path / f"a{suffix}"
    noise = 0.1 * np.random.default_rng(0).standard_normal(4 * 24000)
    write(path, Waveform(noise.astype(np.float32), 24000))
    whole, part = read(path), read(path, start_seconds=start, duration_seconds=0.25)
    first = round(start * 24000)
    assert np.abs(part.samples - whole.samples[first : first + 6000]).max() < 1e-4
    assert len(read(path, start_seconds=start, duration_seconds=99.0).samples) == 4 * 24000 - first


def test_stretches_that_are_not_there(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", tone())
    for start, duration, words in [(0.5, None, "lasts 0.5 s"), (-1.0, None, "positive"), (0.0, 0.0, "positive")]:
        with one_line_error("a.wav", words):
            read(tmp_path / "a.wav", start_seconds=start, duration_seconds=duration)


@pytest.mark.parametrize("sample_rate", [0, -16000])
def test_rates_that_cannot_be(sample_rate: int, tmp_path: Path) -> None:
    write(tmp_path / "a.wav", tone())
    with one_line_error("a.wav", str(sample_rate)):
        read(tmp_path / "a.wav", sample_rate)


def test_one_sample_and_silence_are_recordings(tmp_path: Path) -> None:
    for samples in ([0.5], [0.0] * 100):
        write(tmp_path / "a.flac", Waveform(np.array(samples, np.float32), 22050))
        assert read(tmp_path / "a.flac").samples.tolist() == samples
        assert np.isfinite(read(tmp_path / "a.flac", 8000).samples).all()
        assert len(read(tmp_path / "a.flac", 8000).samples) == max(round(len(samples) * 8000 / 22050), 1)


def test_peaks_over_one_are_scaled_down(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.array([0.0, 2.0, -4.0, 1.0]), 22050, subtype="FLOAT")
    assert read(tmp_path / "a.wav").samples.tolist() == [0.0, 0.5, -1.0, 0.25]


# Length


def test_three_hours_are_refused_before_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "long.flac"
    with soundfile.SoundFile(path, "w", 8000, 1, "PCM_16") as file:
        for _ in range(180):
            file.write(np.zeros(60 * 8000, np.int16))
    assert probe(path).duration_seconds == 3 * 3600

    def decode(*_: object, **__: object) -> None:
        raise AssertionError("decoded")

    with monkeypatch.context() as patched:
        patched.setattr(soundfile.SoundFile, "read", decode)
        remedy = r"long\.flac: lasts 10800 s, more than the limit of 3600 s; cut it into shorter files$"
        with pytest.raises(AudioError, match=remedy):
            read(path)
    assert read(path, start_seconds=10000.0, duration_seconds=1.0).duration_seconds == 1
    assert read(path, 1000, maximum_seconds=None).duration_seconds == 3 * 3600


def test_memory_does_not_grow_with_the_channels(tmp_path: Path) -> None:
    path = tmp_path / "wide.wav"
    soundfile.write(path, np.zeros((48000 * 60, 8), np.int16), 48000)
    tracemalloc.start()
    waveform = read(path, 16000)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert waveform.samples.nbytes == 60 * 16000 * 4
    assert most < 4 * waveform.samples.nbytes  # decoded at once it would be 24 times


# Bad input


def garble(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + np.random.default_rng(0).bytes(400) + data[middle + 400 :]


@pytest.mark.parametrize("damage", [garble, lambda data: data[: len(data) // 2], lambda data: data[:50]])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_damaged_files(suffix: str, damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    if suffix == ".wav" and damage is garble:
        pytest.skip("a wav has no check sum")
    path = tmp_path / f"a{suffix}"
    write(path, tone(2.0))
    path.write_bytes(damage(path.read_bytes()))
    with one_line_error(f"a{suffix}"):
        read(path)


def test_a_wav_from_a_pipe_does_not_know_its_length(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    write(path, tone())
    data = bytearray(path.read_bytes())
    place = data.index(b"data") + 4
    data[4:8] = data[place : place + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    assert len(read(path).samples) == 11025


@pytest.mark.parametrize("name", ["text.wav", "text.flac", "text.mp3", "text.ogg", "text.raw", "text"])
def test_text_is_no_recording(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("Author of the danger trail, Philip Steels, etc.\n" * 40)
    for function in (read, probe, read_metadata):
        with one_line_error(name, "is no recording"):
            function(tmp_path / name)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with one_line_error("nowhere.wav", "does not exist"):
        read(tmp_path / "nowhere.wav")
    with one_line_error(tmp_path.name, "is a folder"):
        read(tmp_path)
    with one_line_error("cannot be read", "too long"):
        read(tmp_path / ("x" * 300))
    with one_line_error("is no ordinary file"):
        read(os.devnull)
    (tmp_path / "empty.wav").touch()
    with one_line_error("empty.wav", "0 bytes"):
        read(tmp_path / "empty.wav")
    soundfile.write(tmp_path / "none.wav", np.zeros(0), 22050)
    with one_line_error("none.wav", "0 samples"):
        read(tmp_path / "none.wav")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_files_without_permission(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", tone())
    (tmp_path / "a.wav").chmod(0)
    with one_line_error("a.wav", "permission denied"):
        read(tmp_path / "a.wav")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity(value: float, tmp_path: Path) -> None:
    samples = np.array([0.1, value, 0.1], np.float32)
    soundfile.write(tmp_path / "a.wav", np.stack([samples, np.zeros(3)], axis=1), 22050, subtype="FLOAT")
    with one_line_error("a.wav", "NaN"):
        read(tmp_path / "a.wav")
    with one_line_error("b.wav", "NaN"):
        write(tmp_path / "b.wav", Waveform(samples, 22050))
    assert not (tmp_path / "b.wav").exists()


# Writing


@pytest.mark.parametrize("name", ["a", "a.txt", "a.aac"])
def test_unknown_suffixes(name: str, tmp_path: Path) -> None:
    with one_line_error(name, ".wav, .flac, .ogg, .opus, .mp3"):
        write(tmp_path / name, tone())


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    write(tmp_path / "file.wav", tone())
    (tmp_path / "folder.wav").mkdir()
    for path, words in [
        ("none/a.wav", "create it first"),
        ("file.wav/a.wav", "is a file"),
        ("folder.wav", "is a folder"),
        ("x" * 300 + ".wav", "too long"),
        ("a\0b.wav", "null"),
    ]:
        with one_line_error(words):
            write(tmp_path / path, tone())
    with one_line_error("no samples"):
        write(tmp_path / "empty.wav", Waveform(np.zeros(0, np.float32), 22050))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file.wav", "folder.wav"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_read_only_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with one_line_error("a.wav", "permission denied"):
            write(tmp_path / "a.wav", tone())
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_leaves_the_old_file(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    write(path, tone())
    old, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # no file may grow beyond, as on a full disk
    try:
        with one_line_error(path.name, "cannot be written"):
            write(path, tone(3.0))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == old
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.wav"
    write(path, tone())
    old = path.read_bytes()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", interrupt)
        with pytest.raises(KeyboardInterrupt):
            write(path, tone(3.0))
    assert path.read_bytes() == old
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.wav"]


# Metadata


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_metadata_comes_back(suffix: str, tmp_path: Path) -> None:
    metadata = {
        "title": "Grüße aus 서울",
        "artist": "kathleen",
        "date": "2024",
        "comment": "two\nlines",
        "software": "moksori",
        "license": "CC0",
        "copyright": "none",
        "seed": "17",
        "formula": "a=b",
    }
    write(tmp_path / f"a{suffix}", tone(), metadata)
    assert read_metadata(tmp_path / f"a{suffix}") == metadata
    write(tmp_path / f"b{suffix}", tone(), {"title": ""})
    assert "title" not in read_metadata(tmp_path / f"b{suffix}")
    assert np.array_equal(read(tmp_path / f"a{suffix}").samples, read(tmp_path / f"b{suffix}").samples)


def test_metadata_values_stay_on_their_line(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", tone(), {"seed": "1\nspeaker=2", "title": "a\0b"})
    assert read_metadata(tmp_path / "a.wav") == {"seed": "1 speaker=2", "title": "ab"}
    with one_line_error("my seed"):
        write(tmp_path / "b.wav", tone(), {"my seed": "1"})


@pytest.mark.data
def test_the_recordings_can_be_read(recordings: Path) -> None:
    for pattern in ("*.flac", "*.ogg"):
        for folder in sorted(path for path in recordings.iterdir() if path.is_dir()):
            for path in sorted(folder.rglob(pattern))[:1]:
                waveform = read(path, 16000, duration_seconds=5.0)
                assert abs(waveform.duration_seconds - min(probe(path).duration_seconds, 5.0)) < 0.01
                assert 0.001 < np.abs(waveform.samples).max() <= 1.0
