"""The study of control of a tiny Flowtron: every section is measured, what is done is not done again, and what it says
of made-up figures is right."""

import json
from pathlib import Path

import numpy as np
import pytest
from flowtron_voice import RATE, save_flowtron
from small_imitator import save_vocoder, talk

from moksori.audio.io import write
from moksori.cli.main import main
from moksori.corpus.manifest import CorpusInfo, rewrite
from moksori.pipeline import control_sections
from moksori.pipeline.control_measures import Prosody, contour_correlation, mean_prosody, prosody, spread
from moksori.pipeline.control_sections import moved
from moksori.pipeline.control_study import ControlStudy, study_control
from moksori.types import Utterance, Waveform

TEXTS = ("Hello there.", "How are you today?", "I am fine.", "So it goes on.")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """Two speakers with four sentences each."""
    folder = tmp_path_factory.mktemp("talk")
    (folder / "audio").mkdir()
    utterances = []
    for index in range(8):
        sound = talk(1.6 + 0.2 * (index // 2), RATE, 120.0 + 80.0 * (index % 2) + 10.0 * index, seed=index)
        speaker = ("ann", "bob")[index % 2]
        path = folder / "audio" / f"{speaker}_{index}.flac"
        write(path, sound)
        seconds = sound.duration_seconds
        utterances.append(Utterance(path.stem, TEXTS[index // 2], speaker, "en-us", path, 0.0, seconds, RATE))
    rewrite(folder, CorpusInfo("talk", "CC0 1.0", "en-us", ("ann", "bob")), {"train": utterances, "test": utterances})
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return save_flowtron(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def vocoder(model) -> Path:
    return save_vocoder(model.parent / "through", overrides=(f"model.mel.sample_rate={RATE}",))


def test_every_section_is_measured_and_kept(corpus, model, vocoder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(control_sections, "SIGMAS", (0.0, 1.0))
    monkeypatch.setattr(control_sections, "STRENGTHS", (0.9,))
    monkeypatch.setattr(control_sections, "SEEDS", 1)
    monkeypatch.setattr(control_sections, "STEPS", 3)
    monkeypatch.setattr(control_sections, "GROUP_CLIPS", 2)
    words = ["study", "control", str(model), "--corpus", str(corpus), "--run", str(tmp_path), "--limit", "1"]
    assert main([*words, "--samples", "2", "--vocoder", str(vocoder)]) == 0
    told = capsys.readouterr().out
    study = ControlStudy.read(tmp_path / "control.json")
    sections = study.sections
    assert set(sections) == {"round_trip", "variation", "interpolation", "speakers", "components", "prosody", "style"}
    assert sections["round_trip"]["largest_error"] < 1e-3
    assert sections["round_trip"]["largest_error_float64"] < 1e-9
    still, moving = sections["variation"]["rows"]
    assert still["spread"]["duration"]["value"] == 0.0
    assert moving["spread"]["level"]["value"] > 0.0
    assert {pair["style"] for pair in sections["style"]["pairs"]} <= {"as ann", "as bob"}
    assert sections["components"] == {"left_out": "the prior is one Gaussian"}
    assert "Components of the prior: not measured" in told
    assert (tmp_path / "control.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "control.md").read_text().count("|") > 50
    before = json.loads((tmp_path / "control.json").read_text())
    monkeypatch.setattr(control_sections.ControlWork, "say", None)  # nothing is said a second time
    again = study_control(model, corpus, tmp_path, limit=1, samples=2, vocoder=vocoder)
    assert again.as_json() == before


def test_only_voices_with_latents_are_studied(corpus, toy_folder, tmp_path, model, capsys):
    assert main(["study", "control", str(toy_folder), "--corpus", str(corpus), "--run", str(tmp_path)]) == 2
    assert "has no latents whose control could be measured" in capsys.readouterr().err
    (tmp_path / "control.json").write_text("[]")
    with pytest.raises(Exception, match="no result of a study"):
        ControlStudy.read(tmp_path / "control.json")


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--variation", "-1", "variation -1.0: expected a number from 0 to 10"),
        ("--variation", "nan", "variation nan: expected a number from 0 to 10"),
        ("--style-mode", "segment", "style mode 'segment': expected batch or time_and_batch"),
        ("--clips", "6", "clips 6: expected 1 to 5"),
        ("--seed", "-1", "seed -1: expected a whole number"),
    ],
)
def test_values_are_looked_at_before_anything_is_measured(tmp_path, capsys, option, value, message):
    run = tmp_path / "run"  # neither model nor corpus is there: nothing is opened before
    assert main(["study", "control", "none", "--corpus", "none", "--run", str(run), option, value]) == 2
    assert message in capsys.readouterr().err
    assert not run.exists()


def test_prosody_of_known_sounds():
    low, high = (prosody(talk(2.0, RATE, pitch), 20) for pitch in (110.0, 220.0))
    assert low.pitch == pytest.approx(12.0, abs=0.7)
    assert high.pitch - low.pitch == pytest.approx(12.0, abs=0.7)
    assert low.rate == pytest.approx(20 / low.seconds)
    silent = prosody(Waveform(np.zeros(RATE, np.float32), RATE), 5)
    assert np.isnan(silent.pitch)
    made = [Prosody(10.0, 2.0, 5.0, 1.0, -20.0), Prosody(12.0, 4.0, 5.0, 3.0, -20.0)]
    assert spread(made) == pytest.approx({"pitch": 2**0.5, "range": 2**0.5, "duration": 0.5**0.5, "level": 0.0})
    assert mean_prosody(made)["seconds"] == 2.0


def test_contours_of_the_same_melody_go_together():
    samples = talk(3.0, RATE).samples
    assert contour_correlation(samples, samples, RATE) == pytest.approx(1.0)
    assert np.isnan(contour_correlation(samples, np.zeros_like(samples), RATE))


def test_moving_is_counted_from_the_plain_rendering():
    def pair(plain, styled, goal):
        said = {"0": dict.fromkeys(("pitch", "range", "rate"), plain)}
        said |= {f"{s:g}": dict.fromkeys(("pitch", "range", "rate"), styled) for s in control_sections.STRENGTHS}
        return {"reference": dict.fromkeys(("pitch", "range", "rate"), goal), "said": said}

    rows = moved(
        [pair(10.0, 11.0, 12.0), pair(10.0, 9.0, 12.0), pair(10.0, 13.0, 12.0), pair(10.0, float("nan"), 12.0)]
    )
    assert rows[0]["pitch"] == {"nearer": 2 / 3, "far_nearer": 0.5, "n": 3, "closed": 0.5}
