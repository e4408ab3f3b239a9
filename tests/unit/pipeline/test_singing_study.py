"""The ablations of singing conversion, from nothing to their page, with tiny models on made songs."""

import json
import math

import pytest
import torch
from safetensors.torch import load_file

pytest.importorskip("pyworld")
pytest.importorskip("mir_eval")
from small_singers import SMALL
from small_songs import Ears, write_songs

from moksori.cli.main import main
from moksori.corpus.manifest import Corpus, rewrite
from moksori.corpus.speech_to_singing import is_song
from moksori.errors import TrainingCollapsed
from moksori.evaluation import singer, speaker_encoders
from moksori.pipeline.ablation_report import Spread, differences, ties
from moksori.pipeline.ablations import Figure
from moksori.pipeline.run_config import run_config
from moksori.pipeline.singing_report import COLUMNS, markdown
from moksori.pipeline.singing_study import FULL, VARIANTS, SingingStudy, Trained, variant_named
from moksori.pipeline.train import _objective

PHASE_2 = "objective.back_translation={start_step: 2, pool_crops: 4, refresh_crops: 2, refresh_every: 1}"
SETTINGS = (*SMALL, PHASE_2, "objective.speed=0.1", "training.batch_size=3", "training.validate_every=4")


@pytest.fixture(autouse=True)
def ears(monkeypatch):
    monkeypatch.setattr(speaker_encoders, "SpeakerEncoder", Ears)
    monkeypatch.setattr(singer, "PROBE_STEPS", 20)  # what is tested is that it is asked
    monkeypatch.setattr(singer, "LEAST_CROPS", 1)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_songs(tmp_path_factory.mktemp("songs"), valid=True)


def run(corpus, folder, *more, settings=SETTINGS):
    words = ["study", "singing", "--corpus", corpus, "--run", folder, "--preset", "wavenet_autoencoder/tiny"]
    return main([str(word) for word in [*words, "--limit", 1, "--targets", 1, *more, *settings]])


def test_a_study_from_nothing_to_its_page(corpus, tmp_path, capsys, monkeypatch):
    folder = tmp_path / "study"
    chosen = ("--variant", "full", "--variant", "no-confusion")
    assert run(corpus, folder, "--steps", "4", *chosen) == 0, capsys.readouterr().err
    shown = capsys.readouterr().out
    assert "| everything | 4 |" in shown
    assert "| without | taken for the target % |" in shown
    assert (folder / "singing.png").read_bytes().startswith(b"\x89PNG")
    page = (folder / "singing.md").read_text(encoding="utf-8")
    assert "4 steps of 1 seed; measured on the split `test`" in page
    assert "moksori study singing --corpus corpora/songs --preset wavenet_autoencoder/tiny --steps 4 --limit 1" in page
    assert "no confusion (lambda 0)" in page
    found = json.loads((folder / "singing.json").read_text(encoding="utf-8"))
    assert [(one["variant"], one["seed"], one["failure"]) for one in found["runs"]] == [
        ("full", 0, ""), ("no-confusion", 0, "")
    ]  # fmt: skip
    for one in found["runs"]:
        measures = {name: figure["value"] for name, figure in one["measures"].items()}
        assert one["steps"] == 4
        assert 0.0 <= measures["singer_identified"] <= 1.0
        assert 0.0 <= measures["raw_pitch_accuracy"] <= 1.0
        assert 0.0 <= measures["code_probe"] <= 1.0
        assert 3.0 < measures["bits"] < 8.2
        assert measures["copy_mel_distance"] > 0.1
        assert math.isfinite(measures["singer_gain"])
    assert found["references"]["guessing"]["code_probe"]["value"] == pytest.approx(1 / 3, abs=1e-5)
    assert found["references"]["recordings"]["singer_identified"]["value"] == 1.0
    for one, weight in (("full", 0.01), ("no-confusion", 0.0)):
        assert run_config(folder / f"{one}-seed-0" / "config.yaml").objective.confusion.weight == weight
    weights = [load_file(folder / f"{one}-seed-0" / "model" / "model.safetensors") for one in ("full", "no-confusion")]
    assert not torch.equal(*(each["encoder.last.weight"] for each in weights))

    # A second call finds everything, and gives the same; another step count is refused.
    monkeypatch.setattr("moksori.pipeline.study_runs.train", lambda *given, **named: pytest.fail("trained again"))
    monkeypatch.setattr("moksori.pipeline.singing_study.measure_singing", lambda *a, **k: pytest.fail("measured again"))
    assert run(corpus, folder, "--steps", "4", *chosen) == 0
    assert json.loads((folder / "singing.json").read_text(encoding="utf-8")) == found
    assert SingingStudy.read(folder / "singing.json").as_json() == found
    capsys.readouterr()
    assert run(corpus, folder, "--steps", "6", *chosen) == 2
    line = capsys.readouterr().err
    assert "holds a study with assignments" in line or "holds a study with steps 4, not 6" in line
    assert line.count("\n") == 1


