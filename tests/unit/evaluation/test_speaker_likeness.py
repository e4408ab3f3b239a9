"""Speakers as mean embeddings, identification, verification, and what a scored sentence holds of them."""

import math

import numpy as np
import pytest

from moksori.evaluation.score import Item, Judges, score_system
from moksori.evaluation.speaker import Voices, equal_error_rate, identified
from moksori.types import Waveform

ANN, BEN = np.array([1.0, 0.0], np.float32), np.array([0.0, 1.0], np.float32)
VOICES = Voices.of({"ann": [ANN, ANN], "ben": [3 * BEN], "nobody": []})


class Encoder:
    """The voice of a waveform is its first two samples."""

    identity = "pair"

    def __init__(self) -> None:
        self.asked = 0

    def embed(self, waveform):
        self.asked += 1
        pair = waveform.samples[:2]
        return pair / np.linalg.norm(pair)


def sound(first: float, second: float) -> Waveform:
    return Waveform(np.array([first, second, 0.1], np.float32), 8000)


def test_a_voice_is_the_mean_of_its_recordings_with_length_one() -> None:
    assert VOICES.names == ("ann", "ben")
    assert np.allclose(np.linalg.norm(VOICES.centroids, axis=1), 1.0)
    assert VOICES.likeness(np.array([0.6, 0.8], np.float32)) == pytest.approx({"ann": 0.6, "ben": 0.8})
    assert Voices.of({"nobody": []}).likeness(np.zeros(256, np.float32)) == {}


def test_the_nearest_speaker_is_right_or_not() -> None:
    assert identified({"ann": 0.9, "ben": 0.2}, "ann") == 1.0
    assert identified({"ann": 0.9, "ben": 0.2}, "ben") == 0.0
    assert math.isnan(identified({"ann": 0.9}, "ann"))


def test_the_equal_error_rate() -> None:
    assert equal_error_rate([0.8, 0.9], [0.1, 0.2, 0.3]) == 0.0
    assert equal_error_rate([0.1, 0.2], [0.8, 0.9]) == 1.0
    assert equal_error_rate([0.1, 0.6, 0.7, 0.8], [0.2, 0.3, 0.4, 0.65]) == pytest.approx(0.25)
    draws = np.random.default_rng(0)
    # Normal scores two deviations apart cross at Q(1) = 15.87 %.
    assert equal_error_rate(draws.normal(2, 1, 20000), draws.normal(0, 1, 20000)) == pytest.approx(0.1587, abs=0.005)
    assert math.isnan(equal_error_rate([], [0.1]))
    assert math.isnan(equal_error_rate([0.1], []))


def test_sentences_are_held_against_all_speakers() -> None:
    judges = Judges(["x"], ("speaker",), voices=VOICES, _encoder=Encoder())
    ann = [Item(f"s{k}", "x", sound(1, 0), sound(*pair), speaker="ann") for k, pair in enumerate([(1, 0), (0.6, 0.8)])]
    scored = score_system("model", ann, judges)
    assert scored.measures["speaker"].value == pytest.approx(0.8)
    assert scored.measures["speaker_centroid"].value == pytest.approx(0.8)
    assert scored.measures["speaker_identified"].value == 0.5
    assert scored.items[1].impostors == pytest.approx((0.8,))
    assert scored.measures["speaker_eer"].value == pytest.approx(0.5)  # cosines 1, 0.6 with her; 0, 0.8 with him
    stranger = score_system("model", [Item("t", "x", sound(1, 0), sound(1, 0), speaker="cid")], judges)
    assert set(stranger.measures) == {"speaker"}


def test_a_recording_is_held_against_the_other_ones_only_and_embedded_once() -> None:
    encoder = Encoder()
    judges = Judges(["x"], ("speaker",), voices=VOICES, _encoder=encoder)
    wave = sound(0, 1)
    human = score_system("human", [Item("s", "x", wave, wave, speaker="ben")], judges)
    assert set(human.measures) == {"speaker_centroid", "speaker_identified", "speaker_eer"}
    assert human.measures["speaker_identified"].value == 1.0
    score_system("model", [Item("s", "x", wave, sound(1, 1), speaker="ben")], judges)
    assert encoder.asked == 2
    alone = Judges(["x"], ("speaker",), voices=Voices.of({"ben": [BEN]}), _encoder=Encoder())
    one = score_system("human", [Item("s", "x", wave, wave, speaker="ben")], alone)
    assert set(one.measures) == {"speaker_centroid"}


def test_known_values_stand_beside_those_that_are_judged() -> None:
    item = Item("s", "x", sound(1, 0), sound(1, 0), speaker="ann", values={"likelihood_ratio": -1.5})
    assert score_system("model", [item], Judges(["x"], ())).measures["likelihood_ratio"].value == -1.5
