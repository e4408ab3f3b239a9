"""The report on a model's codes, with true durations in place of the aligner's; on the command line too."""

import json

import pytest
import torch
from typer.testing import CliRunner

from moksori.cli.main import app
from moksori.corpus.manifest import Corpus
from moksori.corpus.synthetic import synthetic_examples, write_synthetic
from moksori.errors import CorpusError, UnsupportedTask
from moksori.models.checkpoint import Loaded, Manifest, load_model, save_model
from moksori.pipeline import code_report as reporting
from moksori.pipeline.align import Alignment
from moksori.pipeline.code_report import code_report
from moksori.pipeline.run_config import run_config
from moksori.text.tokenizer import TextConfig, Tokenizer
from moksori.types import SpeechNeeds


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_synthetic(
        tmp_path_factory.mktemp("tones"), count=12, seed=0, needs=SpeechNeeds(16000, 256), speakers=2
    )


@pytest.fixture(scope="module")
def loaded(tmp_path_factory, corpus) -> Loaded:
    """An untrained encoder whose codes lie among what it makes of these tones, so that they follow the sound."""
    config = run_config("vqvae/tiny", ["model.pitch=null", "model.encoder.state_norm=none"])
    torch.manual_seed(0)
    objective = config.family.objective(config.family.model(config.model), config.objective)
    from moksori.corpus.collate import collate
    from moksori.corpus.features import prepare

    needs = config.family.needs(config.model, config.objective)
    objective.initialise([collate(prepare(corpus.corpus, "train", needs), needs)])
    settings = config.model.model_dump(mode="json")
    manifest = Manifest(family="vqvae", name="coder", model=settings, speakers=("tone0", "tone1"), sample_rate=16000)
    folder = tmp_path_factory.mktemp("coder") / "model"
    save_model(folder, objective.model.eval(), manifest)
    return load_model(folder)


@pytest.fixture(autouse=True)
def true_durations(corpus, monkeypatch) -> None:
    monkeypatch.setattr(reporting, "align", lambda *_, **__: Alignment(dict(corpus.durations), {}, ()))


def test_what_is_told(loaded, corpus, tmp_path) -> None:
    report = code_report(loaded, corpus.corpus, "train")
    assert (report.model, report.split, report.recordings) == ("coder", "train", 8)
    assert report.use.size == 32
    assert report.use.rate == 62.5
    assert report.use.used > 8
    # Each symbol of these corpora is a sound of its own.
    assert report.purity.accuracy > 1.5 * report.purity.shuffled
    assert report.leak.labels == report.leak_of_mels.labels == 2
    assert report.leak_of_mels.accuracy == 1.0
    page = report.save(tmp_path / "codes").read_text()
    assert all(f"| {name} | {value} |" in page for name, value in report.rows())
    stored = json.loads((tmp_path / "codes" / "codes.json").read_text())
    assert stored["purity"]["accuracy"] == report.purity.accuracy
    assert stored["use"]["used"] == report.use.used
    assert code_report(loaded, corpus.corpus, "train") == report
    assert code_report(loaded, corpus.corpus, "train", limit=2).recordings == 4


def test_what_there_is_nothing_to_tell_of(loaded, corpus, toy_folder, monkeypatch) -> None:
    with pytest.raises(UnsupportedTask, match="no codes: name one of the family vqvae"):
        code_report(load_model(toy_folder), corpus.corpus)
    monkeypatch.setattr(reporting, "LEAST_CODES", 10**6)
    with pytest.raises(CorpusError, match="holds no recording of 1000000 codes or more"):
        code_report(loaded, corpus.corpus)


def test_on_the_command_line(loaded, corpus, tmp_path) -> None:
    folder = Corpus.open(corpus.corpus.folder).folder
    given = ["study", "codes", str(loaded.folder), "--corpus", str(folder), "--split", "train", "-o", str(tmp_path)]
    found = CliRunner().invoke(app, given)
    assert found.exit_code == 0, found.output
    assert "codes in use" in found.output
    assert (tmp_path / "codes.md").is_file()
    assert CliRunner().invoke(app, ["study", "codes", str(loaded.folder)]).exit_code == 2


def test_the_phone_of_each_code() -> None:
    text = TextConfig()
    example = synthetic_examples(SpeechNeeds(16000, 256, durations=True), 1, seed=0)[0]
    symbols = {number: symbol for symbol, number in Tokenizer(text).ids.items()}
    frames = int(example.durations.sum())
    found = reporting._phones(example, example.durations, frames + 2, text)
    spelt = [
        symbols[token] for token, count in zip(example.tokens, example.durations, strict=True) for _ in range(count)
    ]
    assert len(found) == frames + 2
    assert found[-2:].tolist() == [-1, -1]
    for label, symbol in zip(found, spelt, strict=False):
        assert label == -1 if symbol in "_ .^$" else symbols[label] == symbol
    assert (found >= 0).mean() > 0.5
