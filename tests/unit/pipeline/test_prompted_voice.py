"""Speaking in the voice of a prompt: what prompts become, what is refused and told, and what is said with them."""

import logging

import numpy as np
import pytest
import soundfile
import torch

import moksori
from moksori.errors import AudioError, BadInput, CheckpointError, UnsupportedTask
from moksori.models.checkpoint import fingerprint, load_model
from moksori.pipeline.codecs import find_codec
from moksori.pipeline.consent import CONSENT
from moksori.pipeline.convert import find_imitator
from moksori.pipeline.enrolment import enroll
from moksori.pipeline.prompts import MOST_SECONDS, find_prompted, read_prompt
from moksori.pipeline.say import SayOptions, load, sentences, speak_to_file
from moksori.pipeline.voices import mixed, read_voice, write_voice

RATE = 8000


@pytest.fixture
def sayer(codec_folder, tmp_path):
    """A model folder in $MOKSORI_HOME that speaks in latents of the codec `small`."""
    import small_sayer

    small_sayer.register()
    return small_sayer.save_sayer(tmp_path / "home" / "models" / "sayer", codec_folder)


@pytest.fixture
def talk(tmp_path):
    """Writes something like speech, voiced and unvoiced in turn; returns its path."""

    def write(seconds=4.0, name="talk.wav", rate=RATE, level=0.3, before=0.0):
        time = np.arange(int(seconds * rate)) / rate
        voiced = np.sin(2 * np.pi * 3.0 * time) > -0.3
        draw = np.random.default_rng(0)
        sound = voiced * sum(np.sin(2 * np.pi * 120 * k * time) / k for k in range(1, 9))
        sound = (sound + ~voiced * draw.standard_normal(len(time)) * 0.3) * (1.2 + np.sin(2 * np.pi * 2.3 * time))
        sound = np.concatenate([np.zeros(int(before * rate)), level * sound / np.abs(sound).max()])
        soundfile.write(tmp_path / name, sound, rate)
        return tmp_path / name

    return write


def rms(samples):
    return float(np.sqrt(np.mean(np.square(samples))))


def test_says_a_text_in_the_voice_of_a_prompt(sayer, talk) -> None:
    voice = moksori.load("sayer")
    speech = voice.say("Hello there.", like=talk(), seed=1, pause=0.0)
    assert speech.sample_rate == RATE
    frames = sum(frames for _, frames in speech.sentences[0].tokens)
    assert len(speech.samples) == frames * 20
    assert [word.text for word in speech.timings] == ["Hello", "there"]
    # The level of a prompt is that of all recordings, whatever it was in the file.
    quiet = voice.say("Hello there.", like=talk(level=0.03, name="quiet.wav"), seed=1, pause=0.0)
    assert rms(quiet.samples) == pytest.approx(rms(speech.samples), rel=0.05)


def test_stream_gives_the_samples_of_say(sayer, talk) -> None:
    voice = load("sayer")
    prompt = talk()
    said = voice.say("One two three. Four five.", like=prompt, seed=4, variation=0.5)
    stream = voice.stream("One two three. Four five.", like=prompt, seed=4, variation=0.5, chunk_frames=(7, 20))
    blocks = list(stream)
    assert len(blocks) > 6
    np.testing.assert_allclose(np.concatenate(blocks), said.samples, atol=1e-6)


