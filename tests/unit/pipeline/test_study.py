"""The study of the balance, from nothing to its table, on a corpus of tones; what is done is not done again."""

import json
from pathlib import Path

import numpy as np
import pytest

from moksori.audio.io import write
from moksori.cli.main import main
from moksori.corpus.manifest import Corpus, CorpusInfo, rewrite
from moksori.corpus.synthetic import synthetic_examples
from moksori.pipeline.study import Study
from moksori.types import SpeechNeeds, Utterance, Waveform

RATE = 16000
SMALL = (
    "training.batch_size=4",
    "model.prior.feed=posterior",  # many times faster than the roll-out
    "model.shared.channels=16",
    "model.decoder.channels=16",
    "model.decoder.first_channels=16",
    "model.decoder.post_channels=16",
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two speakers to learn from and two held out, with recordings of 7 s."""
    folder = tmp_path_factory.mktemp("tones")
    needs = SpeechNeeds(RATE, 256)
    parts: dict[str, list[Utterance]] = {"train": [], "test": []}
    (folder / "audio").mkdir()
    for index in range(8):
        speaker = index % 4
        pieces = [e.waveform for e in synthetic_examples(needs, 40, seed=index, speakers=4) if e.speaker == speaker]
        samples = np.concatenate(pieces)[: 7 * RATE]
        assert len(samples) == 7 * RATE
        name = f"tone{speaker}_{index}"
        path = folder / "audio" / f"{name}.flac"
        write(path, Waveform(samples, RATE))
        split = "train" if speaker < 2 else "test"
        parts[split].append(Utterance(name, "", f"tone{speaker}", "en-us", path, 0.0, 7.0, RATE))
    info = CorpusInfo("tones", "CC0 1.0", "en-us", tuple(f"tone{k}" for k in range(4)))
    rewrite(folder, info, parts)
    return folder


def run(corpus: Path, folder: Path, *more: str) -> int:
    words = ["study", "balance", "--corpus", corpus, "--run", folder, "--preset", "dsvae/tiny", *more, *SMALL]
    return main([str(word) for word in words])


def test_a_study_from_nothing_to_its_table(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "study"
    assert run(corpus, folder, "--steps", "2", "--ratio", "1", "--ratio", "100") == 0
    shown = capsys.readouterr().out
    assert "| 1 |" in shown
    assert "| 100 |" in shown
    assert "mels themselves" in shown
    assert (folder / "balance.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "balance.md").read_text(encoding="utf-8").splitlines()[0].startswith("| beta / alpha |")
    found = json.loads((folder / "balance.json").read_text(encoding="utf-8"))
    assert [case["ratio"] for case in found["cases"]] == [1, 100]
    assert found["held_out"]
    assert found["speakers"] == 2
    assert found["content_labels"] == "mel clusters"
    for case in found["cases"]:
        measures = case["measures"]
        assert case["steps"] == 2
        assert 0.0 <= measures["eer_within_z_s"] <= 1.0
        assert 0.0 <= measures["eer_across_z_c"] <= 1.0
        assert measures["leak_labels"] == 2
        assert 0.0 <= measures["conversion_spectral"] <= 1.0
        assert measures["speaker_nats"] >= 0.0
        assert measures["decoder_constants"] > 0.01
    # The spectral judge hears that two tones differ, and frames of mels tell which is which.
    assert found["references"]["leak_accuracy"] > 0.8
    assert found["references"]["content_accuracy"] > 2 * found["references"]["content_chance"]

    # A second call finds everything, and gives the same.
    monkeypatch.setattr("moksori.pipeline.study_runs.train", lambda *given, **named: pytest.fail("trained again"))
    monkeypatch.setattr("moksori.pipeline.study.measure", lambda *given, **named: pytest.fail("measured again"))
    assert run(corpus, folder, "--ratio", "1", "--ratio", "100") == 0
    assert json.loads((folder / "balance.json").read_text(encoding="utf-8")) == found
    read = Study.read(folder / "balance.json")
    assert read.as_json() == found


def test_bad_input_is_told_in_a_line(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, message in (
        (["--steps", "2", "objective.beta=3"], "case by case"),
        (["--steps", "2", "--ratio", "0"], "above 0"),
        (["--steps", "2", "--minutes", "1"], "not both"),
        (["--steps", "2", "objective.alpha=0"], "alpha above 0"),
        (["--steps", "2", "--vocoder", "nobody"], "nobody"),
    ):
        assert run(corpus, tmp_path / "x", *words) == 2
        line = capsys.readouterr().err
        assert message in line
        assert line.count("\n") == 1
    assert not (tmp_path / "x").exists()


def test_a_corpus_without_enough_test_speech_is_refused(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = Corpus.open(corpus)
    (tmp_path / "few").mkdir()
    rewrite(tmp_path / "few", whole.info, {"train": whole.split("train"), "test": whole.split("test")[:1]})
    assert run(tmp_path / "few", tmp_path / "y", "--steps", "1", "--ratio", "1") == 2
    assert "too little speech" in capsys.readouterr().err
    assert not (tmp_path / "y").exists()  # told before anything was trained
