"""The report: bars, table, JSON that is JSON, files whole or not at all."""

import json

import numpy as np
import pytest

from moksori.errors import MoksoriError
from moksori.evaluation import report as module
from moksori.evaluation.bars import Bar, word_error_limit
from moksori.evaluation.names import COPY, HUMAN, NOISE
from moksori.evaluation.report import Group, Picture, Report, environment
from moksori.evaluation.score import ItemScores, SystemScores, summarise
from moksori.evaluation.statistics import Estimate
from moksori.types import Waveform


def system(name, note="", **values):
    measures = {key: Estimate(value, value - 0.01, value + 0.03, 5) for key, value in values.items()}
    items = (ItemScores("s1", "Hello there.", 1.0, "hello there", None, {"ovrl": float("nan"), "mcd": 4.0}),)
    return SystemScores(name, measures, items, note)


def group(speaker="ann", language="en-us", **model):
    systems = (
        system(HUMAN, wer=0.01, ovrl=3.2, p808=3.8),
        system(COPY, wer=0.02, ovrl=3.1, mcd=3.0),
        system("mine", "note of mine", **model),
        system(NOISE, "must be above 90 % WER", wer=1.0),
    )
    return Group(speaker, language, 5, 7, systems)


def report(*groups, **model):
    sound = Waveform((0.1 * np.sin(np.arange(4000) / 10)).astype(np.float32), 8000)
    return Report(
        model="mine",
        model_hash="abc",
        corpus="small",
        split="test",
        language="en-us",
        seed=3,
        level_lufs=-23.0,
        groups=groups or (group(**model),),
        environment=environment(2),
        language_model="trigram of 7 sentences",
        left_out={"A zzyzxq.": ("zzyzxq",)},
        notes=("speaker: not measured",),
        pictures=(Picture("s/1", {HUMAN: sound, "mine": sound}),),
    )


def test_the_bar_of_the_words_has_a_floor():
    assert word_error_limit(0.004, 1.5) == pytest.approx(0.014)
    assert word_error_limit(0.04, 1.5) == pytest.approx(0.06)


def test_bars_are_against_the_recordings():
    good = {bar.measure: bar for bar in report(wer=0.0199, ovrl=3.06, p808=3.66).bars()}
    assert {key: bar.reached for key, bar in good.items()} == {"wer": True, "ovrl": True, "p808": True}
    bad = {bar.measure: bar for bar in report(wer=0.021, ovrl=3.04, p808=3.66).bars()}
    assert {key: bar.reached for key, bar in bad.items()} == {"wer": False, "ovrl": False, "p808": True}
    assert bad["wer"].limit == pytest.approx(0.02)
    assert isinstance(bad["wer"], Bar)
    assert report(mcd=5.0).bars() == []


def test_the_table_shows_what_was_measured_without_the_controls():
    made = report(wer=0.02, ovrl=3.0, rtf=0.0123)
    header, rows = made.groups[0].header(), made.groups[0].rows()
    assert header == ["system", "WER %", "OVRL", "P808", "MCD dB", "RTF"]
    assert [row[0] for row in rows] == [HUMAN, COPY, "mine"]
    assert rows[2] == ["mine", "2.00 ±2.00", "3.00 ±0.02", "-", "-", "0.0123 ±0.0200"]
    lines = "\n".join([*made.groups[0].summary("mine"), *made.summary()])
    assert "noise: 100.00 ±2.00 % WER, must be above 90 % WER" in lines
    assert "5 of 7 sentences of small (test), seed 3" in lines
    assert "-23 LUFS" in lines
    assert "2 threads" in lines
    assert "trigram of 7 sentences" in lines
    assert "speaker: not measured" in lines


