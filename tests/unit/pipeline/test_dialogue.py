"""Dialogues: how scripts are read, who speaks them, at which rate, when, and what is refused."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import moksori
from moksori.audio.resample import resample
from moksori.errors import BadInput, TextError, UnknownName
from moksori.pipeline import say
from moksori.pipeline.dialogue import Cast, Script, dialogue, parse_cast
from moksori.types import Waveform

SCRIPT = """\
# Two friends at night.
Ann: Did you hear that?
  It came: from outside.
And it was loud.
[pause 1.5]
bob: I did. It was the wind.

ANN: No, it was not.
"""


@pytest.fixture
def high(toy_family, tmp_path) -> Path:
    """A voice at twice the rate of the others."""
    return toy_family.save_toy(tmp_path / "high", sample_rate=16000)


def turns(text: str) -> list[tuple[str, str]]:
    return [(turn.role, turn.text) for turn in Script(text).turns()]


def test_a_script_is_read_line_by_line():
    script = Script(SCRIPT)
    assert [(t.role, t.text, t.line, t.ends_paragraph, t.pause_seconds) for t in script.turns()] == [
        ("Ann", "Did you hear that? It came: from outside. And it was loud.", 2, False, None),
        ("", "", 5, False, 1.5),
        ("bob", "I did. It was the wind.", 6, True, None),
        ("Ann", "No, it was not.", 8, True, None),
    ]
    assert script.roles == {"Ann": 2, "bob": 6}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ann:\n  Hello.\n\nAgain.", [("Ann", "Hello."), ("Ann", "Again.")]),
        ("Ann: At 10:30, see http://x.org.", [("Ann", "At 10:30, see http://x.org.")]),
        ("Ann: One.\n10:30 was late.", [("Ann", "One. 10:30 was late.")]),
        ("Old man: Hm.\r\nÉva : Ja?", [("Old man", "Hm."), ("Éva", "Ja?")]),
        ("\ufeff# only this\ncast: Ann=toy\nAnn: Hi.", [("Ann", "Hi.")]),
        ("Ann: Hi.\n# Bob: Ho.\n[PAUSE 2 s]\nAnn: Ha.", [("Ann", "Hi."), ("", ""), ("Ann", "Ha.")]),
        ("Ann: See [[hˈaɪ]] here.", [("Ann", "See [[hˈaɪ]] here.")]),
    ],
)
def test_forms_of_lines(tmp_path, text, expected):
    path = tmp_path / "script.txt"
    path.write_bytes(text.encode())
    assert [(t.role, t.text) for t in Script(path).turns()] == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Hello there.", "script:1: 'Hello there.': nobody says this"),
        ("# nothing\n\n", "nobody speaks in it"),
        ("Ann: Hi.\n[pause 90]", "script:2: pause 90: at most 60 seconds"),
        ("Ann: Hi.\n[pause 9", "script:2: '[pause 9': expected seconds in brackets, such as [pause 1.5]"),
        ("Ann: Hi.\n[pause]", "script:2: '[pause]': expected seconds in brackets"),
        ("cast: Ann\nAnn: Hi.", "script:1: 'Ann': expected NAME=VOICE"),
    ],
)
def test_scripts_that_cannot_be_read(text, message):
    with pytest.raises(BadInput, match=re.escape(message)):
        Script(text)


def test_what_is_no_script_is_refused():
    with pytest.raises(BadInput, match="script: expected its text or a file's Path, found int"):
        dialogue(5, {})
    with pytest.raises(BadInput, match="found NoneType"):
        Script(None)


def test_script_files_that_cannot_be_read(tmp_path):
    with pytest.raises(TextError, match=r"none\.txt: cannot be read: no such file"):
        Script(tmp_path / "none.txt")
    (tmp_path / "latin.txt").write_bytes(b"Ann: \xe9\xe8.")
    with pytest.raises(TextError, match=r"latin\.txt: no UTF-8 text"):
        Script(tmp_path / "latin.txt")


def test_the_speakers_of_a_model_are_the_default_cast(toy_folder):
    speech = moksori.dialogue(SCRIPT, voice=toy_folder, seed=3)
    assert [(s.speaker, s.text) for s in speech.sentences] == [
        ("Ann", "Did you hear that?"),
        ("Ann", "It came: from outside."),
        ("Ann", "And it was loud."),
        ("bob", "I did."),
        ("bob", "It was the wind."),
        ("Ann", "No, it was not."),
    ]
    voice = say.load(toy_folder)
    for number, name in ((0, "ann"), (4, "bob")):  # sentence 3 is the pause
        sentence = speech.sentences[number]
        (alone,) = voice.pieces(
            [say.Sentence(sentence.text)], say.SayOptions(speaker=name, pause_seconds=0), 3, sentence.number
        )
        start = round(sentence.start_seconds * 8000)
        assert np.array_equal(speech.samples[start : start + len(alone.samples)], alone.samples)


def test_pauses_of_a_script(toy_folder):
    first, second, third, fourth = (
        dialogue(text, voice=toy_folder, seed=1, pause_seconds=0.4).sentences
        for text in ("Ann: A.\nBob: B.", "Ann: A.\n\nBob: B.", "Ann: A.\n[pause 2]\nBob: B.", "[pause 1]\nAnn: A. B.")
    )
    gaps = [s[1].start_seconds - s[0].end_seconds for s in (first, second, third)]
    assert gaps == pytest.approx([0.4, 1.0, 2.0])
    assert fourth[0].start_seconds == pytest.approx(1.2)


def test_voices_of_other_rates_are_brought_to_the_highest(toy_folder, high):
    cast = {"Ann": "ann", "Bob": str(high)}
    speech = dialogue("Ann: Hello there.\nBob: Good day.", cast, toy_folder, seed=1, pause_seconds=0.5)
    assert speech.sample_rate == 16000
    assert speech.model == "toy + high"
    plain = say.load(toy_folder).say("Hello there.", seed=1, pause=0, speaker="ann")
    start = round(speech.sentences[0].start_seconds * 16000)
    wanted = resample(Waveform(plain.samples, 8000), 16000).samples
    np.testing.assert_array_equal(speech.samples[start : start + len(wanted)], np.clip(wanted, -1, 1))
    end = round(speech.sentences[0].end_seconds * 16000)
    assert len(wanted) == end - start
    gap = speech.samples[end : round(speech.sentences[1].start_seconds * 16000)]
    assert len(gap) == 8000
    assert not gap.any()


@pytest.mark.parametrize("place", ["header", "option", "loaded", "speaker of a folder"])
def test_ways_to_name_a_cast(toy_folder, place):
    text, cast = "Tom: Hello there.", {"tom": "bob"}
    if place == "header":
        text, cast = f"cast: TOM = bob, Nobody = none\n{text}", None
    elif place == "loaded":
        cast = {"Tom": say.load(toy_folder)}
    elif place == "speaker of a folder":
        cast = {"Tom": f"{toy_folder}:bob"}
    name = "ann" if place == "loaded" else "bob"
    wanted = say.load(toy_folder).say("Hello there.", seed=2, speaker=name)
    assert np.array_equal(dialogue(text, cast, toy_folder, seed=2).samples, wanted.samples)


def test_unknown_names_are_told_with_the_nearest(toy_folder, tmp_path):
    script = tmp_path / "s.txt"
    script.write_text("Ann: Hi.\n\nBobb: Hi.")
    with pytest.raises(UnknownName, match=r"s\.txt:3: unknown role 'Bobb': did you mean 'bob'.*--cast 'Bobb=VOICE'"):
        dialogue(script, voice=toy_folder)
    with pytest.raises(UnknownName, match="the cast has unknown role 'Anne': did you mean 'Ann'"):
        dialogue("Ann: Hi.", {"Anne": "ann"}, toy_folder)
    with pytest.raises(UnknownName, match="unknown speaker of toy 'bobby': did you mean 'bob'"):
        dialogue("Ann: Hi.", {"Ann": f"{toy_folder}:bobby"}, toy_folder)
    with pytest.raises(UnknownName, match="unknown model 'nowhere'"):
        dialogue("Ann: Hi.", {"Ann": "nowhere"}, toy_folder)
    with pytest.raises(BadInput, match="in a dialogue the cast tells who speaks"):
        dialogue("Ann: Hi.", voice=toy_folder, speaker="bob")
    with pytest.raises(BadInput, match="'b=': expected NAME=VOICE"):
        parse_cast("a=x, b=")


def test_timings_name_the_speakers(toy_folder, tmp_path):
    speech = dialogue(SCRIPT, voice=toy_folder, seed=3)
    vtt = speech.save_timings(tmp_path / "t.vtt").read_text()
    assert re.findall(r"<v (\w+)>", vtt) == ["Ann", "Ann", "Ann", "bob", "bob", "Ann"]
    assert "\nbob: I did.\n" in speech.save_timings(tmp_path / "t.srt").read_text()
    grid = speech.save_timings(tmp_path / "t.TextGrid").read_text()
    kinds = ("sentences", "words", "phones")
    assert re.findall(r'name = "(.*)"', grid) == [f"{who} - {kind}" for who in ("Ann", "bob") for kind in kinds]
    content = json.loads(speech.save_timings(tmp_path / "t.json").read_text())
    assert [s["speaker"] for s in content["sentences"]] == ["Ann", "Ann", "Ann", "bob", "bob", "Ann"]
    again = dialogue(SCRIPT, voice=toy_folder, seed=3, durations=say.Durations.of(content))
    assert np.array_equal(again.samples, speech.samples)
    content["sentences"].pop()
    with pytest.raises(TextError, match="have none for sentence 7, 'No, it was not"):
        dialogue(SCRIPT, voice=toy_folder, durations=say.Durations.of(content))


def test_a_dialogue_is_resumed_and_starts_anew_with_another_cast(toy_folder, high, tmp_path):
    script = Script(SCRIPT)
    cast = Cast.of(script, {"bob": high}, toy_folder)
    languages = cast.languages(say.SayOptions())

    def broken():
        yield from list(script.sentences(languages))[:5]
        raise KeyboardInterrupt

    whole, path = tmp_path / "whole.flac", tmp_path / "talk.flac"
    say.speak_to_file(cast, script.sentences(languages), whole, seed=5, timings=tmp_path / "whole.vtt")
    with pytest.raises(KeyboardInterrupt):
        say.speak_to_file(cast, broken(), path, seed=5)
    written = say.speak_to_file(cast, script.sentences(languages), path, seed=5, timings=tmp_path / "talk.vtt")
    assert written.resumed == 5
    assert path.read_bytes() == whole.read_bytes()
    assert (tmp_path / "talk.vtt").read_text() == (tmp_path / "whole.vtt").read_text()
    memory = dialogue(SCRIPT, {"bob": high}, toy_folder, seed=5)
    assert written.duration_seconds == pytest.approx(memory.duration_seconds)
    with pytest.raises(KeyboardInterrupt):
        say.speak_to_file(cast, broken(), path, seed=5)
    other = Cast.of(script, {"bob": "bob"}, toy_folder)
    assert say.speak_to_file(other, script.sentences(languages), path, seed=5).resumed == 0


def test_a_long_script_is_read_as_it_is_spoken(toy_folder, tmp_path):
    path = tmp_path / "long.txt"
    path.write_text("".join(f"Ann: Line {n}.\nBob: Yes, {n}.\n" for n in range(3000)))
    script = Script(path)
    assert len(script.roles) == 2
    lazily = script.sentences({"Ann": "en-us", "Bob": "en-us"})
    assert [next(lazily).role for _ in range(3)] == ["Ann", "Bob", "Ann"]
