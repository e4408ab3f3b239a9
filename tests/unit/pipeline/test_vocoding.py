"""Which vocoder a model's mels are given to."""

import json
from pathlib import Path

import pytest
import torch
from small_imitator import save_imitator, save_vocoder, tiny_dsvae

from moksori.audio.mel import MEL_16KHZ
from moksori.errors import CheckpointError, UnknownName, UnsupportedTask
from moksori.models.checkpoint import fingerprint, read_manifest
from moksori.pipeline import models
from moksori.pipeline.vocoding import find_vocoder

OTHER_MEL = ("model.mel.hop_length=200", "model.mel.f_max_hz=7600")


@pytest.fixture
def here(toy_home: Path) -> Path:
    return toy_home / "models"


def manifest(folder: Path, **changes):
    return read_manifest(save_imitator(folder / "imitator", **changes))


def test_the_one_that_the_model_names_is_taken(here: Path, tmp_path) -> None:
    save_vocoder(here / "first")
    named = save_vocoder(here / "second", seed=1)
    model = manifest(tmp_path, requires={"second": fingerprint(named)})
    assert find_vocoder(model, MEL_16KHZ).name == "second"
    assert find_vocoder(model, MEL_16KHZ, "first").name == "first"  # unless another is asked for
    save_vocoder(named, seed=2)
    with pytest.raises(CheckpointError, match=r"imitator: needs the vocoder 'second' \(\w+\), the one here is \w+:"):
        find_vocoder(model, MEL_16KHZ)
    with pytest.raises(UnknownName, match="unknown model 'gone'"):
        find_vocoder(manifest(tmp_path, requires={"gone": "0"}), MEL_16KHZ)


def test_a_fresh_model_gets_one_for_its_mels(here: Path, tmp_path, monkeypatch) -> None:
    model = manifest(tmp_path)
    with pytest.raises(
        CheckpointError, match=r"makes mels \(16000 Hz, hop 256, 80 bands up to 8000 Hz\), and no vocoder"
    ):
        find_vocoder(model, MEL_16KHZ)
    save_vocoder(here / "another", overrides=OTHER_MEL)
    (here / "broken").mkdir()
    (here / "broken" / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="no vocoder here takes them: name one with --vocoder"):
        find_vocoder(model, MEL_16KHZ)
    save_vocoder(here / "fitting")
    save_vocoder(here / "fitting-too")
    assert find_vocoder(model, MEL_16KHZ).name == "fitting"
    index = models.bundled_folder() / "index.json"
    known = json.loads(index.read_text())
    known["models"]["fitting-too"] = {"family": "vocoder", "default": True}
    index.write_text(json.dumps(known))
    assert find_vocoder(model, MEL_16KHZ).name == "fitting-too"  # the family's default comes first


def test_other_mels_and_other_models_are_refused(here: Path, tmp_path) -> None:
    other = save_vocoder(tmp_path / "another", overrides=OTHER_MEL)
    message = (
        r"imitator and the vocoder another are of different mels \(hop_length 256 and 200, f_max_hz 8000.0 and 7600.0\)"
    )
    with pytest.raises(CheckpointError, match=message):
        find_vocoder(manifest(tmp_path), MEL_16KHZ, other)
    with pytest.raises(CheckpointError, match=message):
        find_vocoder(manifest(tmp_path, requires={str(other): fingerprint(other)}), MEL_16KHZ)
    with pytest.raises(UnsupportedTask, match="a 'toy' model is no vocoder: name one of the family vocoder"):
        find_vocoder(manifest(tmp_path), MEL_16KHZ, "toy")


def test_what_it_sounds_like(here: Path, tmp_path) -> None:
    found = find_vocoder(manifest(tmp_path), MEL_16KHZ, save_vocoder(tmp_path / "voc"))
    mel = tiny_dsvae().mel(0.1 * torch.randn(1, 8000, generator=torch.Generator().manual_seed(0)))
    made = torch.cat(list(found.sound(mel.split(7, dim=2), mel.shape[2])), dim=1)
    torch.testing.assert_close(made, found.model.vocode(mel), atol=1e-5, rtol=0)
    assert found.fingerprint == fingerprint(tmp_path / "voc")
