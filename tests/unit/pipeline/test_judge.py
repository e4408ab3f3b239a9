"""A model as judge of its corpus: a wrong text and a noisy clip, planted into tones, stand out."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from moksori.audio.io import write
from moksori.cli.main import app
from moksori.corpus.features import prepare
from moksori.corpus.manifest import Corpus, read_dropped, read_utterance, write_cuts
from moksori.corpus.synthetic import write_synthetic
from moksori.errors import BadInput, CorpusError, MoksoriError, UnknownName, UnsupportedTask
from moksori.models.checkpoint import Manifest, save_model
from moksori.models.flowtron import Flowtron, FlowtronObjective
from moksori.pipeline.batches import ExampleBatches
from moksori.pipeline.judge import REASONS, judge_corpus, robust_low
from moksori.pipeline.run_config import run_config
from moksori.types import SpeechNeeds, Waveform

NEEDS = SpeechNeeds(22050, 256, durations=True)
STEPS = 110
WRONG, NOISY = 7, 9


@dataclass(frozen=True)
class Judged:
    corpus: Path
    model: Path
    wrong: str
    noisy: str


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    """A tiny Flowtron that learnt some tones, and these tones with two faults planted afterwards."""
    folder = tmp_path_factory.mktemp("judge")
    config = run_config("flowtron/tiny", ["model.pitch=false"])
    synthetic = write_synthetic(folder / "corpus", count=48, needs=NEEDS, text=config.model.text)
    examples = prepare(synthetic.corpus, "train", NEEDS, config.model.text, synthetic.durations)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Flowtron(config.model)
        helps = {"prior_hold_steps": STEPS // 3, "prior_anneal_steps": STEPS // 3}
        objective = FlowtronObjective(model, config.objective.model_copy(update=helps)).train()
        batches = ExampleBatches(examples, NEEDS, 8, 0)
        objective.initialise([batches.batch(step) for step in range(4)])
        optimizer = torch.optim.AdamW(objective.parameters(), lr=5e-3)
        for step in range(STEPS):
            update = next(objective.updates(batches.batch(step), step, torch.Generator().manual_seed(step)))
            optimizer.zero_grad()
            update.total().backward()
            torch.nn.utils.clip_grad_norm_(objective.parameters(), 1.0)
            optimizer.step()
    settings = config.model.model_dump(mode="json")
    manifest = Manifest(family="flowtron", name="tones", model=settings, text=config.model.text, sample_rate=22050)
    save_model(folder / "model", model.eval(), manifest)
    utterances = synthetic.corpus.split("train")
    utterances[WRONG] = replace(utterances[WRONG], text=utterances[20].text)
    write_cuts(folder / "corpus", "train", utterances)
    noisy = read_utterance(utterances[NOISY])
    samples = noisy.samples.copy()
    third = len(samples) // 3
    samples[third : 2 * third] += 0.1 * np.random.default_rng(0).standard_normal(third).astype(np.float32)
    write(utterances[NOISY].audio, Waveform(np.clip(samples, -1.0, 1.0), noisy.sample_rate))
    return Judged(folder / "corpus", folder / "model", utterances[WRONG].name, utterances[NOISY].name)


def test_planted_faults_stand_out(made: Judged, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    report = judge_corpus(
        made.corpus, made.model, json_path=tmp_path / "j.json", progress=lambda *done: seen.append(done)
    )
    suspects = {clip.name: clip for clip in report.suspects}
    assert report.clips[0].name == made.noisy
    assert REASONS["likelihood"] in suspects[made.noisy].reasons
    assert REASONS["worst"] in suspects[made.noisy].reasons
    start, seconds = suspects[made.noisy].worst_seconds, suspects[made.noisy].seconds
    assert start <= 2 / 3 * seconds
    assert start + 0.5 >= seconds / 3
    assert REASONS["text_gain"] in suspects[made.wrong].reasons
    assert len(suspects) <= 8  # the model has learnt for seconds
    assert report.aligned
    assert len(report.clips) == 48
    assert seen[-1] == (48, 48)
    stored = json.loads((tmp_path / "j.json").read_text())
    assert [clip["name"] for clip in stored["clips"]] == [clip.name for clip in report.clips]
    assert stored["medians"]["text_gain"] > 0


def test_a_model_of_pitch_is_given_the_pitch(made: Judged, tmp_path: Path) -> None:
    config = run_config("flowtron/tiny")
    assert config.model.pitch
    settings = config.model.model_dump(mode="json")
    manifest = Manifest(family="flowtron", name="tones", model=settings, text=config.model.text, sample_rate=22050)
    torch.manual_seed(0)
    save_model(tmp_path / "model", Flowtron(config.model).eval(), manifest)
    report = judge_corpus(made.corpus, tmp_path / "model")
    assert len(report.clips) == 48
    assert np.isfinite([clip.likelihood for clip in report.clips]).all()


def test_the_verb_shows_and_drops(made: Judged, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    shutil.copytree(made.corpus, corpus)
    ran = CliRunner().invoke(
        app, ["corpus", "check", str(corpus), "--model", str(made.model), "--json", str(tmp_path / "j.json"), "--drop"]
    )
    assert ran.exit_code == 0, ran.output
    assert made.noisy in ran.output
    assert made.wrong in ran.output
    assert (tmp_path / "j.json").is_file()
    dropped = {row.name for row in read_dropped(corpus) if row.stage == "judge"}
    assert {made.noisy, made.wrong} <= dropped
    assert not dropped & {u.name for split in ("train", "valid", "test") for u in Corpus.open(corpus).split(split)}
    again = judge_corpus(corpus, made.model)  # what an earlier judgement dropped is judged anew
    assert {clip.name for clip in again.suspects} == dropped
    assert CliRunner().invoke(app, ["corpus", "check", str(corpus), "--drop"]).exit_code == 2


def test_a_clip_alone_has_no_other_text(made: Judged, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    shutil.copytree(made.corpus, corpus)
    same = [replace(u, text="One two.") for u in Corpus.open(corpus).split("train")]
    write_cuts(corpus, "train", same)
    report = judge_corpus(corpus, made.model, ["train"], limit=6)
    assert len(report.clips) == 6
    assert all(clip.text_gain is None for clip in report.clips)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda made: {"threshold": float("nan")}, BadInput, "threshold"),
        (lambda made: {"threshold": 0.0}, BadInput, "threshold"),
        (lambda made: {"limit": 2}, BadInput, "5 or more"),
        (lambda made: {"limit": 9, "drop": True}, BadInput, "all clips"),
        (lambda made: {"splits": ["valid"]}, CorpusError, "2 clips can be judged"),
        (lambda made: {"splits": ["none"]}, UnknownName, "none"),
        (lambda made: {"model": "kathleen"}, UnsupportedTask, "no likelihoods"),
        (lambda made: {"corpus": made.model}, CorpusError, "corpus.json"),
    ],
)
def test_what_cannot_be_judged_is_refused(
    made: Judged, change: Callable[[Judged], dict[str, object]], error: type[MoksoriError], message: str
) -> None:
    settings: dict[str, object] = {"corpus": made.corpus, "model": made.model, **change(made)}
    with pytest.raises(error, match=message):
        judge_corpus(**settings)  # type: ignore[arg-type]


def test_scores_are_of_what_lies_below() -> None:
    scores = robust_low(np.array([0.0, -0.1, -0.2, -0.3, 5.0, 6.0, 7.0, -9.0]), 0.01)
    assert scores.argmin() == 7
    assert scores[7] < -4.0
    assert np.abs(robust_low(np.full(9, 1.0), 0.05)).max() == 0.0
