"""Who sings: the classifier of embeddings, and the probe of codes."""

import numpy as np
import pytest

from moksori.errors import BadInput
from moksori.evaluation.bars import singing_bars
from moksori.evaluation.names import CHANCE
from moksori.evaluation.score import ItemScores, SystemScores, summarise
from moksori.evaluation.singer import SingerClassifier, probe_codes, voice_segments
from moksori.types import Waveform

NAMES = ("ann", "bob", "cleo")


def embeddings(count, seed, spread=0.4):
    draw = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((3, 16))
    rows = [
        (centres[k] + spread * draw.standard_normal(16), name) for k, name in enumerate(NAMES) for _ in range(count)
    ]
    return [row / np.linalg.norm(row) for row, _ in rows], [name for _, name in rows]


def test_the_classifier_knows_new_recordings_of_those_it_learnt():
    classifier = SingerClassifier(*embeddings(20, 0))
    heard, names = embeddings(10, 1)
    told = [classifier.probabilities([one]) for one in heard]
    assert np.mean([max(p, key=p.get) == name for p, name in zip(told, names, strict=True)]) > 0.95
    assert sum(told[0].values()) == pytest.approx(1.0)


def test_many_recordings_of_one_singer_do_not_outweigh_few_of_another():
    draw = np.random.default_rng(0)
    side = np.array([0.5, 0.0, 0.0, 0.0])
    learnt = [*(draw.standard_normal((200, 4)) + side), *(draw.standard_normal((10, 4)) - side)]
    classifier = SingerClassifier(learnt, ["ann"] * 200 + ["bob"] * 10)
    told = [classifier.probabilities([one])["bob"] > 0.5 for one in draw.standard_normal((400, 4))]
    assert 0.3 < np.mean(told) < 0.7


def test_segments_of_one_recording_are_heard_together():
    classifier = SingerClassifier(*embeddings(20, 0, 1.5))
    heard, names = embeddings(40, 1, 1.5)
    alone = np.mean(
        [max(p := classifier.probabilities([e]), key=p.get) == n for e, n in zip(heard, names, strict=True)]
    )
    together = [classifier.probabilities(heard[start : start + 8]) for start in range(0, len(heard), 8)]
    assert np.mean([max(p, key=p.get) == names[8 * k] for k, p in enumerate(together)]) > alone


def test_one_singer_is_no_choice():
    with pytest.raises(BadInput, match="1 singers"):
        SingerClassifier([np.ones(4)], ["ann"])


def test_segments_are_three_seconds_and_a_short_recording_is_one():
    noise = np.random.default_rng(0).standard_normal(16000 * 10).astype(np.float32)
    assert [len(s.samples) for s in voice_segments(Waveform(noise, 16000))] == [48000, 48000, 48000, 16000]
    assert [len(s.samples) for s in voice_segments(Waveform(noise[: 16000 * 6 + 100], 16000))] == [48000, 48000]
    assert [len(s.samples) for s in voice_segments(Waveform(noise[:4000], 16000))] == [4000]


def crops(telling, count, seed):
    """Codes of 8 channels by 20 frames that tell the singer as loudly as asked, among what is sung."""
    draw = np.random.default_rng(seed)
    marks = np.random.default_rng(7).standard_normal((4, 8, 1))
    return {
        name: draw.standard_normal((count, 8, 20)) + telling * marks[k]
        for k, name in enumerate(("ann", "bob", "cleo", "dora"))
    }


def test_codes_that_tell_the_singer_are_found_out():
    probe = probe_codes(crops(1.0, 24, 0), crops(1.0, 24, 1))
    assert probe.singers == 4
    assert probe.accuracy > 0.9


def test_codes_that_tell_nothing_are_read_as_often_as_by_guessing():
    probe = probe_codes(crops(0.0, 24, 0), crops(0.0, 100, 1))
    assert probe.accuracy == pytest.approx(0.25, abs=0.08)
    assert [len(right) for right in probe.right.values()] == [100] * 4


def test_who_has_few_crops_counts_as_much_as_who_has_many():
    """Three of four cannot be told apart; a probe that always says who has most is right about one in four."""
    train, test = crops(0.0, 10, 0), crops(0.0, 200, 1)
    train["ann"] = crops(0.0, 200, 2)["ann"]
    test |= {name: test[name][:20] for name in ("bob", "cleo", "dora")}
    assert probe_codes(train, test).accuracy == pytest.approx(0.25, abs=0.12)


def test_what_a_code_says_at_one_moment_only_is_found_too():
    """Not only the mean of a crop: two singers whose codes differ by their spread alone."""
    draw = np.random.default_rng(0)
    train, test = (
        {"ann": draw.standard_normal((n, 8, 20)), "bob": 3 * draw.standard_normal((n, 8, 20))} for n in (24, 50)
    )
    assert probe_codes(train, test).accuracy > 0.9


def test_the_probe_leaves_out_who_has_next_to_nothing_in_one_part():
    train, test = crops(1.0, 10, 0), crops(1.0, 10, 1)
    train["ann"], train["eve"] = train["ann"][:2], train["bob"]
    del test["dora"]
    probe = probe_codes(train, test)
    assert set(probe.right) == {"bob", "cleo"}
    assert probe_codes(train, test).right == probe.right
    with pytest.raises(BadInput, match="probe of 1 singers: give 4 crops of two"):
        probe_codes({"bob": train["bob"]}, test)


def scored(name, **values):
    items = tuple(ItemScores(f"{name} {k}", "", 1.0, None, None, values) for k in range(4))
    return SystemScores(name, summarise(items), items)


def test_bars_of_conversions_are_those_of_the_issue():
    good = [
        scored("model", singer_identified=0.7, raw_pitch_accuracy=0.85, code_probe=0.21),
        scored(CHANCE, code_probe=1 / 7),
    ]
    bars = {bar.measure: bar for bar in singing_bars(good, "model")}
    assert all(bar.reached for bar in bars.values())
    assert bars["code_probe"].limit == pytest.approx(1.5 / 7)
    bad = [
        scored("model", singer_identified=0.69, raw_pitch_accuracy=0.84, code_probe=0.22),
        scored(CHANCE, code_probe=1 / 7),
    ]
    assert [bar.reached for bar in singing_bars(bad, "model")] == [False, False, False]
    assert singing_bars([scored("vocoder", raw_pitch_accuracy=0.9)], "vocoder") == []
