"""SSML, lexicons and inline sounds through a voice: what is heard when, in which style, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from moksori.audio.resample import resample
from moksori.errors import TextError, UnknownName
from moksori.pipeline import say
from moksori.pipeline.sentences import Gap, Piece, Sentence, readings
from moksori.pipeline.speech_timings import SentenceTiming
from moksori.text.markup import Style
from moksori.types import Waveform

RATE = 8000


@pytest.fixture
def voice(toy_folder):
    return say.load(toy_folder)


@pytest.fixture
def controls(voice, monkeypatch):
    """The controls and speakers of every call of the model."""
    seen = []
    spoken = voice._model.say

    def noted(text, given, generator=None):
        seen.append((round(given.speed, 6), given.shift_semitones, int(text.speaker)))
        return spoken(text, given, generator)

    monkeypatch.setattr(voice._model, "say", noted)
    return seen


def silences(samples: np.ndarray) -> list[float]:
    quiet = np.concatenate([[0], (samples == 0).astype(int), [0]])
    edges = np.flatnonzero(np.diff(quiet)).reshape(-1, 2)
    return [round((end - start) / RATE, 2) for start, end in edges if end - start > 80]


def test_plain_text_and_the_same_as_ssml_sound_the_same(voice):
    text = "Hello there. How are you?\n\nA new paragraph."
    ssml = "<speak><p>Hello there. How are you?</p><p>A new paragraph.</p></speak>"
    assert np.array_equal(voice.say(text, seed=1).samples, voice.say(ssml, seed=1).samples)


def test_ssml_is_recognised_or_told(voice):
    literal = [word.text for word in voice.say("<speak>Hello.</speak>", seed=1, ssml=False).timings]
    assert literal == ["speak", "Hello", "slash", "speak"]
    assert [word.text for word in voice.say("<speak>Hello.</speak>", seed=1).timings] == ["Hello"]
    with pytest.raises(TextError, match="SSML, line 1"):
        voice.say("Hello.", ssml=True)


def test_styles_reach_the_model(voice, controls):
    voice.say(
        '<speak>One <prosody rate="2" pitch="+3st">two</prosody> <voice name="bob">three</voice></speak>',
        seed=1,
        speed=1.5,
    )
    assert controls == [(1.5, 0.0, 0), (3.0, 3.0, 0), (1.5, 0.0, 1)]


def test_speed_stays_in_range(voice, controls):
    voice.say('<speak><prosody rate="10">one</prosody><prosody rate="0.1">two</prosody></speak>', seed=1, speed=8)
    assert [speed for speed, _, _ in controls] == [10.0, pytest.approx(0.8)]


def test_volume_of_a_part(voice):
    loud = voice.say("<speak>One.</speak>", seed=1, pause=0)
    quiet = voice.say('<speak><prosody volume="-20dB">One.</prosody></speak>', seed=1, pause=0)
    np.testing.assert_allclose(quiet.samples, loud.samples * 0.1, rtol=1e-5)


def test_breaks_stand_in_place_of_pauses(voice):
    speech = voice.say(
        '<speak><break time="300ms"/>One.<break time="1s"/>Two. Three <prosody rate="2">four</prosody>'
        '<p>Five.</p>Six.<break time="2s"/></speak>',
        seed=1,
        pause=0.4,
    )
    assert silences(speech.samples) == [0.5, 1.0, 0.4, 0.4, 1.0, 2.0]
    assert [word.text for word in speech.timings] == ["One", "Two", "Three", "four", "Five", "Six"]
    for word in speech.timings:
        assert np.abs(speech.samples[round(word.start_seconds * RATE) : round(word.end_seconds * RATE)]).max() > 0.1


def test_gaps_add_up_over_what_is_not_spoken():
    def piece(spoken: bool, **changes) -> Piece:
        timing = SentenceTiming(0, "x", 0.0, 0.01, (("x", 1),), ()) if spoken else None
        return Piece(0, Sentence("x", **changes), np.zeros(0, np.float32), timing)

    assert Gap().after(piece(False, pause_seconds=1.0)).seconds(0.4) == pytest.approx(1.2)
    after = Gap().after(piece(True, pause_seconds=1.0)).after(piece(False, pause_seconds=0.5))
    assert after.seconds(0.4) == pytest.approx(1.5)
    assert Gap().after(piece(True, ends_paragraph=True)).after(piece(False)).seconds(0.4) == pytest.approx(1.0)
    assert Gap().after(piece(True)).seconds_at_end(0.4) == pytest.approx(0.2)


def test_languages_of_parts_change_the_sounds(voice):
    english = voice.say("<speak>Zeit</speak>", seed=1)
    german = voice.say('<speak><lang xml:lang="de">Zeit</lang></speak>', seed=1)
    assert not np.array_equal(english.samples, german.samples)
    assert np.array_equal(german.samples, voice.say("Zeit", seed=1, language="de").samples)


def test_written_words_are_timed(voice):
    speech = voice.say(
        '<speak><phoneme ph="pɪˈkɑːn">pecan</phoneme> <sub alias="World Wide Web">WWW</sub> '
        '<say-as interpret-as="characters">ab1</say-as> [hello](/həˈloʊ/)</speak>',
        seed=1,
    )
    assert [word.text for word in speech.timings] == ["pecan", "WWW", "ab1", "hello"]
    assert all(word.end_seconds > word.start_seconds for word in speech.timings)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ('<speak><voice name="anne">x</voice></speak>', UnknownName, "unknown speaker 'anne': did you mean 'ann'"),
        ('<speak><lang xml:lang="xx">x</lang></speak>', UnknownName, "unknown language 'xx'"),
        (
            '<speak>One. <phoneme ph="a♥">x</phoneme></speak>',
            TextError,
            "the sounds 'a♥': this voice has no symbol '♥'",
        ),
        ("[[h♥]] you", TextError, "this voice has no symbol '♥'"),
        ("<speak/>", TextError, "nothing to say"),
        ('<speak><break time="2s"/></speak>', TextError, "nothing to say"),
        ("<!DOCTYPE a><speak>x</speak>", TextError, "nothing to say|document type"),
    ],
)
def test_bad_markup_is_refused(voice, text, error, message):
    with pytest.raises(error, match=message):
        voice.say(text, ssml=True, seed=1) if text.startswith("<") else voice.say(text, seed=1)


def test_a_voice_without_a_source_is_played_faster_or_slower_for_another_pitch(voice, controls):
    plain = voice.say("<speak>Hello there.</speak>", seed=1, pause=0, variation=0)
    voice._model.takes_pitch = False
    document = '<speak><prosody pitch="+12st">Hello there.</prosody></speak>'
    higher = voice.say(document, seed=1, pause=0, variation=0)
    assert controls[1:] == [(0.5, 0.0, 0)]
    assert len(higher.samples) == len(plain.samples)
    for before, after in zip(plain.timings, higher.timings, strict=True):  # heard when it was heard before
        assert (after.start_seconds, after.end_seconds) == pytest.approx((before.start_seconds, before.end_seconds))
    slow = voice.say("Hello there.", seed=1, pause=0, variation=0, speed=0.5)
    np.testing.assert_array_equal(higher.samples, resample(Waveform(slow.samples, 2 * RATE), RATE).samples)


def test_lexicons_of_a_voice_and_of_a_call(toy_folder, tmp_path):
    words = tmp_path / "words.tsv"
    words.write_text("moksori\tmˈoʊk\nbob\tbˈɑb\t*\tbob\n", encoding="utf-8")
    plain, told = say.load(toy_folder), say.load(toy_folder, lexicon=words)
    short = told.say("Moksori", seed=1)
    assert short.duration_seconds < plain.say("Moksori", seed=1).duration_seconds
    assert np.array_equal(short.samples, plain.say("Moksori", seed=1, lexicon=[words]).samples)
    longer = told.say("Moksori", seed=1, lexicon={"moksori": "mˈoʊksoʊɹiɹiɹi"})
    assert longer.duration_seconds > short.duration_seconds
    assert [word.text for word in told.say("5 Moksori", seed=1, lexicon={"5": "fˈaɪ"}).timings] == ["5", "Moksori"]


def test_rows_for_nobody_are_told_once(toy_folder, tmp_path, caplog):
    words = tmp_path / "words.tsv"
    words.write_text("a\tb c\tzz\nd\te f\t*\tnobody\ng\th i\ten\tbob\nj\tk l\tde\tkathleen\n", encoding="utf-8")
    told = say.load(toy_folder, lexicon=words)
    told.say("Hello.", seed=1)
    told.say("Hello.", seed=2, speaker="bob")
    said = [record.getMessage() for record in caplog.records if "lexicon" in record.getMessage()]
    assert said == [
        "lexicon: unknown language 'zz' and unknown voice 'nobody': such rows are never used, correct their names"
    ]


def test_files_of_ssml_go_on_after_an_interruption(voice, tmp_path):
    ssml = '<speak>One. <prosody rate="2">Two.</prosody><break time="1s"/> Three.</speak>'
    whole = say.speak_to_file(voice, readings(ssml), tmp_path / "whole.wav", seed=1)
    assert whole.sentences == 3

    def broken():
        yield from list(readings(ssml))[:2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        say.speak_to_file(voice, broken(), tmp_path / "part.wav", seed=1)
    assert say.speak_to_file(voice, readings(ssml), tmp_path / "part.wav", seed=1).resumed == 2
    assert (tmp_path / "part.wav").read_bytes() == (tmp_path / "whole.wav").read_bytes()


def test_another_style_is_spoken_anew(voice, tmp_path):
    def broken(style: Style):
        yield Sentence("One.", style=style)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        say.speak_to_file(voice, broken(Style()), tmp_path / "x.wav", seed=1)
    texts = [Sentence("One.", style=Style(rate=2.0))]
    assert say.speak_to_file(voice, texts, tmp_path / "x.wav", seed=1).resumed == 0


def test_the_command_speaks_ssml_with_several_lexicons(toy_home, tmp_path, monkeypatch, capsys):
    from moksori.cli import main as command

    monkeypatch.chdir(tmp_path)
    Path("a.tsv").write_text("hello\tˈo\n", encoding="utf-8")
    Path("b.tsv").write_text("there\tˈu\n", encoding="utf-8")
    Path("talk.ssml").write_text('<speak>Hello <sub alias="you">there</sub> there.</speak>', encoding="utf-8")
    arguments = ["say", "-f", "talk.ssml", "--lexicon", "a.tsv", "--lexicon", "b.tsv", "--timings", "x.json"]
    assert command.main([*arguments, "-o", "x.wav", "--seed", "1"]) == 0
    words = json.loads(Path("x.json").read_text())["words"]
    assert [word["text"] for word in words] == ["Hello", "there", "there"]
    assert command.main(["say", "plain", "--ssml", "-o", "y.wav"]) == 2
    assert "SSML, line 1, column 1" in capsys.readouterr().err
    Path("bad.tsv").write_text("ok\tˈo\nworse\n", encoding="utf-8")
    assert command.main(["say", "Hi.", "-o", "y.wav", "--lexicon", "a.tsv", "--lexicon", "bad.tsv"]) == 2
    assert "bad.tsv:2: 'worse': expected a word, a tab" in capsys.readouterr().err
    assert not Path("y.wav").exists()
