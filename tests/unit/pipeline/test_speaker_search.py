"""Looking for a speaker among samples, with a judge that hears nothing but how loud the lowest part is."""

import numpy as np
import pytest
from flowtron_voice import RATE, save_flowtron
from small_imitator import save_vocoder, talk

from moksori.cli.main import main
from moksori.errors import AudioError, BadInput, UnsupportedTask
from moksori.pipeline import speaker_search
from moksori.pipeline.say import load
from moksori.pipeline.speaker_search import search_speaker


class Judge:
    """Voices are the shape of their spectrum up to 6 kHz, in 32 bands, whatever rate and level."""

    def embed(self, waveform):
        spectrum = np.abs(np.fft.rfft(waveform.samples)) ** 2
        if not spectrum.any():
            return np.zeros(32, np.float32)
        spectrum = spectrum[: round(6000 * len(waveform.samples) / waveform.sample_rate)]
        bands = np.log([band.sum() + 1e-12 * spectrum.sum() for band in np.array_split(spectrum, 32)])
        shape = bands - bands.mean()
        return (shape / np.linalg.norm(shape)).astype(np.float32)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    home = tmp_path_factory.mktemp("home") / "models"
    save_vocoder(home / "through", overrides=(f"model.mel.sample_rate={RATE}",))
    alone = ("model.num_speakers=1", "model.speaker_table=several", "model.pitch=false", "model.match_spread=0")
    return save_flowtron(home / "alone", overrides=alone), save_flowtron(home / "three")


@pytest.fixture
def voice(folders, monkeypatch):
    monkeypatch.setattr(speaker_search, "build_encoder", lambda name: Judge())
    return load(folders[0], vocoder=folders[0].parent / "through")


def test_the_seed_of_a_sample_is_found_again(voice):
    goal = voice.say("Hello there.", seed=5, variation=0.7, pause=0.0)
    found = search_speaker(voice, [goal], "Hello there.", draws=8)
    assert next(item.seed for item in found.found) == 5
    assert found.found[0].similarity == pytest.approx(1.0, abs=1e-3)
    assert sorted(item.seed for item in found.found) == list(range(8))
    assert found.mean < found.found[0].similarity
    assert found.notes == ()


def test_a_model_with_a_table_says_so(folders, voice):
    three = load(folders[1], vocoder=folders[1].parent / "through")
    assert "Blend speakers" in search_speaker(three, [talk(1.0)], "Hello.", draws=2).notes[0]


def test_bad_input_is_refused(voice, toy_folder):
    clip = talk(1.0)
    for options, message in (
        ({"draws": 1}, "draws 1"),
        ({"draws": True}, "draws True"),
        ({"variation": 0.0}, "all draws would be the same"),
        ({"variation": float("nan")}, "variation nan"),
    ):
        with pytest.raises(BadInput, match=message):
            search_speaker(voice, [clip], "Hello.", **options)
    with pytest.raises(BadInput, match="no recording"):
        search_speaker(voice, [], "Hello.")
    with pytest.raises(AudioError, match="is silent"):
        search_speaker(voice, [(np.zeros(RATE), RATE)], "Hello.")
    with pytest.raises(UnsupportedTask, match="has no style"):
        search_speaker(load(toy_folder), [clip], "Hello.")


def test_the_command_shows_the_best_seeds(folders, voice, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MOKSORI_HOME", str(folders[0].parents[1]))
    voice.say("Hello there.", seed=2, variation=0.7).save(tmp_path / "goal.wav")
    words = ["voice", "search", str(tmp_path / "goal.wav"), "--model", str(folders[0]), "--text", "Hello there."]
    assert main([*words, "--draws", "3", "--keep", "1"]) == 0
    out = capsys.readouterr().out
    assert out.count("similarity") == 1
    assert "3 draws" in out
    assert "--blend seed:" in out
