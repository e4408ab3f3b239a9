"""From a corpus to a model that speaks, killed, resumed, and started from another; errors before anything starts."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from moksori.corpus.manifest import rewrite
from moksori.corpus.synthetic import write_synthetic
from moksori.errors import BadInput, CheckpointError, ConfigError, CorpusError, UnknownName
from moksori.models.checkpoint import has_discriminators, load_model, read_manifest, read_weights
from moksori.pipeline import train as module
from moksori.pipeline.speaker import Speaker
from moksori.pipeline.train import Listener, train

ALIGNER = ("training.max_steps=30", "training.batch_size=8", "objective.uniform_steps=10")
SETTINGS = (
    "training.max_steps=4", "training.save_every=2", "training.validate_every=2", "training.speak_every=4",
    "training.batch_size=2", "training.log_every=1", "training.device=cpu", "sentences=[Seven rivers.]",
)  # fmt: skip


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    return write_synthetic(tmp_path_factory.mktemp("corpus") / "tones", count=8, seed=5).corpus.folder


def run(corpus: Path | None, folder: Path, *more: str, preset: str | None = "vits/tiny", **options):
    assignments = (*SETTINGS, *more) if not options.get("resume") else more
    return train(preset, corpus, folder, assignments, aligner_assignments=ALIGNER, **options)


@pytest.fixture(scope="module")
def whole(corpus: Path, tmp_path_factory) -> Path:
    """An unbroken run."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    stages, steps = [], []
    listener = Listener(stage=stages.append, step=lambda progress: steps.append(progress.step))
    result = run(corpus, folder, listener=listener)
    assert result.finished
    assert result.model == folder / "model"
    assert stages == ["aligning", "preparing", "training"]
    assert steps == [1, 2, 3, 4]
    return folder


def test_the_run_leaves_a_model_that_speaks(whole: Path) -> None:
    manifest = read_manifest(whole / "model")
    assert (manifest.family, manifest.name, manifest.licence, manifest.sample_rate) == (
        "vits", "synthetic", "CC0 1.0", 22050
    )  # fmt: skip
    assert manifest.steps in (2, 4)
    assert manifest.data == ("synthetic (CC0 1.0)",)
    assert has_discriminators(whole / "model")
    assert "moksori say" in (whole / "model" / "README.md").read_text()
    speaker = Speaker(load_model(whole / "model"))
    speech, again = (speaker.say("One lemon.", seed=3) for _ in range(2))
    assert speech.duration_seconds > 0.3
    assert (speech.samples == again.samples).all()
    assert [word.text for word in speech.timings] == ["One", "lemon."] or len(speech.timings) == 2
    lines = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    assert [(line["step"], line["kind"]) for line in lines] == [
        (1, "train"), (2, "train"), (2, "valid"), (3, "train"), (4, "train"), (4, "valid")
    ]  # fmt: skip


def test_killed_and_resumed_it_exports_the_same_model(corpus: Path, whole: Path, tmp_path, monkeypatch) -> None:
    folder = tmp_path / "run"
    fit = module.fit
    monkeypatch.setattr(module, "fit", lambda *a, **k: fit(*a, **k, pause_at=3))
    assert not run(corpus, folder).finished
    monkeypatch.setattr(module, "fit", fit)
    with pytest.raises(ConfigError, match=r"holds a run at step-00000003: add --resume"):
        run(corpus, folder)
    (folder / "checkpoints" / ".partial-00000004-1").mkdir()
    result = run(None, folder, preset=None, resume=True)
    assert result.finished
    for stem in ("model", "discriminators"):
        ours, theirs = read_weights(folder / "model", stem), read_weights(whole / "model", stem)
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs), stem
    assert run(None, folder, preset=None, resume=True).state.step == 4  # nothing left to do
    assert run(None, folder, "training.max_steps=5", preset=None, resume=True).state.step == 5


