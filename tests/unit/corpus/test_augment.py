"""Noise over recordings: how loud, of what, and that the clean recording stays."""

import csv
from pathlib import Path

import numpy as np
import pytest

from moksori.audio.io import write
from moksori.corpus.augment import (
    AugmentationConfig,
    Augmenter,
    Kind,
    Sounds,
    active_power,
    chord,
    coloured_noise,
    in_room,
    mixed,
)
from moksori.errors import ConfigError
from moksori.types import Waveform

RATE = 16000


def speech(seed: int = 0, seconds: float = 1.5) -> np.ndarray:
    """Bursts of noise with pauses between them."""
    draw = np.random.default_rng(seed)
    samples = 0.05 * draw.standard_normal(int(seconds * RATE))
    samples[: int(0.3 * RATE)] *= 1e-3
    samples[-int(0.4 * RATE) :] = 0.0
    return samples.astype(np.float32)


def augmenter(*kinds: Kind, **settings: object) -> Augmenter:
    config = AugmentationConfig(kinds=kinds, gain_db=0.0).model_copy(update=settings)
    return Augmenter(config, [speech(seed) for seed in range(9)], RATE, seed=3)


def test_the_ratio_is_the_one_asked_for() -> None:
    draw = np.random.default_rng(0)
    clean = speech()
    for _ in range(100):
        snr_db = float(draw.uniform(-5.0, 20.0))
        noise = coloured_noise(len(clean), RATE, draw)
        added = mixed(clean, noise, snr_db, RATE).astype(np.float64) - clean
        found = 10.0 * np.log10(active_power(clean, RATE) / np.mean(added**2))
        assert found == pytest.approx(snr_db, abs=0.1)


def test_pauses_do_not_make_speech_seem_quiet() -> None:
    loud = speech()
    assert active_power(loud, RATE) == pytest.approx(0.05**2, rel=0.05)
    assert float(np.mean(loud**2)) < 0.6 * active_power(loud, RATE)


@pytest.mark.parametrize("kind", ["noise", "music", "babble"])
def test_the_clean_recording_is_the_very_one(kind: Kind) -> None:
    clean = speech()
    kept, noisy = augmenter(kind).pair(clean, step=4, place=2)
    assert kept is clean
    assert noisy.dtype == np.float32
    assert noisy.shape == clean.shape
    assert float(np.abs(noisy - clean).max()) > 1e-3
    again = augmenter(kind).pair(clean, step=4, place=2)[1]
    assert np.array_equal(noisy, again)
    assert not np.array_equal(noisy, augmenter(kind).pair(clean, step=5, place=2)[1])


def test_kinds_come_equally_often_and_none_leaves_all_as_it_is() -> None:
    made = augmenter("none", "noise", "music", "babble")
    clean = speech()
    untouched = sum(made.pair(clean, step, 0)[1] is clean for step in range(400))
    assert 70 <= untouched <= 130


def test_gain_is_of_both_and_nothing_clips() -> None:
    made = augmenter("noise", gain_db=12.0)
    loud = (speech() * 18.0).clip(-1.0, 1.0)
    for step in range(20):
        clean, noisy = made.pair(loud, step, 0)
        assert max(np.abs(clean).max(), np.abs(noisy).max()) <= 1.0 + 1e-6
        at = int(np.abs(loud).argmax())
        np.testing.assert_allclose(clean, loud * (clean[at] / loud[at]), rtol=1e-4, atol=1e-7)


def test_a_room_keeps_place_and_power() -> None:
    clean = speech()
    response = np.zeros(4000, np.float32)
    response[700], response[2300] = 1.0, 0.5  # the direct sound is late in the file; an echo after 0.1 s
    heard = in_room(clean, response, RATE)
    assert float(np.mean(heard**2)) == pytest.approx(float(np.mean(clean**2)), rel=1e-3)
    lags = np.correlate(heard, clean[1000:-1000], "valid")
    assert int(lags.argmax()) == 1000


def test_made_up_sounds_are_finite_and_of_the_length() -> None:
    for make in (coloured_noise, chord):
        sound = make(12345, RATE, np.random.default_rng(0))
        assert sound.shape == (12345,)
        assert np.isfinite(sound).all()
        assert np.abs(sound).max() > 0.1


def _write(folder: Path, name: str, seed: int = 0, seconds: float = 0.5) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / name, Waveform(speech(seed, seconds), RATE))


def test_folders_are_read_by_their_layout(tmp_path: Path) -> None:
    for kind in ("noise", "music", "speech"):
        _write(tmp_path / "musan" / kind / "free-sound", f"{kind}.wav")
    musan = Sounds.read(tmp_path / "musan", RATE)
    assert (len(musan.noise), len(musan.music), len(musan.rir)) == (1, 1, 0)

    _write(tmp_path / "plain", "a.wav")
    assert len(Sounds.read(tmp_path / "plain", 8000).noise[0]) == RATE // 4

    for name in ("hum", "song", "hall", "other"):
        _write(tmp_path / "table", f"{name}.flac")
    with (tmp_path / "table" / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, delimiter="|")
        rows.writerows([["id", "speaker", "text", "note"], ["hum", "", "", "noise, CC0"], ["song", "", "", "music: x"]])
        rows.writerows([["hall", "", "", "rir"], ["other", "", "", "speech"]])
    table = Sounds.read(tmp_path / "table", RATE)
    assert (len(table.noise), len(table.music), len(table.rir)) == (1, 1, 1)


def test_what_cannot_be_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no folder"):
        Sounds.read(tmp_path / "nowhere", RATE)
    with pytest.raises(ConfigError, match="holds no sound file"):
        Sounds.read(tmp_path, RATE)
    with pytest.raises(ConfigError, match="needs room responses"):
        augmenter("noise", reverberation=0.5)


@pytest.mark.data
def test_the_recordings_of_the_house_are_all_found(recordings: Path) -> None:
    found = Sounds.read(recordings / "noise-music", RATE)
    assert len(found.noise) >= 10
    assert len(found.music) >= 5
    assert len(found.rir) >= 4


def test_some_sounds_of_the_house_are_kept_for_the_judge(tmp_path: Path) -> None:
    for name in ("noise/sb_noise1.wav", "noise/other.wav", "music/fs_orchestra.wav"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        write(path, Waveform(np.full(1600, 0.1, np.float32), 16000))
    training, judging = Sounds.read(tmp_path, 16000), Sounds.read(tmp_path, 16000, held_out=True)
    assert (len(training.noise), len(training.music)) == (1, 0)
    assert (len(judging.noise), len(judging.music)) == (1, 1)
