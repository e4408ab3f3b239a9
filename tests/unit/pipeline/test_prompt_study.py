"""The ablations of speech in the voice of a prompt: what each takes away, what is measured, and the page."""

import json
import math

import pytest
from small_prompted import save_prompted

from moksori.cli.main import main
from moksori.corpus.manifest import Corpus, rewrite
from moksori.corpus.synthetic import write_synthetic
from moksori.evaluation.names import HUMAN, OTHER_PEOPLE
from moksori.evaluation.statistics import Estimate
from moksori.models.checkpoint import Manifest, save_model
from moksori.pipeline import prompt_measures, prompt_study
from moksori.pipeline.ablations import Figure, Measured
from moksori.pipeline.prompt_report import COLUMNS
from moksori.pipeline.prompt_study import DESIGN, PromptStudy
from moksori.pipeline.run_config import run_config
from moksori.types import SpeechNeeds


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    made = write_synthetic(
        tmp_path_factory.mktemp("study") / "tones", count=8, needs=SpeechNeeds(16000, 200), speakers=2
    )
    return made.corpus.folder


def run(corpus, folder, *more):
    words = ["study", "prompts", "--corpus", corpus, "--run", folder, "--preset", "naturalspeech2/tiny", *more]
    return main([str(word) for word in words])


def test_every_variant_takes_one_thing_away():
    whole = run_config("naturalspeech2/study")
    changed = {}
    for variant in DESIGN.variants:
        config = run_config("naturalspeech2/study", variant.assignments)
        pairs = [(whole.model.model_dump(), config.model.model_dump())]
        pairs += [(whole.objective.model_dump(), config.objective.model_dump())]
        changed[variant.name] = {name for ours, theirs in pairs for name in ours if ours[name] != theirs[name]}
    assert changed == {
        "full": set(),
        "no-denoiser-prompt": {"denoiser"},
        "no-predictor-prompt": {"predictor_prompt"},
        "no-cross-entropy": {"cross_entropy_weight"},
        "no-query-tokens": {"denoiser"},
    }
    assert whole.training.max_steps == 1500
    assert whole.training.max_minutes is None
    assert whole.model == run_config("naturalspeech2/compact").model


