"""Listing and inspecting models; the doctor's findings."""

import json
import sys
import tomllib
from pathlib import Path

import pytest

import moksori
from moksori.errors import CheckpointError
from moksori.pipeline import doctor
from moksori.pipeline import models as finding


def test_models_lists_name_family_and_default(toy_home):
    (model,) = finding.models()
    assert (model.name, model.where, model.default) == ("toy", "installed", True)
    assert model.manifest.family == "toy"
    assert [m.name for m in moksori.models()] == ["toy"]


def test_bundled_models_are_found_by_name_and_by_family(toy_home, toy_folder):
    weights = finding.bundled_folder()
    toy_folder.rename(weights / "clara")
    index = {"default": "clara", "models": {"clara": {"family": "toy", "default": True}}}
    (weights / "index.json").write_text(json.dumps(index))
    (toy_home / "models" / "toy").rename(toy_home / "models" / "other")
    assert finding.find_model() == finding.find_model("toy") == finding.find_model("clara") == weights / "clara"
    assert {m.name: m.where for m in finding.models()} == {"clara": "bundled", "other": "installed"}


def test_every_family_that_is_bundled_has_one_default(tmp_path, monkeypatch):
    """So that the family's name alone, and verbs without --model, find it; and the index names what is there."""
    monkeypatch.setenv("MOKSORI_HOME", str(tmp_path))
    listed = json.loads((finding.bundled_folder() / "index.json").read_text(encoding="utf-8"))["models"]
    defaults = sorted(entry["family"] for entry in listed.values() if entry.get("default"))
    assert defaults == sorted({entry["family"] for entry in listed.values()})
    assert {finding.find_model(family).name for family in defaults} <= set(listed)
    assert set(listed) == {model.name for model in finding.models() if model.where == "bundled"}


def test_an_installed_model_hides_a_bundled_one(toy_home, toy_folder):
    toy_folder.rename(finding.bundled_folder() / "toy")
    assert finding.find_model("toy") == toy_home / "models" / "toy"
    assert [m.where for m in finding.models()] == ["installed"]


def test_a_speaker_of_another_model_is_told_with_that_model(toy_home):
    """The toy model's speakers are ann and bob."""
    error = finding.unknown_speaker("bob", ["eve", "rob"])
    assert str(error) == "unknown speaker 'bob': did you mean 'rob'; a speaker of toy: --voice toy"
    assert str(finding.unknown_speaker("zoe", ["eve"])) == "unknown speaker 'zoe': known: eve"


def test_a_training_run_speaks_with_its_best_model(toy_home, toy_folder, tmp_path):
    run = tmp_path / "runs" / "mine"
    run.mkdir(parents=True)
    toy_folder.rename(run / "best")
    assert finding.find_model(run) == run / "best"


def test_info_counts_without_building(toy_home):
    found = finding.info("toy")
    assert found.parameters == found.manifest.model["vocabulary"] * 4 + 1
    assert found.files["model.safetensors"] > 1000
    assert not found.discriminators


def test_broken_folders_are_listed_with_their_problem(toy_home):
    (toy_home / "models" / "toy" / "config.json").write_text("{")
    (model,) = finding.models()
    assert model.manifest is None
    assert "cannot be read as JSON" in model.problem


def test_no_default_voice_says_what_to_do(toy_home):
    (finding.bundled_folder() / "index.json").unlink()
    with pytest.raises(CheckpointError, match=r"no default voice is bundled.*--voice"):
        finding.find_model()
    (finding.bundled_folder() / "index.json").write_text("[]")
    with pytest.raises(CheckpointError, match=r"index.json: damaged"):
        finding.find_model()


def test_hub_names_are_asked_for_only_with_the_hub_client(toy_home, toy_folder, monkeypatch):
    import types

    with monkeypatch.context() as without:
        without.setattr(finding, "find_spec", lambda name: None)
        with pytest.raises(CheckpointError, match="someone/voice: no such model folder"):
            finding.find_model("someone/voice")
    asked = []
    client = types.ModuleType("huggingface_hub")
    client.__spec__ = types.SimpleNamespace()
    client.snapshot_download = lambda name, allow_patterns: asked.append((name, allow_patterns)) or str(toy_folder)
    monkeypatch.setitem(sys.modules, "huggingface_hub", client)
    assert finding.find_model("someone/voice") == toy_folder
    assert asked == [("someone/voice", ["config.json", "*.safetensors", "README.md"])]

    def offline(name, allow_patterns):
        raise ConnectionError("no\nnetwork")

    client.snapshot_download = offline
    with pytest.raises(CheckpointError, match=r"nor to be had from the Hub .no network.: check name and network"):
        finding.find_model("someone/voice")


def findings():
    return {found.name: found for found in doctor.examine()}


def test_all_is_well_in_the_test_environment(toy_home):
    found = findings()
    bad = {name: item for name, item in found.items() if item.state == "bad"}
    assert not bad
    assert "toy (toy, 8000 Hz) is ready" in found["voice"].detail
    assert "wav, flac, ogg, opus, mp3" in found["audio files"].detail
    assert "həlˈoʊ" in found["phonemes"].detail


def test_what_is_missing_comes_with_its_remedy(toy_home, monkeypatch):
    absent = {"phonemizer", "lightning", "pkg_resources"}
    present = {"torchaudio"}
    real = doctor.find_spec
    monkeypatch.setattr(doctor, "find_spec", lambda name: None if name in absent else name in present or real(name))
    found = findings()
    assert (found["[train]"].state, found["[train]"].remedy) == ("absent", "pip install 'moksori[train]'")
    assert (found["phonemes"].state, found["phonemes"].remedy) == ("absent", "pip install 'moksori[espeak]'")
    assert found["setuptools"].remedy == "pip install 'setuptools<81'"
    assert found["torch add-ons"].state == "bad"
    assert "pip uninstall torchaudio" in found["torch add-ons"].remedy


def test_every_extra_but_that_of_developers_is_reported():
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(doctor._EXTRAS) == set(project["optional-dependencies"]) - {"dev"}


def test_old_versions_and_read_only_folders(toy_home, monkeypatch):
    import torch

    monkeypatch.setattr(sys, "version_info", (3, 10, 2, "final", 0))
    monkeypatch.setattr(torch, "__version__", "2.1.0+cpu")

    def read_only(dir):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(doctor.tempfile, "NamedTemporaryFile", read_only)
    found = findings()
    assert found["python"].remedy.startswith("install Python 3.11 or newer")
    assert "2.6 to 2.13" in found["torch"].detail
    assert "permission denied" in found["write access"].detail
    assert found["write access"].remedy.startswith("set MOKSORI_HOME")


def test_a_broken_voice_is_a_finding_not_a_crash(toy_home):
    (toy_home / "models" / "toy" / "model.safetensors").write_bytes(b"short")
    assert findings()["voice"].state == "bad"
    assert "truncated" in findings()["voice"].detail