def test_speed_pitch_and_seed_are_followed(sayer, talk) -> None:
    voice, prompt = load("sayer"), talk()
    plain = voice.say("Hello.", like=prompt, seed=1)
    assert voice.say("Hello.", like=prompt, seed=1, speed=2.0).sentences[0].frames * 2 == plain.sentences[0].frames
    higher = voice.say("Hello.", like=prompt, seed=1, pitch=12.0, pause=0.0)
    spectrum = np.abs(np.fft.rfft(higher.samples))
    assert np.argmax(spectrum) * RATE / len(higher.samples) == pytest.approx(400.0, rel=0.05)
    first, again, other = (voice.say("Hello.", like=prompt, seed=s, variation=1.0).samples for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_prosody_of_a_second_recording(sayer, talk) -> None:
    voice = load("sayer")
    own = voice.say("Hello.", like=talk(), seed=1)
    other = voice.say("Hello.", like=talk(), prosody=talk(name="lively.wav"), seed=1)
    assert other.sentences[0].frames == own.sentences[0].frames * 3 // 2
    with pytest.raises(BadInput, match="nobody to speak"):
        voice.say("Hello.", prosody=talk())


def test_given_durations_are_kept(sayer, talk) -> None:
    voice = load("sayer")
    first = voice.say("Hello.", like=talk(), seed=1)
    edited = first.sentences[0].as_json()
    edited["durations"][1][1] += 10
    second = voice.say("Hello.", like=talk(), seed=1, durations={"sentences": [edited]})
    assert second.sentences[0].frames == first.sentences[0].frames + 10


def test_a_text_into_a_file_goes_on_only_with_the_same_prompt(sayer, talk, tmp_path) -> None:
    voice = load("sayer")
    chosen = voice.in_voice(SayOptions(), talk())
    other = voice.in_voice(SayOptions(), talk(3.0, "other.wav"))
    assert chosen.as_json()["prompt"] != other.as_json()["prompt"]
    written = speak_to_file(voice, sentences("Hello. And again."), tmp_path / "out.wav", options=chosen, seed=1)
    assert written.sentences == 2


@pytest.mark.parametrize(
    ("seconds", "changes", "message"),
    [(0.2, {}, "holds 0.2 s of sound, too little"), (0.05, {}, "too short"), (2.0, {"level": 0.0}, "is silent")],
)
def test_prompts_without_a_voice_are_refused(sayer, talk, seconds, changes, message) -> None:
    with pytest.raises(AudioError, match=message):
        load("sayer").say("Hello.", like=talk(seconds, **changes))


def test_half_a_second_in_long_silence_is_refused(sayer, talk) -> None:
    with pytest.raises(AudioError, match="too little"):
        load("sayer").say("Hello.", like=talk(0.3, before=5.0))


def test_what_is_odd_about_a_prompt_is_told(codec_folder, talk, tmp_path) -> None:
    codec = find_codec("small")
    short = read_prompt([talk(1.0)], codec)
    assert any("only 1" in note for note in short.notes)
    dull = read_prompt([talk(4.0, rate=4000)], codec)
    assert any("4000 Hz" in note for note in dull.notes)
    noise = 0.1 * np.random.default_rng(0).standard_normal(4 * RATE)
    soundfile.write(tmp_path / "noise.wav", noise, RATE)
    assert any("is it speech" in note for note in read_prompt([tmp_path / "noise.wav"], codec).notes)
    clean, _ = soundfile.read(talk())
    soundfile.write(tmp_path / "hot.wav", np.clip(6.0 * clean, -1.0, 1.0), RATE)
    assert any("clipped" in note for note in read_prompt([tmp_path / "hot.wav"], codec).notes)
    assert not any("clipped" in note for note in read_prompt([talk()], codec).notes)


def test_long_prompts_are_cut_where_the_speech_is(codec_folder, talk) -> None:
    codec = find_codec("small")
    found = read_prompt([talk(40.0, before=60.0)], codec)
    assert found.prompt.codes.shape[1] == pytest.approx(MOST_SECONDS * RATE / 20, abs=5)
    assert "lasts 100.0 s, of which the 15.0 s from" in found.notes[0]
    start = float(found.notes[0].split("from ")[1].split(" s")[0])
    assert start >= 60.0


def test_several_recordings_follow_each_other(codec_folder, talk) -> None:
    codec = find_codec("small")
    one, two = read_prompt([talk(2.0)], codec), read_prompt([talk(3.0, "b.wav")], codec)
    both = read_prompt([talk(2.0), talk(3.0, "b.wav")], codec).prompt
    assert torch.equal(both.codes, torch.cat([one.prompt.codes, two.prompt.codes], dim=1))
    assert (both.name, both.sources) == ("talk+b", ("talk.wav", "b.wav"))
    long = read_prompt([talk(20.0), talk(20.0, "b.wav")], codec).prompt
    assert long.codes.shape[1] <= MOST_SECONDS * RATE / 20


def test_a_voice_file_keeps_the_prompt_and_the_consent_note(sayer, talk, tmp_path) -> None:
    loaded = load_model(find_imitator("sayer"))
    made = enroll(loaded, [talk()], "me").voice
    kept = read_voice(write_voice(made, tmp_path / "me.voice"))
    assert (kept.kind, kept.family, kept.name, kept.sources) == ("prompt", "smallsayer", "me", ("talk.wav",))
    assert kept.consent == CONSENT
    voice = load("sayer")
    from_file = voice.say("Hello.", like=tmp_path / "me.voice", seed=1)
    np.testing.assert_array_equal(from_file.samples, voice.say("Hello.", like=talk(), seed=1).samples)
    np.testing.assert_array_equal(from_file.samples, voice.say("Hello.", like=kept, seed=1).samples)
    with pytest.raises(BadInput, match="no mean"):
        mixed([kept, kept])


def test_a_language_that_was_not_learnt_is_told(sayer, talk, caplog) -> None:
    with caplog.at_level(logging.WARNING):
        load("sayer").say("Guten Tag.", like=talk(), language="de")
    assert any("has learnt en-us: what it says in de" in record.message for record in caplog.records)


def test_a_loaded_voice_enrolls_converts_and_cleans(sayer, codec_folder, talk, tmp_path) -> None:
    elsewhere = codec_folder.rename(tmp_path / "elsewhere")
    voice = load("sayer", vocoder=elsewhere)
    made = voice.enroll(talk(), "me")
    assert (made.kind, made.name) == ("prompt", "me")
    assert voice.convert(talk(), like=made).speaker == "me"
    assert len(voice.denoise(talk(), like=made).samples) == 4 * RATE


def test_a_prompt_of_another_codec_is_refused(sayer, codec_family, talk, tmp_path) -> None:
    made = enroll(load_model(sayer), [talk()]).voice
    other = find_codec(codec_family.save_codec(tmp_path / "other", code_count=999))
    with pytest.raises(BadInput, match=r"holds codes of small .* here are other's"):
        read_prompt([made], other)


def test_other_kinds_of_voices_are_refused(sayer, talk) -> None:
    from dataclasses import replace

    made = enroll(load_model(sayer), [talk()]).voice
    with pytest.raises(BadInput, match=r"is a style .* and no prompt"):
        load("sayer").say("Hello.", like=replace(made, kind="style"))


def test_without_a_prompt_nothing_is_said(sayer) -> None:
    with pytest.raises(BadInput, match="--like"):
        load("sayer").say("Hello.")


def test_a_voice_of_its_own_takes_no_prompt(toy_home, talk) -> None:
    with pytest.raises(UnsupportedTask, match="speaks in its own voices"):
        load("toy").say("Hello.", like=talk())
    with pytest.raises(UnsupportedTask, match="speaks in its own voices"):
        find_prompted("toy")


def test_the_only_model_that_imitates_is_found(sayer, codec_folder) -> None:
    assert find_prompted() == sayer
    assert find_prompted("sayer") == sayer


def test_a_missing_codec_is_named(sayer, codec_folder, talk, tmp_path) -> None:
    known = fingerprint(codec_folder)
    codec_folder.rename(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match=f"'small' \\({known}\\)"):
        load("sayer").say("Hello.", like=talk())
    speech = load("sayer", vocoder=tmp_path / "elsewhere").say("Hello.", like=talk())
    assert rms(speech.samples) > 0.01


def test_long_texts_keep_the_prompt(sayer, talk, caplog) -> None:
    with caplog.at_level(logging.WARNING):
        speech = load("sayer").say("Hello. " * 5, like=talk(1.0), seed=1)
    assert len(speech.sentences) == 5
    assert sum("only 1" in record.message for record in caplog.records) == 1
    frames = {sentence.frames for sentence in speech.sentences}
    assert len(frames) == 1
