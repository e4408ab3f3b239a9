"""Speaking in memory: the controls, the seeds, the timings, and what is refused."""

import logging
import math

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from moksori.errors import BadInput, CheckpointError, MoksoriError, TextError, UnknownName, UnsupportedTask
from moksori.pipeline import say
from moksori.pipeline.seeds import sentence_generator
from moksori.pipeline.speaker import Sentence, sentences

TEXT = "Hello there. How are you, my friend?\n\nA new paragraph."


@pytest.fixture
def voice(toy_folder):
    return say.load(toy_folder)


def test_same_seed_same_samples_and_another_seed_others(voice):
    first, again, other = (voice.say(TEXT, seed=seed) for seed in (7, 7, 8))
    assert np.array_equal(first.samples, again.samples)
    assert first.samples.dtype == np.float32
    assert not np.array_equal(first.samples, other.samples)
    drawn = voice.say(TEXT)
    assert np.array_equal(drawn.samples, voice.say(TEXT, seed=drawn.seed).samples)


def test_variation_0_is_the_same_sound_for_every_seed(voice):
    assert np.array_equal(voice.say(TEXT, seed=1, variation=0).samples, voice.say(TEXT, seed=2, variation=0).samples)


def test_a_sentence_depends_on_its_number_and_seed_alone(voice):
    long = voice.say("One thing. Another thing.", seed=5, pause=0)
    pieces = list(voice.pieces([Sentence("Another thing.")], say.SayOptions(pause_seconds=0), 5, first=1))
    assert np.array_equal(long.samples[-len(pieces[0].samples) :], pieces[0].samples)


def test_each_speaker_has_a_language(toy_family, tmp_path):
    """Where none is asked for, numbers are read in the speaker's own."""
    folder = toy_family.save_toy(tmp_path / "two", speakers=("ann", "bob"), speaker_languages={"bob": "de"})
    voice = say.load(folder)
    assert (voice.language_of(), voice.language_of("ann"), voice.language_of("bob")) == ("en-us", "en-us", "de")
    said = {
        (speaker, language): voice.say("12", seed=1, speaker=speaker, language=language).samples
        for speaker in ("ann", "bob")
        for language in (None, "en-us", "de")
    }
    assert np.array_equal(said["ann", None], said["ann", "en-us"])
    assert np.array_equal(said["bob", None], said["bob", "de"])
    assert not np.array_equal(said["bob", None], said["bob", "en-us"])


def test_sentence_generators_differ_by_seed_and_index():
    draws = {float(torch.rand((), generator=sentence_generator(s, k))) for s in range(20) for k in range(20)}
    assert len(draws) == 400


def test_words_are_timed_where_they_sound(voice):
    speech = voice.say(TEXT, seed=1, pause=0.3)
    assert [w.text for w in speech.timings] == [
        "Hello",
        "there",
        "How",
        "are",
        "you",
        "my",
        "friend",
        "A",
        "new",
        "paragraph",
    ]
    starts = [w.start_seconds for w in speech.timings]
    assert starts == sorted(starts)
    assert all(w.end_seconds > w.start_seconds for w in speech.timings)
    assert speech.timings[-1].end_seconds < speech.duration_seconds
    for word in speech.timings:  # no word lies in a pause
        sound = speech.samples[round(word.start_seconds * 8000) : round(word.end_seconds * 8000)]
        assert np.abs(sound).max() > 0.1


def test_pauses_between_sentences_and_longer_ones_between_paragraphs(voice):
    speech = voice.say(TEXT, seed=1, pause=0.4)
    silent = np.concatenate([[0], (speech.samples == 0).astype(int), [0]])
    edges = np.flatnonzero(np.diff(silent)).reshape(-1, 2)
    lengths = [(end - start) / 8000 for start, end in edges if end - start > 80]
    assert lengths == pytest.approx([0.2, 0.4, 1.0, 0.2], abs=0.01)
    assert len(voice.say(TEXT, seed=1, pause=0).samples) == len(speech.samples) - round(1.8 * 8000)


