"""Scoring systems, folders and controls, with a recogniser that is a table."""

import math

import numpy as np
import pytest

from moksori.audio.io import write
from moksori.errors import AudioError, BadInput
from moksori.evaluation.score import Item, Judges, noise_like, score_folder, score_system, with_other_texts
from moksori.types import Waveform

TEXTS = ["one two three", "four five six seven", "eight nine"]


class Table:
    """Hears the text whose length in tenths of a second the waveform has."""

    identity = "table"

    def covers(self, text):
        return "xyz" not in text

    def transcribe(self, waveform):
        return TEXTS[round(waveform.duration_seconds * 10) - 1]


def sound(tenths, rate=8000):
    time = np.arange(tenths * rate // 10) / rate
    return Waveform((0.3 * np.sin(2 * np.pi * 150 * time)).astype(np.float32), rate)


def judges(measures=("words",)):
    return Judges(TEXTS, measures, _recogniser=Table())


def items(order=(1, 2, 3)):
    return [Item(f"s{k}", text, sound(k + 1), sound(t)) for k, (text, t) in enumerate(zip(TEXTS, order, strict=True))]


def test_error_rates_are_over_all_words():
    right = score_system("right", items(), judges())
    assert right.measures["wer"].value == 0.0
    assert right.measures["wer"].n == 3
    assert [item.heard for item in right.items] == TEXTS
    wrong = score_system("wrong", items((1, 3, 3)), judges())
    assert wrong.measures["wer"].value == pytest.approx(4 / 9)  # four of "four five six seven", of nine in all
    assert wrong.measures["cer"].value > 0


def test_speed_is_all_work_over_all_sound():
    made = [Item("a", TEXTS[0], sound(1), sound(1), 0.1), Item("b", TEXTS[1], sound(2), sound(2), 0.5)]
    assert score_system("x", made, judges()).measures["rtf"].value == pytest.approx(0.6 / 0.3)
    assert "rtf" not in score_system("human", items(), judges()).measures


def test_sentences_that_cannot_be_recognised_are_not_counted():
    unknown = Item("u", "xyz", sound(1), sound(1))
    scored = score_system("x", [*items(), unknown], judges())
    assert scored.measures["wer"].n == 3
    assert scored.items[3].words is None


def test_other_texts_are_wrong_texts():
    human = score_system("human", items(), judges())
    control = with_other_texts("control", human, judges())
    assert control.measures["wer"].value > 0.9
    assert [item.text for item in control.items] == [TEXTS[1], TEXTS[2], TEXTS[0]]
    one = score_system("one", items()[:1], judges())  # even one sentence is set against another of the list
    assert with_other_texts("control", one, judges()).items[0].text == TEXTS[1]
    with pytest.raises(BadInput, match="two sentences"):
        with_other_texts("control", human, Judges(TEXTS[:1], ("words",), _recogniser=Table()))


def test_the_recordings_have_no_distance_to_themselves():
    wave = sound(6)
    human = score_system("human", [Item("a", TEXTS[0], wave, wave)], judges(("spectrum",)))
    assert set(human.measures) == {"f0_deviation"}
    copied = score_system("copy", [Item("a", TEXTS[0], wave, sound(6))], judges(("spectrum",)))
    assert copied.measures["mcd"].value == 0.0
    assert copied.measures["duration_ratio"].value == 1.0
    assert copied.measures["f0_ratio"].value == pytest.approx(1.0)


def test_two_workers_give_the_numbers_of_one():
    pairs = [Item(f"s{k}", TEXTS[0], sound(4 + k), sound(5)) for k in range(3)]
    one = score_system("x", pairs, judges(("spectrum",)))
    assert score_system("x", pairs, judges(("spectrum",)), workers=2).measures == one.measures


def test_noise_is_as_long_and_as_loud_and_seeded():
    noise = noise_like(sound(3), 1, 2)
    assert len(noise.samples) == len(sound(3).samples)
    assert np.std(noise.samples) == pytest.approx(np.std(sound(3).samples), rel=0.1)
    assert (noise.samples == noise_like(sound(3), 1, 2).samples).all()
    assert (noise.samples != noise_like(sound(3), 1, 3).samples).any()


def test_a_folder_is_scored_by_its_names(tmp_path):
    references, spoken = tmp_path / "references", tmp_path / "mine"
    references.mkdir()
    spoken.mkdir()
    for k in range(3):
        write(references / f"s{k}.flac", sound(k + 1))
    write(spoken / "s0.wav", sound(1))
    write(spoken / "s2.flac", sound(1))
    sentences = [(f"s{k}", TEXTS[k], references / f"s{k}.flac") for k in range(3)]
    found = score_folder(spoken, sentences, judges())
    assert found.name == "mine"
    assert [item.name for item in found.items] == ["s0", "s2"]
    assert found.measures["wer"].value == pytest.approx(3 / 5)
    with pytest.raises(AudioError, match=r"none of the 3 test recordings, such as s0\.wav"):
        score_folder(tmp_path, sentences, judges())


def test_bad_input_is_named():
    with pytest.raises(BadInput, match="'nose'"):
        Judges(TEXTS, ("nose",))
    with pytest.raises(BadInput, match="no sentences"):
        score_system("x", [], judges())
    broken = Waveform(np.full(100, math.nan, np.float32), 8000)
    with pytest.raises(AudioError, match="s7: the waveform holds NaN"):
        score_system("x", [Item("s7", TEXTS[0], sound(1), broken)], judges())


def test_progress_reaches_the_end():
    seen = []
    score_system("x", items(), judges(), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]
