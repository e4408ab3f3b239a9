"""`evaluate` with the toy voice on a corpus of tones: every system is there, seeded, and what cannot be is said."""

import json
import warnings
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from moksori.cli.main import main
from moksori.corpus.manifest import Corpus, rewrite
from moksori.corpus.synthetic import write_synthetic
from moksori.errors import BadInput, CorpusError, MissingExtra, MoksoriError, UnknownName
from moksori.evaluation import speaker_encoders
from moksori.evaluation.names import COPY, HUMAN, NOISE, OTHER_TAKES, OTHER_TEXTS
from moksori.pipeline import evaluate as module
from moksori.pipeline.aligner_judge import AlignerJudge
from moksori.pipeline.evaluate import evaluate
from moksori.pipeline.say import load
from moksori.types import SpeechNeeds


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Tones by Ann, whose name the toy voice knows."""
    folder = tmp_path_factory.mktemp("tones") / "tones"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_synthetic(folder, count=8, needs=SpeechNeeds(16000, 200))
    return _spoken_by(folder, {"tone0": "ann"})


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """Tones in turn by Ann, Bob, who speaks German, and Cid, whom the toy voice does not know; six each in `test`."""
    folder = tmp_path_factory.mktemp("three") / "tones"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_synthetic(folder, count=18, needs=SpeechNeeds(16000, 200), speakers=3)
    _spoken_by(folder, {"tone0": "ann", "tone1": "bob", "tone2": "cid"}, bob="de")
    opened = Corpus.open(folder)
    utterances = [u for split in ("train", "valid", "test") for u in opened.split(split)]
    rewrite(folder, opened.info, {"train": utterances[:9], "test": utterances[9:]})
    return folder


def _spoken_by(folder, names, **languages):
    opened = Corpus.open(folder)
    renamed = {
        split: [
            replace(u, speaker=names[u.speaker], language=languages.get(names[u.speaker], u.language)) for u in items
        ]
        for split, items in opened.utterances.items()
    }
    rewrite(folder, replace(opened.info, speakers=tuple(names.values())), renamed)
    return folder


class Ears:
    """An embedding that tells tones by their harmonics: the long-term spectrum from 50 to 400 Hz."""

    identity = name = "ears"

    def embed(self, waveform):
        spectrum = np.abs(np.fft.rfft(waveform.samples, 16000))[50:400]
        return (spectrum / np.linalg.norm(spectrum)).astype(np.float32)


@pytest.fixture
def copying(monkeypatch):
    """Loaded models get a copy-synthesis that halves the level and adds seeded noise."""

    def reconstruct(waveform, speaker, generator=None):
        assert speaker.shape == (1,)
        return 0.5 * waveform + 1e-4 * torch.randn(waveform.shape, generator=generator)

    def load_copying(name, **options):
        speaker = load(name, **options)
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
    assert spoken["first_audio"].n == 2
    assert "first_audio" not in copied
    assert report.parameters > 0
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
        return [{k: e for k, e in s.measures.items() if k not in ("rtf", "first_audio")} for s in report.systems]

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
    opened = Corpus.open(corpus)
    german = {name: tuple(replace(u, language="de") for u in items) for name, items in opened.utterances.items()}
    changed = replace(opened, info=replace(opened.info, language="de"), utterances=german)
    monkeypatch.setattr(module.Corpus, "open", classmethod(lambda cls, folder: changed))
    report = evaluate(toy_folder, corpus, limit=1, measures=["words", "spectrum"])
    assert any("English only" in note and "'de'" in note for note in report.notes)
    assert report.language_model == ""
    assert [s.name for s in report.systems] == [HUMAN, "toy"]
    assert report.groups[0].language == "de"
    with pytest.raises(BadInput, match="nothing left"):
        evaluate(toy_folder, corpus, limit=1, measures=["words"])


def test_a_sentence_counts_once_and_its_other_take_is_a_system(toy_folder, corpus, tmp_path):
    opened = Corpus.open(corpus)
    test = opened.split("test")
    again = replace(test[0], name=f"{test[0].name}_t2", text=test[0].text.upper(), audio=test[1].audio)
    rewrite(tmp_path, opened.info, {"test": [again, *test]})
    report = evaluate(toy_folder, tmp_path, measures=["spectrum"])
    assert report.of == 2
    assert [item.name for item in report.system(OTHER_TAKES).items] == [test[0].name]
    assert [item.name for item in report.system(HUMAN).items] == [u.name for u in test]


def test_each_speaker_is_a_group_and_words_are_of_the_english(toy_folder, three):
    report = evaluate(toy_folder, three, limit=2, measures=["words", "spectrum"])
    assert [(g.speaker, g.language, g.n, g.of) for g in report.groups] == [("ann", "en-us", 2, 3), ("bob", "de", 2, 3)]
    ann, bob = report.groups
    assert [s.name for s in ann.systems] == [HUMAN, "toy", OTHER_TEXTS, NOISE]
    assert [s.name for s in bob.systems] == [HUMAN, "toy"]
    assert "wer" in ann.system("toy").measures
    assert "wer" not in bob.system("toy").measures
    assert report.system("toy").measures["mcd"].n == 4
    assert report.system("toy").measures["wer"].n == 2
    assert [row[0] for row in report.rows()] == ["ann", "bob", "all"]
    assert "3 test sentences" in report.language_model  # Ann's, those beyond the limit too, and nobody else's
    notes = "\n".join(report.notes)
    assert "not measured, as toy does not know them: cid" in notes
    assert "not measured of bob, the recogniser knows English only and this is 'de'" in notes
    assert [picture.name for picture in report.pictures] == [
        ann.system(HUMAN).items[0].name,
        bob.system(HUMAN).items[0].name,
    ]


def test_a_speaker_can_be_chosen(toy_folder, three):
    chosen = partial(evaluate, toy_folder, three, limit=1, measures=["words", "spectrum"])
    assert [g.speaker for g in chosen(speakers=["bob"]).groups] == ["bob"]
    assert [g.speaker for g in chosen(speakers=["bob", "ann"]).groups] == ["ann", "bob"]
    assert [g.speaker for g in chosen(speakers=["all"]).groups] == ["ann", "bob"]
    with pytest.raises(UnknownName, match=r"'boo'.*did you mean 'bob'"):
        chosen(speakers=["boo"])
    with pytest.raises(BadInput, match=r"toy: knows none of the speakers cid.*it has ann, bob"):
        chosen(speakers=["cid"])
    words = evaluate(toy_folder, three, limit=1, measures=["words"])
    assert [g.speaker for g in words.groups] == ["ann"]


def test_a_voice_is_held_against_the_speakers_of_the_corpus(toy_folder, three, monkeypatch):
    monkeypatch.setattr(speaker_encoders, "SpeakerEncoder", Ears)
    report = evaluate(toy_folder, three, limit=2, measures=["speaker"])
    human = report.system(HUMAN).measures
    assert human["speaker_identified"].value == 1.0  # of three, Cid among them
    assert human["speaker_eer"].value == 0.0
    assert human["speaker_centroid"].value > 0.9
    assert report.system("toy").measures["speaker_centroid"].value < human["speaker_centroid"].value
    assert "speaker" in report.system("toy").measures


def test_the_aligner_judges_text_and_durations_of_every_language(toy_family, three, tmp_path, monkeypatch):
    toy = toy_family.save_toy(tmp_path / "toy", speakers=("ann", "bob"), speaker_languages={"bob": "de"})
    quick = ("training.max_steps=60", "training.batch_size=4", "objective.uniform_steps=15")
    monkeypatch.setattr(module, "AlignerJudge", partial(AlignerJudge, assignments=quick))
    seen = []
    opened = Corpus.open(three)
    test = opened.split("test")
    again = replace(test[0], name=f"{test[0].name}_t2")
    monkeypatch.setattr(
        module.Corpus,
        "open",
        classmethod(lambda cls, folder: replace(opened, utterances={**opened.utterances, "test": (*test, again)})),
    )
    report = evaluate(
        toy, three, limit=2, measures=["durations", "likelihood"], progress=lambda d, t: seen.append((d, t))
    )
    for group in report.groups:
        human, spoken = group.system(HUMAN).measures, group.system("toy").measures
        assert set(human) == {"log_likelihood", "text_margin"}
        assert spoken["duration_mae"].value > 0
        assert spoken["durations_compared"].value == 1.0
        assert spoken["duration_judge_mae"].value > 0
        for control in (OTHER_TEXTS, NOISE):
            assert group.system(control).measures["likelihood_ratio"].high < 0
        assert group.system(OTHER_TEXTS).measures["text_margin"].value < human["text_margin"].value
        assert "wer" not in group.system(NOISE).measures
    assert not any("WARNING" in note for note in report.notes)
    take = next(g.system(OTHER_TAKES) for g in report.groups if g.system(OTHER_TAKES) is not None)
    assert take.measures["duration_mae"].value == take.measures["likelihood_ratio"].value == 0.0  # the same recording
    assert seen[-1][0] == seen[-1][1] == 2 * 2 * 3 + 2 * 2 + 1
    assert "likelihood ratio" in report.header()
    assert "far under a likelihood ratio of 0" in "\n".join(report.groups[0].summary("toy"))


def test_controls_that_fit_are_warned_of(toy_folder, three, monkeypatch):
    class Deaf:
        def __init__(self, corpus, progress):
            pass

        def fit(self, waveform, text, texts, utterance, recording=None):
            return {"log_likelihood": -1.0, **({} if recording is None else {"likelihood_ratio": 0.0})}

    monkeypatch.setattr(module, "AlignerJudge", Deaf)
    report = evaluate(toy_folder, three, limit=1, speakers=["bob"], measures=["likelihood"])
    warned = [note for note in report.notes if note.startswith("WARNING")]
    assert ["'recordings against other texts' of bob" in w for w in warned] == [True, False]
    assert "'noise' of bob has a likelihood ratio of 0.00 nats" in warned[1]


def test_a_corpus_without_training_recordings_has_no_aligner(toy_folder, three, tmp_path, monkeypatch):
    opened = Corpus.open(three)
    rewrite(tmp_path, opened.info, {"test": opened.split("test")})
    monkeypatch.setattr(module, "MEASURES", ("spectrum", "durations", "likelihood"))
    report = evaluate(toy_folder, tmp_path, limit=1)
    assert any("there is no aligner" in note for note in report.notes)
    assert "mcd" in report.system("toy").measures
    with pytest.raises(MoksoriError, match="train"):
        evaluate(toy_folder, tmp_path, limit=1, measures=["likelihood"])


def test_missing_packages_are_named_or_noted(toy_folder, corpus, monkeypatch):
    def missing(*arguments):
        raise MissingExtra("Resemblyzer", "evaluate-full", "speaker similarity")

    monkeypatch.setattr(speaker_encoders, "SpeakerEncoder", missing)
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
    assert stored["systems"][1]["name"] == stored["speakers"][0]["systems"][1]["name"] == "toy"
    assert np.isfinite(stored["systems"][1]["measures"]["mcd"]["value"])
    assert (tmp_path / "results" / "toy.pictures" / "scores.png").is_file()
    assert main(["evaluate", str(toy_folder)]) == 2
    assert "--corpus" in capsys.readouterr().err
    assert main(["evaluate", "a", "--model", "b", "--corpus", str(corpus)]) == 2


def test_the_command_prints_a_table_a_speaker_and_one_of_all(toy_folder, three, tmp_path, capsys):
    arguments = ["evaluate", str(toy_folder), "--corpus", str(three), "--limit", "1", "--measure", "spectrum"]
    out = tmp_path / "toy.json"
    assert main([*arguments, "--json", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "ann (en-us), 1 of 3 sentences" in printed
    assert "bob (de), 1 of 3 sentences" in printed
    last = [line.split() for line in printed.splitlines() if line.startswith(("ann ", "bob ", "all "))][-3:]
    assert [line[0] for line in last] == ["ann", "bob", "all"]
    mcd = json.loads(out.read_text(encoding="utf-8"))["speakers"][1]["systems"][1]["measures"]["mcd"]["value"]
    assert last[1][1:4] == ["de", "1", f"{mcd:.2f}"]
    assert "…" not in printed
    assert main([*arguments, "--json", str(out), "--speaker", "bob"]) == 0
    printed = capsys.readouterr().out
    assert "1 of 3 sentences of synthetic (test)" in printed
    assert "ann (en-us)" not in printed
    assert main([*arguments, "--speaker", "boo"]) == 2
    assert "did you mean 'bob'" in capsys.readouterr().err
