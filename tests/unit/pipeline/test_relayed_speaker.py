"""One model speaks, another gives it the voice: lengths, silences and times stay those of the speech."""

import numpy as np
import pytest
import torch
from small_converter import save_converter
from small_imitator import save_imitator, save_vocoder, talk

from moksori.pipeline.convert import find_converter
from moksori.pipeline.relayed_speaker import RelayedSpeaker
from moksori.pipeline.say import load
from moksori.pipeline.say_options import SayOptions
from moksori.pipeline.sentences import readings
from moksori.pipeline.streaming import SpeechStream
from moksori.pipeline.turns import end, next_of

TEXT = "Hello there. How are you?"


@pytest.fixture(scope="module")
def relayed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("relay")
    converter = find_converter(save_imitator(folder / "imitator"), vocoder=save_vocoder(folder / "sounder"))
    return RelayedSpeaker(load(save_converter(folder / "trio")), converter, converter.enroll(talk(), "Anna"))


def test_it_lasts_as_long_as_what_was_said(relayed) -> None:
    said = relayed.speaker.say(TEXT, seed=3)
    stream = SpeechStream(relayed, readings(TEXT), SayOptions(), 3)
    heard = np.concatenate(list(stream))
    assert stream.sample_rate == 16000
    assert len(heard) / 16000 == pytest.approx(said.duration_seconds, abs=0.001)
    assert not heard[: round(0.12 * 16000)].any()
    for mine, theirs in zip(stream.sentences, said.sentences, strict=True):
        assert mine.tokens == theirs.tokens
        assert mine.start_seconds == pytest.approx(theirs.start_seconds, abs=0.001)


def test_volume_is_that_of_the_voice(relayed) -> None:
    def heard(volume: float) -> np.ndarray:
        return np.concatenate(list(SpeechStream(relayed, readings("Hello."), SayOptions(volume_db=volume), 3)))

    loud, soft = heard(0.0), heard(-20.0)
    unclipped = np.abs(loud) < 0.99
    assert np.allclose(soft[unclipped], 0.1 * loud[unclipped], atol=1e-6)


def test_by_turns_is_as_by_itself(relayed) -> None:
    """Generators that enter torch's inference mode each by itself do not end one another's."""

    def made(text: str, speaker):
        stream = SpeechStream(speaker, readings(text), SayOptions(), 3)
        return (block for block in stream)

    texts, speakers = [TEXT, "Fine, and you? Well.", "One. Two. Three."], [relayed.speaker, relayed, relayed.speaker]
    alone = [np.concatenate(list(made(*pair))) for pair in zip(texts, speakers, strict=True)]
    begun = [made(*pair) for pair in zip(texts, speakers, strict=True)]
    heard: list[list[np.ndarray]] = [[] for _ in begun]
    running = set(range(len(begun)))
    while running:
        for place in sorted(running):
            block = next_of(begun[place])
            if block is None:
                running.discard(place)
            else:
                heard[place].append(block)
    for blocks, whole in zip(heard, alone, strict=True):
        assert np.array_equal(np.concatenate(blocks), whole)
    left = made(TEXT, relayed.speaker)
    next_of(left)
    end(left)
    assert not torch.is_inference_mode_enabled()
