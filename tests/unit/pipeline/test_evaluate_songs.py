"""`evaluate --task sing` of models that change who sings: a perfect converter, and one that changes nothing."""

import numpy as np
import pytest
import torch
from small_singers import configured
from small_songs import MEDIANS, TABLE, Ears, voiced, write_songs

pytest.importorskip("pyworld")
pytest.importorskip("mir_eval")

from moksori.audio.f0 import extract_f0, interpolate_f0
from moksori.audio.resample import resample
from moksori.corpus.manifest import Corpus, rewrite
from moksori.errors import CorpusError
from moksori.evaluation import singer, speaker_encoders
from moksori.evaluation.names import CHANCE, COPY, HUMAN, KEY_CHANGE, PROBED_MELS, UNCHANGED
from moksori.models.checkpoint import Manifest, save_model
from moksori.models.wavenet_autoencoder import WavenetAutoencoder
from moksori.pipeline.conversions import Conversion
from moksori.pipeline.convert import Converter
from moksori.pipeline.evaluate import evaluate


@pytest.fixture(autouse=True)
def ears(monkeypatch):
    monkeypatch.setattr(speaker_encoders, "SpeakerEncoder", Ears)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_songs(tmp_path_factory.mktemp("songs"))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "singers"
    config = configured("model.num_speakers=3").model
    torch.manual_seed(0)
    manifest = Manifest(
        family="wavenet_autoencoder", name="singers", model=config.model_dump(mode="json"), sample_rate=8000,
        speakers=TABLE, speaker_pitch={name: (float(np.log(MEDIANS[name])), 0.2) for name in TABLE},
    )  # fmt: skip
    save_model(folder, WavenetAutoencoder(config).eval(), manifest)
    return folder


def conversion(sound, speaker):
    at_rate = resample(sound, 8000)
    return Conversion(at_rate.samples, 8000, speaker, "", 0, "singers", ())


def perfect(self, audio, speaker=None, key=0.0, **_):
    """What is asked for: the source's tune, in another key, by another."""
    f0 = interpolate_f0(extract_f0(audio, 80, 60.0, 1000.0, method="harvest"))
    return conversion(voiced(f0 * 2.0 ** (key / 12.0), speaker), speaker)


def lazy(self, audio, speaker=None, **_):
    return conversion(audio, speaker)


def figures(report):
    return {system.name: {k: e.value for k, e in system.measures.items()} for system in report.systems}


def test_a_perfect_conversion_is_told_from_none(model, corpus, monkeypatch):
    monkeypatch.setattr(Converter, "convert", perfect)
    report = evaluate(model, corpus, task="sing", measures=["singer", "melody"], limit=2, targets=1)
    found = figures(report)
    assert [group.speaker for group in report.groups] == ["recorded songs", "made songs"]
    assert [group.n for group in report.groups] == [1, 2]
    assert found["singers"]["singer_identified"] == 1.0
    assert found["singers"]["raw_pitch_accuracy"] > 0.9
    assert found[HUMAN]["singer_identified"] == 1.0
    assert "raw_pitch_accuracy" not in found[HUMAN]
    assert found[UNCHANGED]["singer_identified"] < 0.5
    assert found[UNCHANGED]["singer_source"] == 1.0
    assert found[KEY_CHANGE]["raw_pitch_accuracy"] > 0.85
    assert found[KEY_CHANGE]["singer_identified"] < 0.7
    assert found[COPY]["singer_identified"] == 1.0
    assert found[COPY]["raw_pitch_accuracy"] > 0.9
    assert 0.05 < found[COPY]["mel_distance"] < 1.5  # a song against the same song made anew, and of nothing else
    assert "mel_distance" not in found["singers"]
    assert all(bar.reached for bar in report.bars())
    assert any("classifier that has learnt from" in note for note in report.notes)
    assert {picture.name.split(" to ")[0] for picture in report.pictures}


def test_a_model_that_changes_nothing_is_found_out(model, corpus, monkeypatch):
    monkeypatch.setattr(Converter, "convert", lazy)
    report = evaluate(model, corpus, task="sing", measures=["singer", "melody"], limit=2, targets=1)
    found = figures(report)["singers"]
    assert found["singer_identified"] < 0.5
    assert found["raw_pitch_accuracy"] < 0.3  # the key was asked for, and did not come
    assert [bar.reached for bar in report.bars()] == [False, False]


def test_codes_are_probed_beside_mels_and_guessing(model, corpus, monkeypatch):
    monkeypatch.setattr(singer, "LEAST_CROPS", 1)
    report = evaluate(model, corpus, task="sing", measures=["codes"], limit=1, targets=1)
    found = figures(report)
    assert found[CHANCE]["code_probe"] == pytest.approx(1 / 3)
    assert found[PROBED_MELS]["code_probe"] > 0.8
    assert 0.0 <= found["singers"]["code_probe"] <= 1.0
    assert "rtf" in found["singers"]
    assert [bar.measure for bar in report.bars()] == ["code_probe"]


def test_a_split_without_songs_says_what_to_do(model, corpus, tmp_path):
    opened = Corpus.open(corpus)
    rewrite(tmp_path, opened.info, {"train": opened.split("train"), "test": [opened.split("train")[0]]})
    with pytest.raises(CorpusError, match="moksori corpus sing"):
        evaluate(model, tmp_path, task="sing")


def test_a_corpus_without_the_models_singers_is_named(model, corpus, tmp_path):
    opened = Corpus.open(corpus)
    rewrite(tmp_path, opened.info, {"train": opened.split("train")[:2], "test": opened.split("test")})
    with pytest.raises(CorpusError, match="training recordings of 1 of the singers"):
        evaluate(model, tmp_path, task="sing", measures=["singer"])