def test_from_takes_over_what_fits(corpus: Path, whole: Path, tmp_path, monkeypatch) -> None:
    learned = {}
    fit = module.fit

    def spied(objective, *more, **options):
        learned["first"] = {name: tensor.clone() for name, tensor in objective.model.state_dict().items()}
        learned["initialise"] = options["initialise"]
        return fit(objective, *more, **options, pause_at=0)

    monkeypatch.setattr(module, "fit", spied)
    result = run(corpus, tmp_path / "run", "model.decoder.num_layers=3", start_from=str(whole))
    stored = read_weights(whole / "model")
    assert result.transferred is not None
    assert "text_encoder.embedding.weight" in result.transferred.whole
    assert any("blocks.2" in name for name in result.transferred.left)
    name = "text_encoder.embedding.weight"
    assert torch.equal(learned["first"][name], stored[name].float())
    assert learned["initialise"] is False
    # Killed before the first step was kept: resuming takes the weights over once more.
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    resumed = run(None, tmp_path / "run", preset=None, resume=True)
    assert resumed.transferred is not None
    assert torch.equal(learned["first"][name], stored[name].float())
    stages: list[str] = []
    with pytest.raises(CheckpointError, match=r"no tensor fits; it is a 'vits' model, not a 'vqvae' one: name a model"):
        run(
            corpus, tmp_path / "other", preset="vqvae/tiny", start_from=str(whole / "model"),
            listener=Listener(stage=stages.append),
        )  # fmt: skip
    assert stages == []  # told before anything is aligned or prepared


def test_from_a_model_without_a_part_starts_that_part_anew(
    corpus: Path, whole: Path, tmp_path, monkeypatch, caplog
) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(whole / "model", bare)
    config = json.loads((bare / "config.json").read_text(encoding="utf-8"))
    (bare / "config.json").write_text(json.dumps(config | {"absent": ["posterior_encoder"]}), encoding="utf-8")
    fit = module.fit
    monkeypatch.setattr(module, "fit", lambda *given, **options: fit(*given, **options, pause_at=0))
    result = run(corpus, tmp_path / "run", start_from=str(bare))
    assert "holds no posterior_encoder, which starts from new weights" in caplog.text
    assert result.transferred is not None
    assert "text_encoder.embedding.weight" in result.transferred.whole
    assert not any(name.startswith("posterior_encoder.") for name in result.transferred.whole)