def test_speed_speaker_and_volume(voice):
    plain = voice.say("Good morning.", seed=1, pause=0)
    assert len(voice.say("Good morning.", seed=1, pause=0, speed=2).samples) == len(plain.samples) / 2
    assert not np.array_equal(voice.say("Good morning.", seed=1, pause=0, speaker="bob").samples, plain.samples)
    assert np.array_equal(voice.say("Good morning.", seed=1, pause=0, speaker="ann").samples, plain.samples)
    quiet = voice.say("Good morning.", seed=1, pause=0, volume=-20)
    np.testing.assert_allclose(quiet.samples, plain.samples * 0.1, rtol=1e-5)
    assert np.abs(voice.say("Good morning.", seed=1, volume=30).samples).max() == 1.0


def test_a_lexicon_changes_what_is_said(voice):
    plain = voice.say("Moksori speaks.", seed=1)
    told = voice.say("Moksori speaks.", seed=1, lexicon={"moksori": "mˈoʊk"})
    assert told.duration_seconds < plain.duration_seconds


@pytest.mark.parametrize("text", ["A", "I.", "5", "no", "Hm"])
def test_very_short_texts(voice, text):
    speech = voice.say(text, seed=1)
    assert speech.duration_seconds > 0.25
    assert len(speech.timings) >= 1


@pytest.mark.parametrize("text", ["", " ", "\n\t \n", "🎉", "😀 🎈\n🚀", "...", "***", "-- ?!", "\u200b\ufeff", "\0"])
def test_texts_without_words_are_refused_on_one_line(voice, text):
    with pytest.raises(TextError, match="nothing to say") as caught:
        voice.say(text)
    assert "\n" not in str(caught.value)


def test_sentences_without_words_are_left_out_of_a_text(voice):
    speech = voice.say("First.\n\n***\n\n🎉\n\nSecond.", seed=1)
    assert [word.text for word in speech.timings] == ["First", "Second"]


def test_ten_megabytes_are_refused_in_memory_with_the_way_out(voice):
    with pytest.raises(TextError, match=r"10,000,000 characters.*--file"):
        voice.say("word " * 2_000_000)


def test_ten_megabytes_are_split_as_a_stream():
    first = next(sentences("A short sentence. " * 600_000))
    assert first.text == "A short sentence."


