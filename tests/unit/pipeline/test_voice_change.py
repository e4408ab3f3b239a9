"""Two who speak in one recording are noticed, one who goes on is not."""

import numpy as np
import pytest
from small_prompted import save_prompted

from moksori.audio.io import read
from moksori.models.checkpoint import load_model
from moksori.pipeline.prompts import enroll_prompt
from moksori.pipeline.voice_change import LEAST_SECONDS, voice_change
from moksori.types import Waveform

RATE = 16000


def speaker(seconds, pitch, formants, seed):
    """Syllables of random vowels: harmonics under two moving resonances around the speaker's own."""
    draw, found = np.random.default_rng(seed), []
    for _ in range(round(seconds / 0.2)):
        time = np.arange(round(0.2 * RATE)) / RATE
        first, second = (f * draw.uniform(0.75, 1.35) for f in formants)
        height = pitch * draw.uniform(0.9, 1.1)
        sound = np.zeros(len(time))
        for k in range(1, int(7000 / height)):
            hertz = k * height
            gain = sum(1.0 / (1.0 + ((hertz - f) / 120.0) ** 2) for f in (first, second)) + 0.03 / k
            sound += gain * np.sin(2 * np.pi * hertz * time + k)
        found.append(sound * np.hanning(len(time)) + draw.normal(0, 1e-3, len(time)))
    samples = np.concatenate(found)
    return (0.3 * samples / np.abs(samples).max()).astype(np.float32)


ONE, OTHER = ((115.0, (450.0, 1200.0)), (210.0, (750.0, 2300.0)))


@pytest.mark.parametrize("seed", range(3))
def test_where_another_goes_on_is_told(seed):
    both = np.concatenate([speaker(4.0, *ONE, seed), speaker(4.0, *OTHER, seed + 10)])
    assert voice_change(Waveform(both, RATE)) == pytest.approx(4.0, abs=0.3)
    alone = np.concatenate([speaker(4.0, *ONE, seed), speaker(4.0, *ONE, seed + 10)])
    assert voice_change(Waveform(alone, RATE)) is None


def test_level_and_rate_make_no_difference():
    both = np.concatenate([speaker(4.0, *ONE, 1), speaker(4.0, *OTHER, 2)])
    assert voice_change(Waveform(0.1 * both, RATE)) == pytest.approx(4.0, abs=0.3)
    louder = np.concatenate([speaker(4.0, *ONE, 1), 0.25 * speaker(4.0, *ONE, 2)])
    assert voice_change(Waveform(louder, RATE)) is None
    twice = Waveform(np.repeat(both, 2), 2 * RATE)
    assert voice_change(twice) == pytest.approx(4.0, abs=0.3)


def test_what_is_too_short_or_silent_is_not_judged():
    both = np.concatenate([speaker(1.4, *ONE, 1), speaker(1.4, *OTHER, 2)])
    assert len(both) / RATE < LEAST_SECONDS
    assert voice_change(Waveform(both, RATE)) is None
    assert voice_change(Waveform(np.zeros(5 * RATE, np.float32), RATE)) is None


def test_it_is_told_of_a_prompt(tmp_path, monkeypatch):
    monkeypatch.setenv("MOKSORI_HOME", str(tmp_path))
    model = load_model(save_prompted(tmp_path / "models"))
    both = np.concatenate([speaker(4.0, *ONE, 1), speaker(4.0, *OTHER, 2)])
    told = [note for note in enroll_prompt(model, [(both, RATE)]).notes if "the voice changes" in note]
    assert len(told) == 1
    assert 3.5 < float(told[0].split("after ")[1].split(" s of")[0]) < 4.5
    alone = enroll_prompt(model, [(speaker(6.0, *ONE, 1), RATE)])
    assert not any("the voice changes" in note for note in alone.notes)


@pytest.mark.data
def test_real_people(recordings):
    folder = recordings / "vctk-mini"
    if not folder.is_dir():
        pytest.skip(f"no recordings: {folder} is no folder")
    found = {name: sorted(p for p in folder.rglob(f"{name}*") if p.suffix in (".wav", ".flac")) for name in
             ("p225", "p226")}  # fmt: skip
    sounds = {name: np.concatenate([read(p).samples for p in paths[2:5]]) for name, paths in found.items()}
    rate = read(found["p225"][2]).sample_rate
    first, second = (sounds[name][: 6 * rate] for name in ("p225", "p226"))
    assert voice_change(Waveform(np.concatenate([first, second]), rate)) == pytest.approx(6.0, abs=1.0)
    assert voice_change(read(found["p225"][3])) is None