def test_a_study_to_its_page(corpus, tmp_path, capsys, monkeypatch):
    """Training and listening are tested elsewhere: here is what is asked of them, and what is made of the answers."""
    trained, asked = [], []

    def train(preset, of_corpus, folder, assignments, start_from=None, listener=None):
        trained.append((folder.name, tuple(assignments)))
        config = run_config(preset, assignments)
        settings = config.model.model_dump(mode="json")
        manifest = Manifest(family="naturalspeech2", name="m", model=settings, sample_rate=16000, steps=4)
        save_model(folder / "model", config.family.model(config.model), manifest)
        (folder / "config.yaml").write_text(config.to_yaml(), encoding="utf-8")

    def measure(weights, of_corpus, **options):
        asked.append(weights.parent.name)
        worse = 0.0 if "full" in str(weights) else 0.1
        figures = {"speaker": Figure(0.8 - worse, 0.02, 9), "data": Figure(0.1 + worse, math.nan, 1)}
        beside = {HUMAN: {"speaker": Figure(0.9, 0.02, 9)}, OTHER_PEOPLE: {"speaker": Figure(0.5, 0.02, 9)}}
        return Measured(figures, beside, ["9 texts in the voices of prompts"])

    monkeypatch.setattr("moksori.pipeline.study_runs.train", train)
    monkeypatch.setattr(prompt_study, "measure_prompts", measure)
    monkeypatch.setattr(prompt_study.Settings, "judges", lambda self, texts, groups, judged: (None, list(groups)))
    chosen = ("--variant", "full", "--variant", "no-query-tokens", "--steps", "4", "--limit", "3")
    assert run(corpus, tmp_path / "s", *chosen) == 0, capsys.readouterr().err
    shown = capsys.readouterr().out
    assert "| everything | 4 | 0.800 ±0.020 | 0.1000 |" in shown
    assert "| frames of the prompt instead of query tokens | -0.100, worse | tie (+0.1000) |" in shown
    assert "| others of the same sex | - | 0.500 ±0.020 | - |" in shown
    assert asked == ["full-seed-0", "no-query-tokens-seed-0"]
    assert [name for name, _ in trained] == asked
    assert "model.denoiser.prompt=frames" in trained[1][1]
    assert {"training.max_steps=4", "training.max_minutes=null", "training.seed=0"} <= set(trained[0][1])
    page = (tmp_path / "s" / "prompts.md").read_text(encoding="utf-8")
    line = "moksori study prompts --corpus corpora/synthetic --preset naturalspeech2/tiny --steps 4 --limit 3"
    assert line in page
    assert "9 texts in the voices of prompts." in page
    assert (tmp_path / "s" / "prompts.png").read_bytes().startswith(b"\x89PNG")
    stored = PromptStudy.read(tmp_path / "s" / "prompts.json")
    assert stored.as_json() == json.loads((tmp_path / "s" / "prompts.json").read_text(encoding="utf-8"))
    assert set(stored.runs[0].measures) <= set(COLUMNS)
    assert run(corpus, tmp_path / "s", *chosen) == 0  # nothing is done twice
    assert len(asked) == len(trained) == 2


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--variant", "no-prompt"], "unknown variant 'no-prompt'"),
        (["--preset", "vits/tiny"], "a preset of 'vits'; the study is one of 'naturalspeech2'"),
        (["model.predictor_prompt=false"], "no-predictor-prompt: with these settings there is nothing to take away"),
        (["training.max_steps=7"], "the study sets this: give --steps"),
        (["--preset", "naturalspeech2/compact"], "has no training.max_steps"),
        (["--split", "others"], "others"),
    ],
)
def test_bad_usage_is_told_in_a_line(corpus, tmp_path, capsys, more, message):
    assert run(corpus, tmp_path / "x", *more) == 2
    line = capsys.readouterr().err
    assert message in line
    assert line.count("\n") == 1
    assert not (tmp_path / "x").exists()


def test_one_speaker_alone_is_refused(corpus, tmp_path, capsys):
    opened = Corpus.open(corpus)
    alone = [u for u in opened.split("train") if u.speaker == opened.split("train")[0].speaker]
    rewrite(tmp_path, opened.info, {"train": alone, "test": opened.split("test")})
    assert run(tmp_path, tmp_path / "x") == 2
    assert "training recordings of 1 speaker, and voices are learnt from many" in capsys.readouterr().err


def test_the_validation_of_the_weights_is_read(tmp_path):
    weights = save_prompted(tmp_path)
    log = [{"step": 0, "kind": "valid", "data": 0.5, "codes_1": 0.25}, {"step": 0, "kind": "train", "data": 9.0}]
    log.append({"step": 8, "kind": "valid", "data": 0.1})
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(one) + "\n" for one in log), encoding="utf-8")
    found = prompt_measures.validated(weights)
    assert {name: figure.value for name, figure in found.items()} == {"data": 0.5, "codes_1": 0.25}


def test_what_is_heard_is_told_apart_from_what_stands_beside(monkeypatch, tmp_path):
    class System:
        def __init__(self, name, value):
            self.name, self.measures = name, {"speaker": Estimate(value, value - 0.1, value + 0.1, 5), "ovrl": None}

    class Report:
        model, systems = "m", [System(HUMAN, 0.9), System("m", 0.7)]
        material, notes = "five texts", ("", "a note")

    monkeypatch.setattr(prompt_measures, "evaluate", lambda *given, **named: Report())
    monkeypatch.setattr(prompt_measures, "validated", lambda weights: {"data": Figure(0.1, math.nan, 1)})
    found = prompt_measures.measure_prompts(tmp_path, tmp_path)
    assert found.measures["speaker"].half == pytest.approx(0.1)
    assert set(found.measures) == {"data", "speaker"}
    assert set(found.references) == {HUMAN}
    assert found.notes == ["five texts", "a note"]
