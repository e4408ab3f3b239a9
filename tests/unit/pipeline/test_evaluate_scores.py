"""Scores sung in the voices of prompts: how far from the notes, and what the report says of it."""

import json

import numpy as np
import pytest

pytest.importorskip("pyworld")
pytest.importorskip("mir_eval")
from small_imitator import talk
from small_prompted import save_prompted

from moksori.audio.io import write
from moksori.cli.main import main
from moksori.corpus.manifest import CorpusInfo, rewrite
from moksori.evaluation import speaker_encoders
from moksori.evaluation.bars import singing_bars
from moksori.evaluation.melody import frames_in_tune
from moksori.evaluation.score import SystemScores
from moksori.evaluation.statistics import Estimate
from moksori.pipeline import evaluate_scores
from moksori.types import Utterance


class Ears:
    identity = name = "ears"

    def embed(self, waveform):
        return np.ones(4, np.float32) / 2


def test_frames_in_tune_are_those_with_a_pitch_on_both_sides():
    wanted = np.array([220, 220, 220, 220, 0, 220, 220], np.float32)
    sung = np.array([220, 220 * 2 ** (49 / 1200), 220 * 2 ** (51 / 1200), 0, 220, 110], np.float32)
    assert frames_in_tune(wanted, sung) == (2, 4)
    assert frames_in_tune(wanted, sung, cents=52) == (3, 4)
    assert frames_in_tune(wanted, np.zeros(7, np.float32)) == (0, 0)


def test_a_song_is_its_notes():
    score = evaluate_scores.song("jacques")
    assert score.has_lyrics
    assert score.notes[0].pitch == 60
    assert score.notes[-1].end_seconds == pytest.approx(8.0)


def test_the_report(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(speaker_encoders, "SpeakerEncoder", Ears)
    monkeypatch.setattr(evaluate_scores, "SONGS", {"short": ((60, 64), (1, 2), "Twin-kle")})
    monkeypatch.setattr(evaluate_scores, "PICTURED", 0)  # each takes a second
    monkeypatch.setenv("MOKSORI_HOME", str(tmp_path / "home"))
    save_prompted(tmp_path / "home" / "models")
    people = []
    for place, (name, pitch) in enumerate((("p225", 210.0), ("p226", 110.0))):
        for take in range(2):
            path = tmp_path / "corpus" / "audio" / f"{name}_{take}.flac"
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path, talk(3.5, pitch=pitch, seed=10 * place + take))
            people.append(Utterance(path.stem, f"{name} {take}", name, "en-us", path, 0.0, 3.5, 16000))
    rewrite(tmp_path / "corpus", CorpusInfo("people", "CC0", "en-us", ("p225", "p226")), {"test": people})
    words = ["evaluate", "ns2-tiny", "--task", "sing", "--corpus", tmp_path / "corpus", "--json", tmp_path / "r.json"]
    assert main([str(word) for word in words]) == 0, capsys.readouterr().err
    assert "scores in the voices of 2 prompts of people that no training heard" in capsys.readouterr().out
    told = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    measures = told["systems"][0]["measures"]
    assert 0.0 <= measures["score_pitch"]["value"] <= 1.0
    assert measures["score_pitch"]["n"] == 2
    assert measures["spk_similarity"]["value"] == pytest.approx(1.0)
    assert {"raw_pitch_accuracy", "voicing_recall", "rtf"} <= set(measures)
    assert [bar["measure"] for bar in told["bars"]] == ["score_pitch"]
    keys = {item["name"] for item in told["speakers"][0]["systems"][0]["sentences"]}
    assert {name.split(" (")[0] for name in keys} == {"short by p225", "short by p226"}


@pytest.mark.parametrize(("value", "reached"), [(0.81, True), (0.79, False)])
def test_the_bar_is_four_fifths(value, reached):
    scored = SystemScores("m", {"score_pitch": Estimate(value, value, value, 9)}, ())
    assert [(bar.limit, bar.reached) for bar in singing_bars([scored], "m")] == [(0.8, reached)]