def test_json_holds_all_that_is_needed_to_run_it_again(tmp_path):
    made = report(wer=0.02, ovrl=float("nan"), rtf=0.01)
    stored = json.loads(made.save(tmp_path / "deep" / "r.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert stored["seed"] == 3
    assert stored["model_hash"] == "abc"
    assert stored["environment"]["threads"] == 2
    assert stored["environment"]["cores"] > 0
    assert "torch" in stored["environment"]["versions"]
    assert stored["left_out"] == {"A zzyzxq.": ["zzyzxq"]}
    mine = stored["systems"][2]
    assert mine["measures"]["wer"] == {"value": 0.02, "low": 0.01, "high": 0.05, "n": 5}
    assert mine["measures"]["dns_overall"]["value"] is None
    (speaker,) = stored["speakers"]
    assert [speaker[key] for key in ("speaker", "language", "n", "of")] == ["ann", "en-us", 5, 7]
    assert speaker["systems"][2]["measures"] == mine["measures"]
    assert speaker["systems"][2]["sentences"][0]["dns_overall"] is None
    assert speaker["systems"][2]["sentences"][0]["mcd"] == 4.0
    assert made.scores() == {"wer": 0.02, "rtf": 0.01}
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["r.json"]


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(MoksoriError, match=r"file.*r\.json: cannot be written"):
        report(wer=0.1).save(tmp_path / "file" / "r.json")
    with pytest.raises(MoksoriError, match="cannot be made"):
        report(wer=0.1).save_pictures(tmp_path / "file" / "pictures")


def test_pictures_are_pictures(tmp_path):
    made = report(wer=0.02, ovrl=3.0).save_pictures(tmp_path / "p")
    assert [path.name for path in made] == ["scores.png", "s_1-recordings.png", "s_1-mine.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in made)


def test_where_only_people_were_told_apart_there_are_no_measures_to_draw(tmp_path):
    judged = report(Group("ann", "en-us", 5, 7, (system(HUMAN), system("mine"))))
    assert [path.name for path in judged.save_pictures(tmp_path / "p")] == ["s_1-recordings.png", "s_1-mine.png"]


def scored(name, *sentences):
    items = tuple(ItemScores(f"s{k}", "Hi.", 1.0, None, None, values) for k, values in enumerate(sentences))
    return SystemScores(name, summarise(items), items)


def test_speakers_have_rows_and_one_for_all_of_them():
    ann = Group("ann", "en-us", 2, 7, (scored(HUMAN, {"ovrl": 3.0}, {"ovrl": 3.0}), scored("mine", {"ovrl": 2.0}, {})))
    eva = Group("eva", "de", 1, 3, (scored(HUMAN, {"ovrl": 4.0}), scored("mine", {"ovrl": 3.0, "mcd": 6.5})))
    made = report(ann, eva)
    assert (made.n, made.of) == (3, 10)
    assert made.header() == ["speaker", "language", "n", "OVRL (rec.)", "MCD dB"]
    assert made.rows() == [
        ["ann", "en-us", "2", "2.00 (3.00)", "-"],
        ["eva", "de", "1", "3.00 (4.00)", "6.50"],
        ["all", "", "3", "2.50 (3.33)", "6.50"],
    ]
    assert made.scores() == {"ovrl": 2.5, "mcd": 6.5}
    assert [bar.reached for bar in made.bars()] == [False]
    stored = json.loads(made.to_json())
    assert [speaker["speaker"] for speaker in stored["speakers"]] == ["ann", "eva"]
    assert stored["systems"][1]["measures"]["dns_overall"]["n"] == 2


def test_one_speaker_needs_no_row_for_all():
    assert [row[0] for row in report(wer=0.02).rows()] == ["ann"]


def test_pictures_of_several_speakers_show_the_model_by_speaker(tmp_path, monkeypatch):
    shown = {}
    monkeypatch.setattr(module, "save_bars", lambda path, panels, title: shown.update(panels))
    report(group("ann", wer=0.02), group("eva", wer=0.04)).save_pictures(tmp_path)
    assert list(shown) == ["WER %"]
    assert {name: pytest.approx(values) for name, values in shown["WER %"].items()} == {
        "ann": (2.0, 1.0, 5.0),
        "eva": (4.0, 3.0, 7.0),
    }