BAD_VALUES = [
    ({"speed": 0}, "speed 0: expected a number from 0.1 to 10"),
    ({"speed": math.nan}, "speed nan"),
    ({"speed": "fast"}, "speed 'fast'"),
    ({"variation": -1}, "variation -1"),
    ({"pause": math.inf}, "pause inf"),
    ({"volume": 1000}, "volume 1000"),
    ({"seed": -1}, "seed -1: expected a whole number"),
    ({"seed": 1.5}, r"seed 1\.5"),
    ({"seed": 2**70}, "seed 1180591620717411303424"),
    ({"speaker": "anne"}, "unknown speaker 'anne': did you mean 'ann'"),
    ({"language": "en-uz"}, "unknown language 'en-uz'.*'en-us'"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD_VALUES)
def test_bad_values_are_named(voice, arguments, message):
    with pytest.raises(BadInput, match=message):
        voice.say("Hello.", **arguments)


def test_bytes_are_no_text(voice):
    with pytest.raises(TextError, match="expected a string, found bytes"):
        voice.say(b"hello")


def test_a_model_without_a_voice_names_the_families_that_speak(toy_family, tmp_path):
    with pytest.raises(UnsupportedTask, match=r"'mute' model cannot speak: use one of .*toy"):
        say.load(toy_family.save_toy(tmp_path / "mute", family="mute"))


def test_two_different_text_settings_are_refused(voice):
    from types import SimpleNamespace

    voice.loaded.model.config = SimpleNamespace(text=voice.manifest.text.model_copy(update={"blanks": True}))
    with pytest.raises(CheckpointError, match=r"text and model\.text differ"):
        say.Speaker(voice.loaded)


def test_a_model_that_makes_nan_is_reported(voice):
    with torch.no_grad():
        voice.loaded.model.embedding.weight.fill_(float("nan"))
    with pytest.raises(MoksoriError, match=r"toy: made NaN or infinity of 'Hello\.'"):
        voice.say("Hello.")


def test_unknown_symbols_are_a_warning_told_once(toy_family, tmp_path, caplog):
    text = toy_family.TextConfig(symbols=tuple("_ ^$.") + tuple("abdefɡhijklmnoprstuvwəɹŋʃʊ"), language="en-us")
    model = toy_family.ToyConfig(vocabulary=len(text.symbols)).model_dump()
    voice = say.load(toy_family.save_toy(tmp_path / "small", text=text, model=model))
    with caplog.at_level(logging.WARNING):
        voice.say("The cat. The cat. The cat.")
    messages = [record.getMessage() for record in caplog.records]
    assert any("does not know the symbol" in message for message in messages)
    assert len(messages) == len(set(messages))


def test_save_writes_synthetic_metadata_and_timings(voice, tmp_path):
    import json

    from moksori.audio.io import read, read_metadata

    speech = voice.say("Hello there.", seed=42)
    for suffix in ("wav", "flac", "ogg", "mp3"):
        path = speech.save(tmp_path / f"hello.{suffix}", timings=tmp_path / "hello.json")
        tags = read_metadata(path)
        assert (tags["synthetic"], tags["model"], tags["seed"]) == ("true", "toy", "42")
        assert abs(read(path).duration_seconds - speech.duration_seconds) < 0.1
    timings = json.loads((tmp_path / "hello.json").read_text())
    assert [word["text"] for word in timings["words"]] == ["Hello", "there"]
    assert timings["seed"] == 42
    np.testing.assert_allclose(read(tmp_path / "hello.wav").samples, speech.samples, atol=1e-4)


def test_save_names_bad_paths(voice, tmp_path):
    speech = voice.say("Hello.", seed=1)
    with pytest.raises(MoksoriError, match="names no audio format"):
        speech.save(tmp_path / "hello.doc")
    with pytest.raises(MoksoriError, match="cannot be written: no such file"):
        speech.save(tmp_path / "missing" / "hello.wav")
    assert list(tmp_path.glob("*hello*")) == []


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=120))
@example(text="\ud800 lone surrogate")
@example(text="[[")
@example(text="[[həlˈoʊ]] raw")
@example(text="a" * 2000)
@example(text="1" * 400)
@example(text="مرحبا 你好 नमस्ते")
def test_any_text_is_spoken_or_refused_on_one_line(voice, text):
    try:
        speech = voice.say(text, seed=1)
    except TextError as error:
        assert "\n" not in str(error)  # noqa: PT017 (most texts are spoken)
        return
    assert len(speech.samples) > 0
    assert np.isfinite(speech.samples).all()
    assert np.abs(speech.samples).max() <= 1.0
    starts = [word.start_seconds for word in speech.timings]
    assert starts == sorted(starts)


def test_find_by_name_family_default_and_path(toy_home, toy_folder):
    from moksori.pipeline.models import find_model

    installed = toy_home / "models" / "toy"
    assert find_model() == find_model("toy") == installed
    assert find_model(toy_folder) == find_model(str(toy_folder)) == toy_folder


def test_unknown_voices_name_the_nearest(toy_home, tmp_path):
    with pytest.raises(UnknownName, match="unknown model 'tooy': did you mean 'toy'"):
        say.load("tooy")
    for name in ("", "\0", "x" * 5000, "../../etc/passwd", "some/where", tmp_path / "nothing"):
        with pytest.raises((UnknownName, CheckpointError)) as caught:
            say.load(name)
        assert "\n" not in str(caught.value)


def test_a_voice_in_bfloat16_says_nearly_the_same():
    full, half = say.load("kathleen"), say.load("kathleen", precision="bf16")
    exact, rounded = (voice.say("The sound stays.", seed=3).samples.astype(np.float64) for voice in (full, half))
    error = np.square(exact - rounded).mean()
    assert 0.0 < error < 1e-4 * np.square(exact).mean()


def test_precisions_that_a_voice_lacks(toy_folder):
    with pytest.raises(UnsupportedTask, match="cannot speak in bf16: leave the precision out"):
        say.load(toy_folder, precision="bf16")
    with pytest.raises(BadInput, match="precision 'fp8': expected fp32 or bf16"):
        say.load(toy_folder, precision="fp8")
