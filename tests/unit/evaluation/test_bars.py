"""What each task has to reach, and that what was not measured has no bar."""

import pytest

from moksori.evaluation.bars import TrialScores, task_bars
from moksori.evaluation.names import GRIFFIN_LIM, HUMAN, UNCHANGED, at_snr
from moksori.evaluation.score import SystemScores
from moksori.evaluation.statistics import Estimate


def system(name, **values):
    return SystemScores(name, {key: Estimate(value, value, value, 9) for key, value in values.items()}, ())


def trial(code, rate):
    return TrialScores(code, "within files", Estimate(rate, rate, rate, 99), 40, 59)


def reached(bars):
    return [(bar.measure, bar.reached) for bar in bars]


def conversion(nearer=0.9, wer=0.2, noisy=0.76, rtf=0.05):
    return (
        system(UNCHANGED, wer=0.01, speaker=0.6),
        system("mine", nearer=nearer, wer=wer, speaker=0.8, rtf=rtf),
        system(at_snr("mine", 10), speaker=noisy),
    )


def test_conversion_keeps_words_and_reaches_the_target():
    good = task_bars("convert", conversion(), "mine", (trial("speaker", 0.08), trial("content", 0.4)))
    assert (
        reached(good)
        == [("nearer", True), ("wer", True), ("speaker", True), ("rtf", True)] + [("speaker_eer", True)] * 2
    )
    assert good[1].limit == pytest.approx(0.21)
    assert good[2].limit == pytest.approx(0.75)
    bad = task_bars("convert", conversion(0.8, 0.3, 0.7, 0.2), "mine", (trial("speaker", 0.2), trial("content", 0.2)))
    assert {bar.reached for bar in bad} == {False}
    assert len(bad) == 6
    assert task_bars("convert", (), "mine", (trial("resemblyzer", 0.03),)) == []


def test_copies_are_ahead_of_griffin_lim_and_near_the_recordings():
    def bars(pesq, ovrl):
        systems = (system(HUMAN, ovrl=3.2), system(GRIFFIN_LIM, pesq=2.2), system("voc", pesq=pesq, ovrl=ovrl))
        return reached(task_bars("vocode", systems, "voc"))

    assert bars(2.8, 3.05) == [("pesq", True), ("pesq", True), ("ovrl", True)]
    assert bars(2.6, 2.9) == [("pesq", True), ("pesq", False), ("ovrl", False)]
    assert bars(2.4, 3.2) == [("pesq", False), ("pesq", False), ("ovrl", True)]
    assert [reached(task_bars("vocode", (system("voc", rtf=rtf),), "voc")) for rtf in (0.015, 0.03)] == [
        [("rtf", True)],
        [("rtf", False)],
    ]
    assert task_bars("sing", (system("voc", raw_pitch_accuracy=0.9),), "voc") == []
