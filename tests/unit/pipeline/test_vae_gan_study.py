"""The comparison, from nothing to its pages, on speech of formants that two speakers share."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_parallel import RATE, write_parallel

from moksori.cli.main import main
from moksori.corpus.features import prepare
from moksori.corpus.manifest import Corpus, read_utterance, rewrite
from moksori.errors import TrainingCollapsed
from moksori.evaluation.score import Judges
from moksori.pipeline import study_runs, vae_gan_material, vae_gan_study
from moksori.pipeline.align import Alignment
from moksori.pipeline.vae_gan_material import Labels, gather, of_speakers, phone_labels
from moksori.pipeline.vae_gan_measures import Gauge, mel_cepstra, probe_latents
from moksori.pipeline.vae_gan_result import Comparison
from moksori.pipeline.vae_gan_verdicts import MEASURES
from moksori.text.tokenizer import TextConfig
from moksori.types import SpeechNeeds, Waveform


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_parallel(tmp_path_factory.mktemp("parallel") / "corpus")


def run(corpus: Path, folder: Path, *more: str) -> int:
    words = ["study", "vae_gan", "--corpus", corpus, "--run", folder, "--steps", "3", "--sentences", "1", "--judge",
             "none", "--beside", "none", "--world", "world_vae/tiny", "--vqvae", "vqvae/tiny", *more]  # fmt: skip
    return main([str(word) for word in words])


def measures_of(folder: Path) -> dict[str, list[dict[str, float]]]:
    stored = json.loads((folder / "vae_gan.json").read_text(encoding="utf-8"))
    return {v["name"]: [run["measures"] for run in v["runs"]] for v in stored["variants"]}


def test_from_nothing_to_its_pages(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "study"
    trained = study_runs.train

    def train(preset, corpus, run, *given, **named):
        if run.name == "gan-seed-1":
            raise TrainingCollapsed("the critic has won: lower its rate")
        return trained(preset, corpus, run, *given, **named)

    monkeypatch.setattr(study_runs, "train", train)
    names = ("--variant", "vae", "--variant", "vqvae-mel", "--variant", "gan", "--seeds", "1")
    assert run(corpus, folder, *names) == 0
    shown = capsys.readouterr().out
    # A run that failed is told, not dropped.
    assert "gan, seed 1: the critic has won: lower its rate" in shown
    found = json.loads((folder / "vae_gan.json").read_text(encoding="utf-8"))
    assert [v["name"] for v in found["variants"]] == ["vae", "vqvae-mel", "gan"]
    assert found["trials"] == found["parallel"] == 2
    rows = measures_of(folder)
    for runs in rows.values():
        assert all({measure.key for measure in MEASURES} <= set(measured) for measured in runs)
    assert all(value is None for value in rows["gan"][0].values())
    for name in ("vae", "vqvae-mel"):
        (measured,) = rows[name]
        assert measured["mcd"] > 0.0
        assert 0.0 < measured["gv_ratio"] < 2.0
        assert 0.0 <= measured["leak"] <= 1.0
    assert rows["vae"][0]["tour_prior"] > 0.0
    assert rows["vqvae-mel"][0]["tour_prior"] is None
    costs = [v["runs"][0]["cost"] for v in found["variants"]]
    assert costs[0]["seconds"] > 0.0
    assert costs[0]["peak_mb"] > 50.0
    assert costs[2] == {}
    # The source unchanged is no better than nothing; people are what they are.
    references = found["references"]
    assert references["recordings"]["recall"] > references["no conversion"]["recall"]
    assert references["mean-pitch shift (WORLD)"]["f0_rmse_cents"] < references["no conversion"]["f0_rmse_cents"]
    page = (folder / "vae_gan.md").read_text(encoding="utf-8")
    assert "| vqvae-mel: codes instead of a Gaussian | vae |" in page
    assert "0 of 1" in page
    html = (folder / "vae_gan.html").read_text(encoding="utf-8")
    assert html.count("<audio") == 2 * 4  # two sentences: the source, the target saying it, two variants
    assert (folder / "vae_gan.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "vae_gan_strip.png").read_bytes().startswith(b"\x89PNG")
    assert Comparison.read(folder / "vae_gan.json").as_json() == found

    # A second call finds everything, and a third trains what is new alone.
    monkeypatch.setattr(study_runs, "train", lambda *given, **named: pytest.fail("trained again"))
    with monkeypatch.context() as closed:
        closed.setattr(Gauge, "measure", lambda *given: pytest.fail("measured again"))
        assert run(corpus, folder, *names) == 0
    assert json.loads((folder / "vae_gan.json").read_text(encoding="utf-8")) == found
    assert run(corpus, folder, *names, "--without-recordings") == 0
    html = (folder / "vae_gan.html").read_text(encoding="utf-8")
    assert html.count("<audio") == 2 * 2
    # Runs that are compared have the same terms.
    assert run(corpus, folder, *names, "--steps", "4") == 2
    assert "holds runs with steps 3, and now it is 4" in capsys.readouterr().err
    assert run(corpus, folder, *names, "vae:training.ema_decay=0.5") == 2
    assert "the variant vae world_vae/tiny" in capsys.readouterr().err
    monkeypatch.setattr(study_runs, "train", trained)
    again = tmp_path / "again"
    assert run(corpus, again, "--variant", "vae", "--seeds", "1") == 0
    assert measures_of(again)["vae"] == rows["vae"]  # the same seed gives the same table


def test_bad_input_is_told_in_a_line(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vae_gan_study, "train_or_tell", lambda *given: pytest.fail("trained"))
    for words, message in (
        (["--variant", "vaes"], "did you mean 'vae'"),
        (["--speaker", "lo"], "unknown speaker 'lo'"),
        (["--speaker", "low"], "two speakers"),
        (["training.max_steps=3"], "sets this itself"),
        (["objective.kl_weight=3", "--variant", "vae"], "sets this itself"),
        (["vae:training.seed=3", "--variant", "vae"], "sets this itself"),
        (["vea:objective.kl_weight=3"], "unknown variant 'vea'"),
        (["objective.nothing=3", "--variant", "vae"], "nothing"),
        (["--judge", "ears"], "unknown judge 'ears'"),
        (["--beside", "nobody-here"], "nobody-here"),
        (["--world", "world_vae/huge"], "world_vae/huge"),
        (["--world", "vqvae/tiny"], "a preset of 'vqvae'; 'ae' is one of 'world_vae'"),
    ):
        assert run(corpus, tmp_path / "x", *words) == 2, words
        line = capsys.readouterr().err
        assert message in line
        assert line.count("\n") == 1
    assert not (tmp_path / "x").exists()


def test_what_is_converted(corpus: Path, tmp_path: Path) -> None:
    whole = Corpus.open(corpus)
    material = gather(whole, 2)
    assert material.speakers == ("high", "low")
    assert material.parallel == len(material.trials) == 4
    for trial in material.trials:
        assert trial.parallel is not None
        assert trial.parallel.text == trial.source.text
        assert (trial.parallel.speaker, trial.target) == (trial.target, trial.target)
        assert trial.source.speaker != trial.target
    assert len({trial.place for trial in material.trials}) == 4
    # Both directions have the same sentence, however few are taken.
    few = gather(whole, 1).trials
    assert few[0].source.text == few[1].source.text
    # English sentences that nobody shares are converted too, so that there are words; others are not.
    parts = {split: list(whole.split(split)) for split in whole.splits}
    parts["test"] = [replace(u, text=f"{u.text} {u.speaker}") for u in parts["test"]]
    (tmp_path / "own").mkdir()
    rewrite(tmp_path / "own", whole.info, parts)
    spoken = gather(Corpus.open(tmp_path / "own"), 2)
    assert (spoken.parallel, len(spoken.trials), len(spoken.texts)) == (0, 4, 4)
    assert of_speakers(whole, [], tmp_path / "none") is whole
    parts["train"] = [u for u in parts["train"] if u.speaker == "low"]
    (tmp_path / "one").mkdir()
    rewrite(tmp_path / "one", whole.info, parts)
    with pytest.raises(Exception, match="'high' has 2 recordings in 'test' and 0 in 'train'"):
        gather(Corpus.open(tmp_path / "one"), 2)


def test_a_part_of_the_speakers_is_a_corpus_of_its_own(corpus: Path, tmp_path: Path) -> None:
    whole = Corpus.open(corpus)
    three = {split: [*whole.split(split)] for split in whole.splits}
    for split, items in three.items():
        three[split] = items + [replace(u, name=f"x{u.name}", speaker="third") for u in items if u.speaker == "low"]
    (tmp_path / "three").mkdir()
    rewrite(tmp_path / "three", replace(whole.info, speakers=("high", "low", "third")), three)
    part = of_speakers(Corpus.open(tmp_path / "three"), ["third", "high"], tmp_path / "part")
    assert part.info.speakers == ("high", "third")
    assert {u.speaker for split in part.splits for u in part.split(split)} == {"high", "third"}
    assert len(read_utterance(part.split("test")[0]).samples) > RATE // 2


def test_phones_lie_where_they_were_said(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    material = gather(Corpus.open(corpus), 1)
    assert phone_labels(material, tmp_path / "few").kind == ""  # too little to align by
    monkeypatch.setattr(vae_gan_material, "LEAST_ALIGNED", 4)

    def align(part: Corpus, needs: SpeechNeeds, text: TextConfig, splits, **named) -> Alignment:
        found = {}
        for split in splits:
            for example in prepare(part, split, replace(needs, tokens=True), text):
                assert example.tokens is not None
                total = len(example.waveform) // needs.hop_length
                found[example.utterance.name] = np.full(len(example.tokens), total // len(example.tokens))
        return Alignment(found, {}, ())

    monkeypatch.setattr(vae_gan_material, "align", align)
    labels = phone_labels(material, tmp_path / "labels")
    assert labels.kind == "phones"
    name = material.trials[0].source.name
    prepared = prepare(Corpus.open(corpus), "test", SpeechNeeds(22050, 256, tokens=True))
    example = next(e for e in prepared if e.utterance.name == name)
    assert example.tokens is not None
    step = len(example.waveform) // 256 // len(example.tokens) * 256 / 22050
    read = labels.at(name, np.array([0.5 * step, 1.5 * step, 2.5 * step, 100.0]))
    assert read.tolist() == [*example.tokens[:3].tolist(), int(example.tokens[-1])]
    gauge = Gauge(material, Judges([], ()), labels)
    sounds = [read_utterance(trial.source) for trial in material.trials]
    measured = gauge.measure(material.trials, sounds)
    assert 0.0 < measured["phone_variance"] < 3.0
    assert not math.isnan(probe_latents(mel_cepstra, material, labels)["phones"])


def test_the_target_itself_is_the_best_conversion(corpus: Path) -> None:
    material = gather(Corpus.open(corpus), 1)
    gauge = Gauge(material, Judges([], ()), Labels())
    sources = gauge.measure(material.trials, [read_utterance(t.source) for t in material.trials])
    targets = gauge.measure(material.trials, [read_utterance(t.parallel) for t in material.trials if t.parallel])
    assert targets["mcd"] == pytest.approx(0.0, abs=1e-9)
    assert targets["stoi"] == pytest.approx(1.0, abs=1e-6)
    assert targets["f0_rmse_cents"] == targets["voicing_error"] == 0.0
    for key in ("mcd", "mcd_voiced", "f0_rmse_cents", "pitch_semitones", "wasserstein"):
        assert targets[key] < sources[key]
    for key in ("stoi", "estoi", "precision", "recall"):
        assert targets[key] > sources[key]
    silent = gauge.measure(material.trials, [Waveform(np.zeros(RATE, np.float32), RATE) for _ in material.trials])
    assert silent["gv_ratio"] < 0.1
    assert silent["recall"] < 0.1
