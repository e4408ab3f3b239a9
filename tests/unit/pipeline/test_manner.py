"""Styles, blends and prosody of a tiny Flowtron: what is asked for, what it comes to, and what is refused."""

import numpy as np
import pytest
import torch
from flowtron_voice import RATE, save_flowtron
from small_imitator import save_vocoder, talk

from moksori.errors import AudioError, BadInput, MoksoriError, TextError, UnknownName, UnsupportedTask
from moksori.pipeline import clips
from moksori.pipeline.clips import StyleClip, found_text
from moksori.pipeline.manner import Manner, parse_blend, parse_components, parse_part, parse_ramp, parse_shift
from moksori.pipeline.say import load, readings, speak_to_file
from moksori.pipeline.styles import choose, has_styles, style_of
from moksori.pipeline.voices import check_voice, mixed, read_voice, write_voice

SAID = "Hello there, how are you?"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_flowtron(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def voice(folder):
    return load(folder, vocoder=save_vocoder(folder.parent / "through", overrides=(f"model.mel.sample_rate={RATE}",)))


@pytest.fixture(scope="module")
def clip():
    return StyleClip(talk(2.0, RATE), SAID)


def test_styles_change_what_is_said_and_strength_0_does_not(voice, clip):
    plain = voice.say("How are you?", seed=1)
    styled = voice.say("How are you?", seed=1, style=clip, strength=0.9)
    none = voice.say("How are you?", seed=1, style=clip, strength=0.0)
    assert np.array_equal(none.samples, plain.samples)
    assert not np.array_equal(styled.samples[: len(plain.samples)], plain.samples[: len(styled.samples)])
    again = voice.say("How are you?", seed=1, style=[clip], strength=(0.9, 0.9))
    assert np.array_equal(again.samples, styled.samples)
    streamed = np.concatenate(list(voice.stream("How are you?", seed=1, style=clip, strength=0.9)))
    assert np.allclose(streamed, styled.samples, atol=1e-6)


def test_a_style_is_kept_in_a_file_and_means_the_same(voice, clip, tmp_path):
    style = voice.style([clip, clip], name="calm")
    path = write_voice(style, tmp_path / "calm.voice")
    kept = read_voice(path)
    assert (kept.kind, kept.name, kept.sources) == ("style", "calm", ("recording", "recording"))
    assert torch.equal(kept.vector, style.vector)
    from_clip = choose(voice, Manner((clip, clip))).choice
    from_file = choose(voice, Manner((str(path),))).choice
    assert torch.allclose(from_file.styles[0].mean, from_clip.styles[0].mean, atol=1e-6)
    other, _ = style_of(voice, [StyleClip(talk(1.5, RATE, 220.0), SAID)], "time_and_batch")
    assert (style.vector.shape[1] > 50, other.vector.shape[1]) == (True, 1)
    assert torch.allclose(mixed([style, kept], [1.0, 3.0]).vector, style.vector, atol=1e-6)
    with pytest.raises(BadInput, match="differ in shape"):
        mixed([style, other])
    with pytest.raises(BadInput, match="is a style"):
        check_voice(kept, voice.loaded)


def test_styles_are_of_one_model(voice, clip, tmp_path):
    path = write_voice(voice.style(clip), tmp_path / "x.voice")
    stranger = load(save_flowtron(tmp_path / "stranger", seed=5), vocoder=voice.model.vocoder.loaded.folder)
    with pytest.raises(BadInput, match="was made by the model"):
        stranger.say("Hello.", style=path)


def test_parts_and_places_of_clips(voice, clip):
    sound = clip.audio
    by_words = choose(voice, Manner((StyleClip(sound, SAID, "How are", (0.0, 0.5)),), "segment")).choice.styles
    assert (by_words[0].start, by_words[0].stop, by_words[0].mean.shape[1]) == (0.0, 0.5, 1)
    by_time = choose(voice, Manner((StyleClip(sound, SAID, (0.5, 0.9)),), "segment")).choice.styles
    whole = choose(voice, Manner((clip,), "time_and_batch")).choice.styles
    assert not torch.allclose(by_time[0].mean, whole[0].mean)
    for part, message in (("never said", "not in its text"), ((7.0, 8.0), "nothing is heard")):
        with pytest.raises(BadInput, match=message):
            choose(voice, Manner((StyleClip(sound, SAID, part),), "segment"))


def test_blends_of_speakers_seeds_and_styles(voice, clip, tmp_path):
    ann = voice.say("How are you?", seed=1, speaker="ann")
    assert np.array_equal(voice.say("How are you?", seed=1, blend={"ann": 1.0}).samples, ann.samples)
    both = voice.say("How are you?", seed=1, blend="ann=0.5,bob=0.5")
    assert not np.array_equal(both.samples, ann.samples)
    three = voice.say("How are you?", seed=8, blend="seed:3=1")
    assert np.array_equal(three.samples, voice.say("How are you?", seed=3).samples)
    assert np.array_equal(three.samples, voice.say("How are you?", seed=9, blend="seed:3=1").samples)
    path = str(write_voice(voice.style(clip), tmp_path / "x.voice"))
    styled = voice.say("How are you?", seed=1, blend={path: 1.0}, strength=0.9)
    assert np.array_equal(styled.samples, voice.say("How are you?", seed=1, style=path, strength=0.9).samples)


def test_components_of_a_mixture_are_chosen_shifted_and_read_off_recordings(voice, clip, tmp_path):
    mixture = ("model.prior={kind: mixture, num_components: 3, channels: 8}",)
    folder = save_flowtron(tmp_path / "mixture", overrides=mixture)
    several = load(folder, vocoder=voice.model.vocoder.loaded.folder)

    def said(**manner):
        return several.say("How are you?", seed=1, manner=Manner(**manner)).samples

    plain = said()
    sounds = [plain, said(components=((0, 1.0),)), said(components=((2, 1.0),)), said(shifts=((1, 4, 3.0),))]
    sounds.append(said(components_of=clip.audio))
    assert len({sound.tobytes() for sound in sounds}) == len(sounds)
    shares = choose(several, Manner(components_of=clip.audio)).choice.mixture.weights
    assert [number for number, _ in shares] == [0, 1, 2]
    assert sum(share for _, share in shares) == pytest.approx(1.0)
    for manner, message in (
        ({"components": ((3, 1.0),)}, "has the components 0 to 2"),
        ({"shifts": ((0, 81, 1.0),)}, "the bands 0 to 80"),
        ({"shifts": ((0, 8, 99.0),)}, "component shift 99"),
        ({"components": ((0, 1.0),), "components_of": clip.audio}, "give one of them"),
    ):
        with pytest.raises(BadInput, match=message):
            said(**manner)


def test_a_takes_prosody_in_its_own_voice_is_its_own_mel(voice):
    take = talk(1.5, RATE)
    said = voice.say(SAID, manner=Manner(prosody=take, prosody_speaker="ann"), speaker="ann", pause=0.0)
    _, frames, _, _ = clips.clip_frames(take, voice.model.mel_model)
    mel = frames[:, : voice.model.mel_model.mel_config.n_mels]
    assert len(said.samples) == mel.shape[2] * 256
    copy = voice.model.vocoder.sound([mel], mel.shape[2])
    assert np.allclose(said.samples, np.clip(torch.cat(list(copy), dim=1)[0].numpy(), -1, 1), atol=1e-3)
    other = voice.say(SAID, manner=Manner(prosody=take, prosody_speaker="ann"), speaker="bob", pause=0.0)
    assert len(other.samples) == len(said.samples)
    assert not np.allclose(other.samples, said.samples, atol=1e-3)
    fitting = voice.say(SAID, manner=Manner(prosody=take), speaker="bob", pause=0.0)
    assert len(fitting.samples) == len(said.samples)
    for text, options, message in (
        ("One. Two.", {}, "is that of one sentence"),
        (SAID, {"speed": 1.5}, "decides the speed"),
        ("A " * 200, {}, "give the text that is said"),
    ):
        with pytest.raises(MoksoriError, match=message):
            voice.say(text, manner=Manner(prosody=take), **options)


def test_jobs_with_other_styles_start_anew(voice, clip, tmp_path):
    options = {}
    for strength in (0.3, 0.9):
        chosen = choose(voice, Manner((clip,), strength=strength)).choice
        options[strength] = chosen.digest
    assert options[0.3] != options[0.9]
    with_style = voice.in_manner(voice_options(), Manner((clip,)))
    assert "latent" in with_style.as_json()
    assert "latent" not in voice_options().as_json()
    written = speak_to_file(voice, readings(SAID, "en-us"), tmp_path / "o.wav", options=with_style, seed=1)
    assert written.duration_seconds > 0


def voice_options():
    from moksori.pipeline.say import SayOptions

    return SayOptions()


@pytest.mark.parametrize(
    ("sound", "text", "error", "message"),
    [
        ((np.zeros(RATE), RATE), SAID, AudioError, "is silent"),
        ((np.full(RATE, np.nan), RATE), SAID, AudioError, "NaN"),
        ((np.ones(100) * 0.1, RATE), SAID, AudioError, "too short"),
        ((np.random.default_rng(0).normal(0, 0.1, RATE * 31), RATE), SAID, AudioError, "at most are read at once"),
        (talk(2.0, RATE), "", TextError, "holds no words"),
        (talk(0.5, RATE), SAID * 10, AudioError, "so fast"),
        (talk(20.0, RATE), "Oh.", AudioError, "so slowly"),
        (talk(2.0, RATE), None, BadInput, "give it with --style-text"),
        ((np.zeros(RATE, np.int16), RATE), SAID, AudioError, "divide 16-bit integers"),
        ((np.ones(RATE) * 0.1, -5), SAID, AudioError, "sample rate"),
    ],
)
def test_clips_of_no_use_are_refused(voice, monkeypatch, sound, text, error, message):
    monkeypatch.setattr(clips, "find_spec", lambda name: None)
    with pytest.raises(error, match=message):
        voice.say("Hello.", style=StyleClip(sound, text))


def test_a_text_that_does_not_fit_is_doubted(voice, clip, caplog, monkeypatch):
    voice.say("Hello.", seed=1, style=clip)  # random weights find no text
    assert "its text hardly fits (alignment 0." in caplog.text
    assert "is 'Hello there, how are you?' what is said in it" in caplog.text
    caplog.clear()
    voice.say(SAID, seed=1, manner=Manner(prosody=clip.audio))
    assert "is what is to be said what is said in it" in caplog.text
    caplog.clear()
    monkeypatch.setattr("moksori.pipeline.latent_choice.LEAST_ALIGNMENT", 0.0)
    voice.say("Hello.", seed=1, style=clip)
    assert "hardly fits" not in caplog.text


def test_texts_are_found_beside_clips(tmp_path, monkeypatch):
    clip = tmp_path / "a.wav"
    (tmp_path / "a.lab").write_text("What is\n said. ", encoding="utf-8")
    assert found_text(clip, "a.wav") == "What is said."
    (tmp_path / "a.lab").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(TextError, match="cannot be read as UTF-8"):
        found_text(clip, "a.wav")

    class Whisper:
        def transcribe(self, waveform):
            assert waveform.sample_rate == 16000
            return "Heard by machine."

    monkeypatch.setattr(clips, "find_spec", lambda name: object())
    monkeypatch.setattr(clips, "_recogniser", lambda name: Whisper())
    assert found_text(talk(1.0), "it") == "Heard by machine."


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"strength": 1.5}, BadInput, "strength 1.5: expected a number from 0 to 1"),
        ({"strength": float("nan")}, BadInput, "strength nan"),
        ({"mode": "median"}, BadInput, "style mode 'median'"),
        ({"mode": "segment"}, BadInput, "name one of each"),
        ({"blend": (("ann", -1.0),)}, BadInput, "share of the blend -1.0"),
        ({"blend": (("ann", 0.0),)}, BadInput, "all shares are 0"),
        ({"blend": (("ann", 1.0),), "way": "cubic"}, BadInput, "expected slerp or linear"),
        ({"blend": (("anne", 1.0),)}, UnknownName, "did you mean 'ann'"),
        ({"blend": (("seed:x", 1.0),)}, BadInput, "such as seed:3"),
        ({"blend": (("seed:1", 1.0), ("ann", 1.0))}, BadInput, "blended among themselves"),
        ({"components": ((0, 1.0),)}, UnsupportedTask, "its prior is one Gaussian"),
        ({"prosody": "a.wav", "blend": (("ann", 1.0),)}, BadInput, "is all of it"),
        ({"prosody_speaker": "ann"}, BadInput, "is for a recording"),
    ],
)
def test_manners_out_of_range_are_refused(voice, settings, error, message):
    with pytest.raises(error, match=message):
        choose(voice, Manner(**settings))