def test_a_run_that_collapses_is_told_and_not_taken_up_again(corpus, tmp_path, capsys, monkeypatch):
    def collapse(*given, **named):
        raise TrainingCollapsed("step 3: the run was stopped: the codes run away")

    monkeypatch.setattr("moksori.pipeline.study_runs.train", collapse)
    assert run(corpus, tmp_path, "--steps", "4", "--variant", "full") == 0
    shown = capsys.readouterr().out
    assert "full-seed-0: stopped: step 3: the run was stopped: the codes run away" in shown
    assert "| everything | 0, 1 of 1 stopped |" in shown
    monkeypatch.setattr("moksori.pipeline.study_runs.train", lambda *given, **named: pytest.fail("trained again"))
    assert run(corpus, tmp_path, "--steps", "4", "--variant", "full") == 0
    assert SingingStudy.read(tmp_path / "singing.json").runs[0].failure.startswith("step 3")


def test_every_variant_begins_with_the_same_weights():
    first = None
    for variant in VARIANTS:
        config = run_config("wavenet_autoencoder/tiny", [*SETTINGS, *variant.assignments])
        begun = _objective(config).model.state_dict()
        first = begun if first is None else first
        assert all(torch.equal(begun[name], value) for name, value in first.items())
        assert begun.keys() == first.keys()


def test_every_variant_takes_one_thing_away():
    whole = run_config("wavenet_autoencoder/study").objective
    changed = {}
    for variant in VARIANTS:
        objective = run_config("wavenet_autoencoder/study", variant.assignments).objective
        theirs, ours = objective.model_dump(), whole.model_dump()
        changed[variant.name] = {name for name in ours if theirs[name] != ours[name]}
    assert changed == {
        "full": set(),
        "no-back-translation": {"back_translation"},
        "no-mixup": {"back_translation"},
        "no-augmentation": {"four_fold", "speed"},
        "no-confusion": {"confusion"},
    }
    no_mixup = run_config("wavenet_autoencoder/study", variant_named("no-mixup").assignments).objective
    assert not no_mixup.back_translation.mixup
    assert no_mixup.back_translation.pool_crops == whole.back_translation.pool_crops


@pytest.mark.parametrize(
    ("more", "settings", "message"),
    [
        (["--variant", "no-mixups"], SETTINGS, "unknown variant 'no-mixups': did you mean 'no-mixup'?"),
        (["--steps", "4"], SMALL, "no-back-translation: with these settings there is nothing to take away"),
        (["--steps", "4"], (*SETTINGS, "objective.confusion.weight=0"), "no-confusion: with these settings"),
        (["--steps", "4"], (*SETTINGS, "training.seed=3"), "training.seed=3: the study sets this"),
        (["--steps", "4", "--preset", "vits/tiny"], (), "a preset of 'vits'; the study is one of"),
        (["--steps", "4", "--from", "nobody"], SETTINGS, "nobody"),
        ([], (*SETTINGS, "training.max_steps=7"), "the study sets this: give --steps"),
    ],
)
def test_bad_usage_is_told_in_a_line(corpus, tmp_path, capsys, more, settings, message):
    assert run(corpus, tmp_path / "x", *more, settings=settings) == 2
    line = capsys.readouterr().err
    assert message in line
    assert line.count("\n") == 1
    assert not (tmp_path / "x").exists()


