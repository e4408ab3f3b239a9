"""The tiny presets of the codec and of NaturalSpeech 2, untrained, through everything that a person does with them."""

import numpy as np
import pytest
import soundfile
from small_prompted import save_prompted

import moksori
from moksori.pipeline.score import Score, SungNote


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """$MOKSORI_HOME with both models, and a recording."""
    home = tmp_path_factory.mktemp("home")
    save_prompted(home / "models")
    time = np.arange(3 * 16000) / 16000
    for name, hertz in (("low.wav", 110), ("high.wav", 210)):
        sound = sum(np.sin(2 * np.pi * hertz * k * time) / k for k in range(1, 8)) * (
            np.sin(2 * np.pi * 2.5 * time) > -0.4
        )
        soundfile.write(home / name, 0.2 * sound * (1.2 + np.sin(2 * np.pi * 1.7 * time)), 16000)
    return home


@pytest.fixture
def voice(folders, monkeypatch):
    monkeypatch.setenv("MOKSORI_HOME", str(folders))
    return moksori.load("ns2-tiny")


def test_says_and_streams_the_same(voice, folders) -> None:
    said = voice.say("Hello there. And again.", like=folders / "low.wav", seed=3)
    assert np.isfinite(said.samples).all()
    assert len(said.sentences) == 2
    blocks = list(voice.stream("Hello there. And again.", like=folders / "low.wav", seed=3, chunk_frames=(5, 20)))
    np.testing.assert_allclose(np.concatenate(blocks), said.samples, atol=1e-4)


def test_prompt_seed_and_prosody_change_what_is_said(voice, folders) -> None:
    first, again, other = (voice.say("Hello.", like=folders / "low.wav", seed=s, speed=0.5) for s in (1, 1, 2))
    np.testing.assert_array_equal(first.samples, again.samples)
    assert not np.array_equal(first.samples, other.samples)
    another = voice.say("Hello.", like=folders / "high.wav", seed=1, durations=first.sentences)
    assert len(another.samples) == len(first.samples)
    assert not np.allclose(another.samples, first.samples, atol=1e-4)


def test_sings(voice, folders) -> None:
    score = Score("s", (SungNote(0.0, 0.4, 57, "hel", False), SungNote(0.4, 1.0, 60, "lo", True)))
    sung = voice.sing(score, folders / "high.wav", seed=1)
    assert sung.text == "hello"
    assert len(sung.samples) == len(sung.f0) * 200
    assert sung.f0.max() == pytest.approx(261.6, rel=0.03)


def test_converts_and_cleans(voice, folders) -> None:
    made = voice.convert(folders / "low.wav", like=folders / "high.wav", seed=1)
    assert len(made.samples) == 3 * 16000
    assert np.isfinite(made.samples).all()
    kept = voice.convert(folders / "low.wav", like=folders / "high.wav", seed=1, strength=0.0)
    assert not np.allclose(kept.samples, made.samples, atol=1e-4)


def test_whom_training_heard_first_does_not_choose_the_language(voice) -> None:
    """Nobody of the training speaks where a prompt does: English text in a voice of Dutch sounds was babble."""
    told = {"speakers": ("anna", "ben"), "speaker_languages": {"anna": "nl"}}
    voice.manifest = voice.manifest.model_copy(update=told)
    assert voice.language_of() == "en-us"
    assert voice.language_of("anna") == "nl"
