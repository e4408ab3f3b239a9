"""Sentences that come one by one are the speech of all of them."""

import numpy as np
import pytest

from moksori.errors import BadInput, TextError
from moksori.pipeline.arriving_speech import ArrivingSound, ArrivingSpeech
from moksori.pipeline.say import load
from moksori.pipeline.say_options import SayOptions
from moksori.pipeline.sentences import Sentence, readings

TEXT = "Hello there. How are you?\n\nFine. ... And you?"


@pytest.mark.parametrize("options", [SayOptions(), SayOptions(pause_seconds=0.1, shift_semitones=2.0)])
def test_they_are_what_say_says(toy_home, options) -> None:
    voice = load("toy")
    said = voice.say(TEXT, seed=5, pause=options.pause_seconds, pitch=options.shift_semitones)
    speech = ArrivingSpeech(voice, options, 5)
    heard = [block for sentence in readings(TEXT) for block in speech.say(sentence)]
    heard.append(speech.finish())
    assert np.array_equal(np.concatenate(heard), said.samples)
    assert [timing.as_json() for timing in speech.sentences] == [timing.as_json() for timing in said.sentences]


def test_nothing_is_no_speech(toy_home) -> None:
    speech = ArrivingSpeech(load("toy"), SayOptions(), 5)
    assert list(speech.say(Sentence("..."))) == []
    with pytest.raises(TextError, match="nothing to say"):
        speech.finish()


@pytest.mark.parametrize("watermark", [False, True])
def test_as_bytes_it_is_as_long(toy_home, watermark) -> None:
    speech = ArrivingSpeech(load("toy"), SayOptions(), 5)
    sound = ArrivingSound(speech, "pcm", watermark=watermark)
    parts = [part for sentence in readings(TEXT) for part in sound.say(sentence)]
    parts += list(sound.finish())
    assert sum(len(part.data) for part in parts) == 2 * speech.samples == 2 * sum(part.samples for part in parts)
    assert [timing for part in parts for timing in part.sentences] == speech.sentences


def test_too_much_is_refused(toy_home) -> None:
    sound = ArrivingSound(ArrivingSpeech(load("toy"), SayOptions(), 5), "wav", most_seconds=0.1)
    with pytest.raises(BadInput, match="longer than"):
        list(sound.say(Sentence("Hello there.")))
    sound.close()