def test_what_cannot_be_measured_is_told_before_anything_is_trained(corpus, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("moksori.pipeline.study_runs.train", lambda *given, **named: pytest.fail("trained"))
    opened = Corpus.open(corpus)
    alone = [utterance for utterance in opened.split("train") if utterance.speaker == "ann"]
    spoken = [utterance for utterance in opened.split("train") if not is_song(utterance)]
    for name, parts, message in (
        ("alone", {"train": alone, "test": opened.split("test")}, "training recordings of 1 singer"),
        ("spoken", {"train": opened.split("train"), "test": spoken}, "no songs in its split 'test'"),
    ):
        folder = tmp_path / name
        folder.mkdir()
        rewrite(folder, opened.info, parts)
        assert run(folder, tmp_path / "x", "--steps", "4") == 2
        line = capsys.readouterr().err
        assert message in line
        assert line.count("\n") == 1
    assert not (tmp_path / "x").exists()


def study_of(values, seeds=2):
    """A study whose variants have these figures of pitch, a little different in each seed."""
    runs = [
        Trained(variant_named(name), seed, 100, {"raw_pitch_accuracy": Figure(value + 0.02 * seed, half, 10)})
        for name, (value, half) in values.items()
        for seed in range(seeds)
    ]  # fmt: skip
    settings = {"preset": "p", "steps": 100, "from": "", "start": "", "corpus": "c", "split": "test", "limit": 3}
    return SingingStudy("folder", {**settings, "targets": None, "given": ["a=b c"], "seeds": seeds}, runs)


def test_what_lies_within_the_spread_is_a_tie():
    study = study_of({"full": (0.80, 0.01), "no-mixup": (0.79, 0.01), "no-augmentation": (0.50, 0.01)})
    lines = differences(study, COLUMNS)
    assert lines[2] == "| no mixup (phase 2 in voices of the table) | tie (-1) |"
    assert lines[3] == "| no augmentation (four versions, slices, speed) | -30, worse |"
    assert "| everything | 100 | 81 ±1 |" in markdown(study)
    line = "moksori study singing --corpus corpora/c --preset p --steps 100 --seeds 2 --limit 3 'a=b c'"
    assert line in markdown(study)
    # Between seeds 2 points lie, so 1.4 of deviation; the sounds' interval counts where it is wider.
    assert Spread.of([Figure(0.80, 0.001, 9), Figure(0.82, 0.001, 9)]).spread == pytest.approx(0.01414, abs=1e-5)
    assert Spread.of([Figure(0.80, 0.05, 9), Figure(0.82, 0.03, 9)]).spread == pytest.approx(0.04)
    assert ties(Spread(0.5, 0.1), Spread(0.59, 0.0))
    assert not ties(Spread(0.5, 0.1), Spread(0.61, 0.05))
    assert ties(Spread(0.5, math.nan), Spread(0.9, 0.1))  # of one sound nothing follows
    assert Spread.of([Figure(math.nan, math.nan, 0)]) is None
    assert math.isnan(Spread.of([Figure(0.5, math.nan, 1)]).spread)
    same = study_of({"full": (0.80, 0.0001), "no-mixup": (0.801, 0.0001)}, seeds=1)
    assert "tie (+0)" in differences(same, COLUMNS)[2]  # what the table does not show is no difference
    assert differences(study_of({"full": (0.8, 0.1)}), COLUMNS) == []
    assert FULL in study.variants
