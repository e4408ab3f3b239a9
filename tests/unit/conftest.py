"""The toy voice for all unit tests: a family that is registered for one test, and a folder that holds its model."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def toy_family(monkeypatch):
    """The families `toy` and `mute`, known to the registry during one test."""
    import toy_voice

    from moksori.models import registry

    monkeypatch.setattr(registry, "_MODULES", dict(registry._MODULES))
    toy_voice.register()
    return toy_voice


@pytest.fixture
def toy_folder(toy_family, tmp_path) -> Path:
    """A model folder with a toy voice of two speakers."""
    return toy_family.save_toy(tmp_path / "toy", speakers=("ann", "bob"))


@pytest.fixture
def toy_home(toy_folder, tmp_path, monkeypatch) -> Path:
    """$MOKSORI_HOME with the toy voice installed as `toy`, and an index that makes it the default."""
    import json
    import shutil

    from moksori.pipeline import models

    home = tmp_path / "home"
    shutil.copytree(toy_folder, home / "models" / "toy")
    weights = tmp_path / "weights"
    weights.mkdir()
    index = {"default": "toy", "models": {"toy": {"family": "toy", "default": True}}}
    (weights / "index.json").write_text(json.dumps(index))
    monkeypatch.setenv("MOKSORI_HOME", str(home))
    monkeypatch.setattr(models, "bundled_folder", lambda: weights)
    return home


@pytest.fixture
def codec_family(monkeypatch, tmp_path):
    """The family `smallcodec`, known to the registry during one test, and nothing installed or bundled."""
    import small_codec

    from moksori.models import registry

    monkeypatch.setattr(registry, "_MODULES", dict(registry._MODULES))
    monkeypatch.setenv("MOKSORI_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("moksori.pipeline.models.bundled_folder", lambda: tmp_path / "home" / "bundled")
    small_codec.register()
    return small_codec


@pytest.fixture
def codec_folder(codec_family, tmp_path) -> Path:
    """$MOKSORI_HOME with a codec installed as `small`: 8 kHz, hop 20, 3 stages of 1000 entries, 12 kbit/s."""
    return codec_family.save_codec(tmp_path / "home" / "models" / "small")
