"""Pictures: the sound is where the axes say, words are named, files appear whole."""

import io
from pathlib import Path

import numpy as np
import pytest
from matplotlib import image

from moksori.audio.picture import save_curves, save_spectrogram
from moksori.errors import AudioError
from moksori.types import Waveform

RATE = 22050


def tone(seconds: float, hertz: float) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)


def pixels(path: Path) -> np.ndarray:
    assert path.read_bytes().startswith(b"\x89PNG")
    return image.imread(io.BytesIO(path.read_bytes()))[:, :, :3]


def test_low_then_high(tmp_path: Path) -> None:
    samples = np.concatenate([tone(1.0, 1000), tone(1.0, 7000)]).astype(np.float32)
    save_spectrogram(tmp_path / "a.png", Waveform(samples, RATE))
    height, width, _ = pixels(tmp_path / "a.png").shape
    # magma at 0 dB is pale yellow; the colour bar at the right is left out
    bright = pixels(tmp_path / "a.png")[:, : round(0.85 * width)].min(axis=2) > 0.6
    bright &= pixels(tmp_path / "a.png")[:, : round(0.85 * width)][:, :, 2] < 0.85
    rows, columns = np.nonzero(bright)
    early, late = rows[columns < 0.4 * width], rows[columns > 0.55 * width]
    assert len(early) > 50
    assert len(late) > 50
    assert np.median(early) > 0.65 * height
    assert np.median(late) < 0.35 * height


def test_words_are_drawn(tmp_path: Path) -> None:
    waveform = Waveform(tone(2.0, 1000).astype(np.float32), RATE)
    words = [("hello", 0.1, 0.9), ("$world_1$", 1.0, 1.9), ("안녕", 1.9, 5.0), ("none", 3.0, 4.0)]
    save_spectrogram(tmp_path / "plain.png", waveform)
    save_spectrogram(tmp_path / "words.png", waveform, words, title="hello $x")
    assert ink_above(pixels(tmp_path / "plain.png")) < 60  # half a label of the axis
    assert ink_above(pixels(tmp_path / "words.png")) > 300


def ink_above(picture: np.ndarray) -> int:
    """Dark dots above the first row of the spectrogram."""
    dark = picture.min(axis=2) < 0.5
    first = int(np.argmax(dark.mean(axis=1) > 0.5))
    return int(dark[:first].sum())


@pytest.mark.parametrize("samples", [1, 50, 300, 5000])
@pytest.mark.parametrize("value", [0.0, 0.5])
def test_short_and_silent(samples: int, value: float, tmp_path: Path) -> None:
    save_spectrogram(tmp_path / "a.png", Waveform(np.full(samples, value, np.float32), RATE), [("a", 0.0, 1.0)])
    assert pixels(tmp_path / "a.png").shape[0] > 300


def test_bad_input_leaves_no_file(tmp_path: Path) -> None:
    for samples, message in [
        (np.zeros(0), "empty"),
        (np.array([np.nan]), "NaN"),
        (np.zeros(61 * RATE), "at most 60 s"),
    ]:
        with pytest.raises(AudioError, match=message):
            save_spectrogram(tmp_path / "a.png", Waveform(samples.astype(np.float32), RATE))
    with pytest.raises(AudioError, match="create it first"):
        save_spectrogram(tmp_path / "none" / "a.png", Waveform(np.ones(500, np.float32), RATE))
    with pytest.raises(AudioError, match="no curve"):
        save_curves(tmp_path / "a.png", {})
    with pytest.raises(AudioError, match="3 x values and 2 y"):
        save_curves(tmp_path / "a.png", {"loss": ([1, 2, 3], [1, 2])})
    assert list(tmp_path.iterdir()) == []


def test_curves(tmp_path: Path) -> None:
    falling = [1.0 / (step + 1) for step in range(100)]
    save_curves(tmp_path / "line.png", {"loss": (range(100), falling)}, title="a $b")
    gaps = [float("nan"), 0.0, -1.0, float("inf"), *falling[4:]]
    save_curves(tmp_path / "log.png", {"loss": (range(100), falling), "mel_1": (range(100), gaps)}, logarithmic=True)
    line, log = pixels(tmp_path / "line.png"), pixels(tmp_path / "log.png")
    assert line.shape == log.shape
    blue = (line[:, :, 2] > 0.6) & (line[:, :, 0] < 0.3)
    orange = (log[:, :, 0] > 0.8) & (log[:, :, 2] < 0.3)
    assert blue.sum() > 300
    assert orange.sum() > 300
