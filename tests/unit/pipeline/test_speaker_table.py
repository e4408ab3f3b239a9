"""A speaker without a training clip has no row: not listed, not counted, not learnt from; and runs keep theirs."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from moksori.corpus.features import prepare
from moksori.corpus.manifest import Corpus, rewrite
from moksori.corpus.synthetic import write_synthetic
from moksori.errors import CorpusError
from moksori.models.checkpoint import read_manifest
from moksori.pipeline import train as module
from moksori.pipeline.singing_measures import teacher_forced
from moksori.pipeline.speaker_table import in_table, trained_speakers, with_table
from moksori.pipeline.train import train
from moksori.types import SpeechNeeds

SETTINGS = (
    "model.num_speakers=1", "training.max_steps=1", "training.save_every=1", "training.validate_every=1",
    "training.speak_every=0", "training.batch_size=2", "training.device=cpu",
    "model.encoder={channels: 16, cycles: 1, layers: 4, code_channels: 8}",
    "model.decoder={residual_channels: 8, skip_channels: 16, cycles: 1, layers: 5}",
    "model.pitch=null", "objective.crop_samples=800",
)  # fmt: skip


@pytest.fixture
def corpus(tmp_path) -> Corpus:
    """Three speakers; the first of the table is heard in a validation clip and in the test split alone."""
    made = write_synthetic(tmp_path / "three", count=12, seed=7, speakers=3).corpus
    first = made.info.speakers[0]
    train_split = [u for u in made.split("train") if u.speaker != first]
    moved = [u for u in made.split("train") if u.speaker == first]
    assert any(u.speaker == first for u in made.split("valid"))
    splits = {"train": train_split, "valid": made.split("valid"), "test": [*made.split("test"), *moved]}
    rewrite(made.folder, made.info, splits)
    return Corpus.open(made.folder)


def preset(folder: Path) -> Path:
    """`wavenet_autoencoder/tiny` in a file, since a number of speakers that is set by hand is not changed."""
    path = folder / "small.yaml"
    path.write_text(module.run_config("wavenet_autoencoder/tiny", SETTINGS).to_yaml())
    return path


def test_who_has_no_training_clip_has_no_row(corpus: Corpus, tmp_path, caplog) -> None:
    _, second, third = corpus.info.speakers
    result = train(preset(tmp_path), corpus.folder, tmp_path / "run")
    manifest = read_manifest(result.model)
    assert manifest.speakers == (second, third)
    assert manifest.model["num_speakers"] == 2
    assert "1 clips of the valid split are left out: " + corpus.info.speakers[0] in caplog.text
    assert json.loads((tmp_path / "run" / "run.json").read_text())["speakers"] == [second, third]
    config = module.run_config(tmp_path / "run" / "config.yaml")
    assert np.isfinite(teacher_forced(result.model, config, corpus.folder)["bits"].value)
    # A clip of the first speaker that comes into the training split later does not move the others' rows.
    parts = {split: corpus.split(split) for split in corpus.splits}
    stranger = next(u for u in parts["test"] if u.speaker == corpus.info.speakers[0])
    rewrite(corpus.folder, corpus.info, {**parts, "train": [*parts["train"], stranger]})
    with pytest.raises(CorpusError, match=r"trains .*, who is not in the speaker table of this run"):
        train(None, None, tmp_path / "run", ["training.max_steps=2"], resume=True)


def test_a_run_from_before_keeps_its_table(corpus: Corpus, tmp_path, monkeypatch) -> None:
    """Without a recorded table it is the corpus's own: rows that have been learnt stay whose they were."""
    folder = tmp_path / "run"
    monkeypatch.setattr(module, "with_table", lambda corpus, recorded=None: corpus)
    train(preset(tmp_path), corpus.folder, folder)
    monkeypatch.undo()
    record = json.loads((folder / "run.json").read_text())
    assert record.pop("speakers") == list(corpus.info.speakers)
    (folder / "run.json").write_text(json.dumps(record))
    result = train(None, None, folder, ["training.max_steps=2"], resume=True)
    assert result.state.step == 2
    assert read_manifest(result.model).speakers == corpus.info.speakers


def test_rows_are_those_of_the_table(corpus: Corpus) -> None:
    needs = SpeechNeeds(22050, 256, tokens=False)
    table = trained_speakers(corpus)
    assert with_table(corpus).info.speakers == table == corpus.info.speakers[1:]
    examples = in_table(prepare(corpus, "train", needs), table, "train")
    assert {e.utterance.speaker: e.speaker for e in examples} == {name: row for row, name in enumerate(table)}
    # Where all are heard in training nothing is another's.
    everybody = replace(corpus, utterances={"train": tuple(u for us in corpus.utterances.values() for u in us)})
    assert with_table(everybody) == everybody