@pytest.mark.parametrize("variation", [-0.1, float("nan"), 100])
def test_variations_out_of_range_are_refused(voice, variation):
    with pytest.raises(BadInput, match="variation"):
        voice.say("Hello.", variation=variation)


def test_texts_of_options_are_read():
    assert parse_blend("a=0.3, b=0.7") == (("a", 0.3), ("b", 0.7))
    assert parse_blend("dir=x/a.voice=2") == (("dir=x/a.voice", 2.0),)
    assert parse_components("2") == ((2, 1.0),)
    assert parse_components("0=1,3=2") == ((0, 1.0), (3, 2.0))
    assert parse_shift("2:10:-1.5") == (2, 10, -1.5)
    assert parse_part("0.5-1.2") == (0.5, 1.2)
    assert parse_part("well-known words") == "well-known words"
    assert parse_ramp("0-0.9") == (0.0, 0.9)
    for read, text in (
        (parse_blend, "a"), (parse_blend, "a=b"), (parse_blend, "a=1,a=2"), (parse_components, "x"),
        (parse_shift, "1:2"), (parse_part, "2-1"), (parse_ramp, "up"),
    ):  # fmt: skip
        with pytest.raises(BadInput):
            read(text)


def test_models_without_latents_say_so(toy_folder, folder):
    assert has_styles(folder)
    assert not has_styles(toy_folder)
    toy = load(toy_folder)
    with pytest.raises(UnsupportedTask, match="has no style to choose"):
        toy.say("Hello.", blend="ann=1")
    with pytest.raises(BadInput, match="give clips with it"):
        toy.say("Hello.", strength=0.5)