def test_equal_seeds_start_from_equal_weights() -> None:
    config = module.run_config("vits/tiny")
    before = torch.random.get_rng_state()
    first, second = (module._objective(config).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert torch.equal(torch.random.get_rng_state(), before)
    other = module._objective(module.run_config("vits/tiny", ["training.seed=9"])).state_dict()
    assert not torch.equal(first["model.text_encoder.embedding.weight"], other["model.text_encoder.embedding.weight"])


def test_errors_come_before_anything_is_written(corpus: Path, tmp_path) -> None:
    folder = tmp_path / "run"
    with pytest.raises(CorpusError, match="nowhere"):
        run(tmp_path / "nowhere", folder)
    with pytest.raises(ConfigError, match="name a preset and a corpus"):
        run(None, folder)
    with pytest.raises(ConfigError, match="--resume needs --run DIR"):
        train(None, None, None, resume=True)
    with pytest.raises(CheckpointError, match=r"holds no run \(no config\.yaml\)"):
        run(None, folder, preset=None, resume=True)
    with pytest.raises(CheckpointError, match="gone"):
        run(corpus, folder, start_from=str(tmp_path / "gone"))
    stages: list[str] = []
    listener = Listener(stage=stages.append)
    with pytest.raises(UnknownName, match=r"setting model\.text\.language: unknown language 'zz': did you mean|known"):
        run(corpus, folder, "model.text.language=zz", listener=listener)
    with pytest.raises(ConfigError, match=r"training\.device = 'cuda:99': no.* here; take auto or cpu|99.*GPUs"):
        run(corpus, folder, "training.device=cuda:99", listener=listener)
    assert stages == []
    assert not folder.exists()


def test_a_folder_that_cannot_be_made_is_told_first(corpus: Path, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    stages: list[str] = []
    with pytest.raises(BadInput, match=r"file/r: cannot be written \(.*not a directory\); name another --run") as told:
        run(corpus, tmp_path / "file" / "r", listener=Listener(stage=stages.append))
    assert told.value.exit_code == 2
    assert stages == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_letters_are_read_in_any_language(corpus: Path) -> None:
    named = ("model.text.language=zz", "model.text.mode=letters")
    config = module.run_config("vits/tiny", named)
    assert module._fitted_to(config, module.Corpus.open(corpus), named).model.text.language == "zz"


def test_a_run_whose_corpus_is_not_recorded_asks_for_it(corpus: Path, tmp_path) -> None:
    (tmp_path / "config.yaml").write_text(module.run_config("vits/tiny").to_yaml())
    for content in (None, "{", "[]", "{}"):
        if content is not None:
            (tmp_path / "run.json").write_text(content)
        with pytest.raises(CheckpointError, match=r"run\.json is missing or broken.*--corpus DST"):
            run(None, tmp_path, preset=None, resume=True)
    plan = module._recorded_plan(tmp_path, corpus, ())
    assert plan.corpus == corpus


def test_more_speakers_than_the_preset_has(tmp_path) -> None:
    corpus = module.Corpus.open(write_synthetic(tmp_path / "two", count=6, seed=6, speakers=2).corpus.folder)
    config = module.run_config("vits/tiny")
    assert module._fitted_to(config, corpus, ()).model.num_speakers == 2
    assert module._fitted_to(module.run_config("vits/vctk"), corpus, ()).model.num_speakers == 109
    with pytest.raises(ConfigError, match="has 2 speakers: leave it out"):
        module._fitted_to(config, corpus, ("model.num_speakers=1",))


def test_speakers_of_another_language_are_told(tmp_path) -> None:
    corpus = write_synthetic(tmp_path / "two", count=6, seed=6, speakers=2).corpus
    _, second = corpus.info.speakers
    assert module._speaker_languages(corpus) == {}
    parts = {
        split: [replace(u, language="de" if u.speaker == second else u.language) for u in corpus.split(split)]
        for split in corpus.splits
    }
    rewrite(corpus.folder, corpus.info, parts)
    assert module._speaker_languages(module.Corpus.open(corpus.folder)) == {second: "de"}


def test_clips_too_short_for_a_search_are_left_out(corpus: Path, monkeypatch, caplog) -> None:
    """With alignment by search each token needs a frame: such a clip would end the run in the middle."""
    config = module.run_config("vits/ljspeech", ["model.text={mode: phones}"])
    needs = config.family.needs(config.model, config.objective)
    assert not needs.durations
    found = module.Corpus.open(corpus)
    least = module._least_frames
    name = found.split("train")[0].name
    monkeypatch.setattr(module, "_least_frames", lambda m, e: 10_000 if e.utterance.name == name else least(m, e))
    train_examples, _ = module._examples(found, needs, config.model.text, (), torch.nn.Identity(), None, Listener())
    assert name not in [example.utterance.name for example in train_examples]
    assert "1 clips of the train split are too short for their text" in caplog.text
    monkeypatch.setattr(module, "_least_frames", lambda m, e: 10_000)
    with pytest.raises(CorpusError, match="long enough for its text"):
        module._examples(found, needs, config.model.text, (), torch.nn.Identity(), None, Listener())


def test_the_command_line(corpus: Path, whole: Path, tmp_path) -> None:
    from moksori.cli.main import app

    runner = CliRunner()
    done = runner.invoke(app, ["train", "training.log_every=1", "--resume", "--run", str(whole), "--max-steps", "4"])
    assert done.exit_code == 0, done.output
    assert f"{whole}: 4 steps in" in done.output
    assert f"--voice {whole / 'model'}" in done.output
    gone = str(tmp_path / "none")
    refused = runner.invoke(app, ["train", "vits/tiny", "--corpus", gone, "--run", str(tmp_path / "r")])
    assert isinstance(refused.exception, CorpusError) or refused.exit_code == 2
