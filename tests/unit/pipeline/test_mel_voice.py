"""A model that speaks in mels, with its vocoder, is a voice like any other."""

import logging

import numpy as np
import pytest
import torch
from small_imitator import save_vocoder
from toy_voice import ToyMelConfig, save_toy_mel

from moksori.errors import CheckpointError, UnsupportedTask
from moksori.pipeline import evaluate, say
from moksori.pipeline.load import load
from moksori.pipeline.mel_voice import MelVoice, speaks

TEXT = "One small step. Two small steps."


@pytest.fixture
def home(toy_family, tmp_path, monkeypatch):
    """$MOKSORI_HOME with a vocoder and a voice that needs one."""
    models = tmp_path / "home" / "models"
    save_vocoder(models / "through")
    save_toy_mel(models / "melly")
    monkeypatch.setenv("MOKSORI_HOME", str(tmp_path / "home"))
    return models


def test_it_speaks_by_name_and_the_sound_is_as_long_as_its_durations_say(home):
    speech = load("melly").say(TEXT, seed=3, pause=0.0)
    assert speech.sample_rate == 16000
    frames = sum(sentence.frames for sentence in speech.sentences)
    assert len(speech.samples) == 256 * frames
    assert frames == 3 * sum(len(sentence.tokens) for sentence in speech.sentences)
    assert np.abs(speech.samples).max() > 0.001
    assert np.array_equal(load("melly").say(TEXT, seed=3, pause=0.0).samples, speech.samples)
    assert not np.array_equal(load("melly").say(TEXT, seed=4, pause=0.0).samples, speech.samples)


def test_sentences_streams_and_files_agree(home, tmp_path):
    voice = load("melly")
    whole = voice.say(TEXT, seed=3)
    stream = voice.stream(TEXT, seed=3)
    assert np.allclose(np.concatenate(list(stream)), whole.samples, atol=1e-6)
    written = say.speak_to_file(voice, say.readings(TEXT, "en-us"), tmp_path / "o.wav", seed=3)
    assert written.duration_seconds == pytest.approx(whole.duration_seconds)
    assert "vocoder" in voice.identity


def test_speed_pitch_durations_and_their_refusal(home, tmp_path):
    voice = load("melly")
    plain = voice.say("One small step.", seed=3, pause=0.0)
    assert len(voice.say("One small step.", seed=3, pause=0.0, speed=3.0).samples) == len(plain.samples) // 3
    higher = voice.say("One small step.", seed=3, pause=0.0, pitch=4.0)
    assert len(higher.samples) != len(plain.samples)  # more frames, played faster
    kept = voice.say("One small step.", seed=9, pause=0.0, durations=plain.sentences)
    assert kept.sentences[0].tokens == plain.sentences[0].tokens
    save_toy_mel(home / "steady", ToyMelConfig(changes_speed=False))
    for options in ({"speed": 1.2}, {"pitch": -1.0}):
        with pytest.raises(UnsupportedTask, match="leave the speed and the pitch out"):
            load("steady").say("One.", **options)


def test_what_is_missing_is_told(home, caplog, tmp_path):
    save_toy_mel(home / "doubtful", ToyMelConfig(truncated=True, coverage=0.5))
    with caplog.at_level(logging.WARNING):
        speech = load("doubtful").say("One.", seed=1)
    assert "the end never came" in caplog.text
    assert "50 % of the phonemes" in caplog.text
    assert speech.sentences[0].flags.truncated
    assert speech.sentences[0].as_json()["flags"]["coverage"] == 0.5
    packed = speech.sentences[0].packed()
    assert type(speech.sentences[0]).unpacked(packed) == speech.sentences[0]


def test_vocoders_are_found_named_and_refused(home, tmp_path, monkeypatch):
    other = save_vocoder(tmp_path / "other", seed=1)
    one = say.load("melly").say("One.", seed=1)
    two = say.load("melly", vocoder=other).say("One.", seed=1)
    assert not np.array_equal(one.samples, two.samples)
    with pytest.raises(UnsupportedTask, match="takes no vocoder"):
        say.load("kathleen", vocoder=other)
    with pytest.raises(CheckpointError, match="different mels"):
        say.load("melly", vocoder="vocoder-22khz").say("One.")
    for folder in home.iterdir():
        if folder.name == "through":
            (folder / "config.json").unlink()
    monkeypatch.setattr("moksori.pipeline.vocoding.any_vocoder_for", lambda mel: None)
    with pytest.raises(CheckpointError, match="no vocoder here takes them"):
        say.load("melly").say("One.")


def test_it_is_measured_as_a_voice_with_copies_of_recordings(home):
    assert speaks("toymel")
    voice = say.load("melly")
    assert evaluate.tasks_of(voice.loaded) == ["speak"]
    assert isinstance(voice.model, MelVoice)
    copy = voice.model.reconstruct(torch.randn(1, 4096) * 0.1, torch.tensor([0]))
    assert copy.shape == (1, 4096)


def test_the_doctor_tells_of_vocoders_that_are_missing_or_others(home):
    from moksori.models.checkpoint import fingerprint
    from moksori.pipeline.doctor import _vocoders

    save_toy_mel(home / "needing", requires={"through": fingerprint(home / "through")})
    assert "through" in _vocoders().detail
    save_toy_mel(home / "needing", requires={"through": "0" * 16})
    assert _vocoders().state == "bad"
    assert "needing needs 'through' (0000000000000000), here is" in _vocoders().detail
    save_toy_mel(home / "needing", requires={"nowhere": "0" * 16})
    assert "needing needs 'nowhere': unknown" in _vocoders().detail
