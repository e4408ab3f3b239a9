"""`evaluate` with the toy voice on a corpus of tones: every system is there, seeded, and what cannot be is said."""

import json
import warnings

import numpy as np
import pytest
import torch

from moksori.cli.main import main
from moksori.corpus.manifest import Corpus, rewrite
from moksori.corpus.synthetic import write_synthetic
from moksori.errors import BadInput, CorpusError, MissingExtra, UnknownName
from moksori.evaluation import score
from moksori.evaluation.report import COPY, HUMAN, NOISE, OTHER_TAKES, OTHER_TEXTS
from moksori.pipeline import evaluate as module
from moksori.pipeline.evaluate import evaluate
from moksori.pipeline.say import load
from moksori.types import SpeechNeeds


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tones") / "tones"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_synthetic(folder, count=8, needs=SpeechNeeds(16000, 200))
    return folder


@pytest.fixture
def copying(monkeypatch):
    """Loaded models get a copy-synthesis that halves the level and adds seeded noise."""

    def reconstruct(waveform, speaker, generator=None):
        assert speaker.shape == (1,)
        return 0.5 * waveform + 1e-4 * torch.randn(waveform.shape, generator=generator)

    def load_copying(name):
        speaker = load(name)
        speaker.loaded.model.reconstruct = reconstruct
        return speaker

    monkeypatch.setattr(module, "load", load_copying)


def test_people_copies_the_model_and_the_controls_stand_side_by_side(copying, toy_folder, corpus):
    seen = []
    report = evaluate(
        toy_folder, corpus, measures=["words", "spectrum"], progress=lambda d, t: seen.append((d, t)), threads=1
    )
    assert [s.name for s in report.systems] == [HUMAN, COPY, "toy", OTHER_TEXTS, NOISE]
    copied, spoken = report.system(COPY).measures, report.system("toy").measures
    assert copied["mcd"].value > 0
    assert copied["f0_ratio"].value == pytest.approx(1.0, abs=0.03)
    assert abs(spoken["f0_ratio"].value - 1.0) > 0.1
    assert copied["duration_ratio"].value == pytest.approx(1.0, abs=0.1)
    assert spoken["rtf"].value > 0
    assert "rtf" not in report.system(HUMAN).measures
    assert report.n == report.of == len(Corpus.open(corpus).split("test"))
    assert report.environment.threads == 1
    assert "trigram" in report.language_model
    assert seen[-1][0] == seen[-1][1]
    assert sorted(seen) == seen
    assert set(report.pictures[0].sounds) == {HUMAN, COPY, "toy"}


def test_the_same_seed_gives_the_same_figures(copying, toy_folder, corpus):
    def figures(seed):
        report = evaluate(toy_folder, corpus, limit=1, seed=seed, measures=["spectrum"])
        return [{k: e for k, e in s.measures.items() if k != "rtf"} for s in report.systems]

    assert repr(figures(4)) == repr(figures(4))  # as text, since NaN is not itself
    assert repr(figures(4)) != repr(figures(5))


def test_a_model_that_cannot_copy_is_said_and_threads_are_restored(toy_folder, corpus):
    before = torch.get_num_threads()
    report = evaluate(toy_folder, corpus, limit=1, measures=["spectrum"], threads=before + 1)
    assert torch.get_num_threads() == before
    assert report.system(COPY) is None
    assert any("no copy-synthesis: toy" in note for note in report.notes)
    assert (report.n, report.of) == (1, 2)


def test_other_languages_have_no_word_errors(toy_folder, corpus, monkeypatch):
    from dataclasses import replace

    opened = Corpus.open(corpus)
    german = {name: tuple(replace(u, language="de") for u in items) for name, items in opened.utterances.items()}
    changed = replace(opened, info=replace(opened.info, language="de"), utterances=german)
    monkeypatch.setattr(module.Corpus, "open", classmethod(lambda cls, folder: changed))
    report = evaluate(toy_folder, corpus, limit=1, measures=["words", "spectrum"])
    assert any("English only" in note and "'de'" in note for note in report.notes)
    assert report.language_model == ""
    assert [s.name for s in report.systems] == [HUMAN, "toy"]
    with pytest.raises(BadInput, match="nothing left"):
        evaluate(toy_folder, corpus, limit=1, measures=["words"])


def test_a_sentence_counts_once_and_its_other_take_is_a_system(toy_folder, corpus, tmp_path):
    from dataclasses import replace

    opened = Corpus.open(corpus)
    test = opened.split("test")
    again = replace(test[0], name=f"{test[0].name}_t2", text=test[0].text.upper(), audio=test[1].audio)
    rewrite(tmp_path, opened.info, {"test": [again, *test]})
    report = evaluate(toy_folder, tmp_path, measures=["spectrum"])
    assert report.of == 2
    assert [item.name for item in report.system(OTHER_TAKES).items] == [test[0].name]
    assert [item.name for item in report.system(HUMAN).items] == [u.name for u in test]


def test_missing_packages_are_named_or_noted(toy_folder, corpus, monkeypatch):
    def missing(*arguments):
        raise MissingExtra("Resemblyzer", "evaluate-full", "speaker similarity")

    monkeypatch.setattr(score, "SpeakerEncoder", missing)
    monkeypatch.setattr(module, "MEASURES", ("spectrum", "speaker"))
    report = evaluate(toy_folder, corpus, limit=1)
    assert any("moksori[evaluate-full]" in note for note in report.notes)
    assert "mcd" in report.system("toy").measures
    with pytest.raises(MissingExtra):
        evaluate(toy_folder, corpus, limit=1, measures=["speaker"])


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"limit": 0}, BadInput, "limit 0"),
        ({"threads": 0}, BadInput, "threads 0"),
        ({"workers": -1}, BadInput, "workers -1"),
        ({"seed": -1}, BadInput, "seed -1"),
        ({"split": "tests"}, UnknownName, "did you mean 'test'"),
        ({"measures": ["nose"]}, BadInput, "'nose'"),
    ],
)
def test_bad_values_are_named(toy_folder, corpus, arguments, error, said):
    with pytest.raises(error, match=said):
        evaluate(toy_folder, corpus, **arguments)


def test_a_missing_corpus_is_named(toy_folder, tmp_path):
    with pytest.raises(CorpusError, match="no such folder"):
        evaluate(toy_folder, tmp_path / "nowhere")


def test_the_command_prints_a_table_and_writes_json_and_pictures(toy_folder, corpus, tmp_path, capsys):
    out = tmp_path / "results" / "toy.json"
    code = main(
        [
            "evaluate",
            str(toy_folder),
            "--corpus",
            str(corpus),
            "--limit",
            "1",
            "--json",
            str(out),
            "--measure",
            "spectrum",
        ]
    )
    printed = capsys.readouterr()
    assert code == 0, printed.err
    assert "MCD dB" in printed.out
    assert "recordings" in printed.out
    assert "1 of 2 sentences" in printed.out
    stored = json.loads(out.read_text(encoding="utf-8"))
    assert stored["systems"][1]["name"] == "toy"
    assert np.isfinite(stored["systems"][1]["measures"]["mcd"]["value"])
    assert (tmp_path / "results" / "toy.pictures" / "scores.png").is_file()
    assert main(["evaluate", str(toy_folder)]) == 2
    assert "--corpus" in capsys.readouterr().err
    assert main(["evaluate", "a", "--model", "b", "--corpus", str(corpus)]) == 2
