"""Durations that are given: back from the timings, edited, of another text; and the mixture of predictors."""

import json
from dataclasses import replace

import numpy as np
import pytest

from moksori.errors import BadInput, TextError, UnsupportedTask
from moksori.pipeline import say
from moksori.pipeline.sentences import sentences
from moksori.types import Spoken

TEXT = "Hello there. How are you?\n\n***\n\nFine."


@pytest.fixture
def voice(toy_folder):
    return say.load(toy_folder)


@pytest.fixture
def content(voice, tmp_path):
    """What --timings wrote for TEXT."""
    return json.loads(voice.say(TEXT, seed=4).save_timings(tmp_path / "t.json").read_text())


def test_unedited_durations_give_the_same_sound(voice, content, tmp_path):
    speech = voice.say(TEXT, seed=4)
    for source in (speech.sentences, content, tmp_path / "t.json", str(tmp_path / "t.json")):
        again = voice.say(TEXT, seed=4, durations=source)
        assert np.array_equal(again.samples, speech.samples)
        assert again.sentences == speech.sentences
    say.speak_to_file(
        voice, sentences(TEXT), tmp_path / "t.wav", seed=4, timings=tmp_path / "again.json",
        options=say.SayOptions(durations=say.Durations.of(content)),
    )  # fmt: skip
    assert json.loads((tmp_path / "again.json").read_text()) == content


def test_edited_durations_are_kept_to_the_frame(voice, content):
    plain = voice.say(TEXT, seed=4)
    symbol, frames = content["sentences"][1]["durations"][2]
    content["sentences"][1]["durations"][2] = [symbol, frames + 25]
    slow = voice.say(TEXT, seed=4, durations=content)
    assert len(slow.samples) == len(plain.samples) + 25 * 32
    assert slow.sentences[1].tokens[2] == (symbol, frames + 25)
    assert slow.sentences[1].frames == plain.sentences[1].frames + 25
    assert slow.sentences[2].start_seconds == pytest.approx(plain.sentences[2].start_seconds + 25 * 32 / 8000)
    assert slow.sentences[0] == plain.sentences[0]


def test_another_text_is_told_where_it_differs(voice, content):
    with pytest.raises(
        TextError,
        match=r"durations of 'How old are you\?': token 3 is 'ˈaʊ', but the text has 'ˌaʊ' there \(after \^ h\)",
    ):
        voice.say(TEXT.replace("How are", "How old are"), durations=content)
    with pytest.raises(TextError, match=r"durations of 'Hello, there\.': token 6 is ' ', but the text has ',' there"):
        voice.say(TEXT.replace("Hello", "Hello,"), durations=content)
    with pytest.raises(TextError, match=r"have none for sentence 5, 'More\.'"):
        voice.say(TEXT + " More.", durations=content)
    with pytest.raises(TextError, match="hold a sentence 4, but the text has 2 that are spoken"):
        voice.say("Hello there. How are you?", durations=content)


def test_nothing_is_spoken_before_durations_fit(voice, content, monkeypatch):
    content["sentences"][2]["durations"].pop()
    monkeypatch.setattr(voice._model, "say", None)  # calling it would be a TypeError
    with pytest.raises(TextError, match=r"durations of 'Fine\.': token \d+ is their end"):
        voice.say(TEXT, durations=content)


BROKEN = [
    (lambda c: c.pop("sentences"), "durations: has no list 'sentences'"),
    (lambda c: c["sentences"][0].pop("durations"), "sentence 1: has no list 'durations'"),
    (lambda c: c["sentences"][0]["durations"].__setitem__(1, ["h", 0]), r"token 2 \('h'\): 0 frames"),
    (lambda c: c["sentences"][0]["durations"].__setitem__(1, ["h", 2.5]), r"token 2 \('h'\): 2.5 frames"),
    (lambda c: c["sentences"][0]["durations"].__setitem__(1, ["h", 10**9]), "expected a whole number from 1 to 10000"),
    (lambda c: c["sentences"][0]["durations"].__setitem__(1, "h"), "token 2: 'h': expected a pair"),
    (lambda c: c["sentences"][1].__setitem__("number", 0), "sentence 2: its number 0: expected 0, 1, 2"),
    (lambda c: c["sentences"][1].__setitem__("frame_seconds", "x"), "frame_seconds 'x'"),
    (lambda c: c["sentences"][0].__setitem__("frame_seconds", 0.01), r"count frames of 0\.01 s, but toy .* 0\.004 s"),
]


@pytest.mark.parametrize(("damage", "message"), BROKEN)
def test_broken_durations_are_named(voice, content, damage, message):
    damage(content)
    with pytest.raises(BadInput, match=message):
        voice.say(TEXT, durations=content)


def test_files_that_hold_no_durations(voice, tmp_path):
    (tmp_path / "bad.json").write_text("{")
    for name, message in (("bad.json", r"bad\.json: no JSON"), ("none.json", r"none\.json: cannot be read")):
        with pytest.raises(BadInput, match=message):
            voice.say(TEXT, durations=tmp_path / name)


@pytest.mark.parametrize("options", [{"speed": 1.5}, {"duration_mix": 0.5}])
def test_durations_and_speed_exclude_each_other(voice, content, options):
    with pytest.raises(BadInput, match="durations are given and decide that"):
        voice.say(TEXT, durations=content, **options)


def test_a_model_that_keeps_to_its_own_durations_says_so(voice, content, monkeypatch):
    spoken = voice._model.say

    def stubborn(text, controls, generator=None) -> Spoken:
        return spoken(replace(text, durations=None), replace(controls, speed=2.0), generator)

    monkeypatch.setattr(voice._model, "say", stubborn)
    with pytest.raises(UnsupportedTask, match="'toy' model takes no durations"):
        voice.say(TEXT, durations=content)


def test_other_durations_start_a_job_anew(voice, content, tmp_path):
    def broken():
        yield from list(sentences(TEXT))[:2]
        raise KeyboardInterrupt

    options = say.SayOptions(durations=say.Durations.of(content))
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            say.speak_to_file(voice, broken(), tmp_path / "t.wav", seed=4, options=options)
    content["sentences"][0]["durations"][1][1] += 1
    edited = say.SayOptions(durations=say.Durations.of(content))
    assert say.speak_to_file(voice, sentences(TEXT), tmp_path / "t.wav", seed=4, options=edited).resumed == 0


def test_pitch_of_a_voice_without_a_source_keeps_its_own_frames(voice):
    voice._model.takes_pitch = False
    higher = voice.say(TEXT, seed=4, pitch=7)
    again = voice.say(TEXT, seed=4, pitch=7, durations=higher.sentences)
    assert np.array_equal(again.samples, higher.samples)
    with pytest.raises(TextError, match="at the pitch, that they were made with"):
        voice.say(TEXT, seed=4, durations=higher.sentences)


def test_a_mixture_needs_two_predictors(voice, monkeypatch):
    with pytest.raises(UnsupportedTask, match="toy: has not both"):
        voice.say(TEXT, duration_mix=0.5)
    with pytest.raises(BadInput, match=r"duration mix 1\.5: expected a number from 0 to 1"):
        voice.say(TEXT, duration_mix=1.5)
    seen, spoken = [], voice._model.say

    def noted(text, controls, generator=None):
        seen.append(controls.duration_mix)
        return spoken(text, controls, generator)

    monkeypatch.setattr(voice._model, "say", noted)
    voice._model.mixes_durations = True
    voice.say("Hello.", duration_mix=0.25)
    voice.say("Hello.")
    assert seen == [0.25, None]
