"""`moksori train --max-minutes --max-steps`: what a person gives stays, what the preset gives makes room."""

import shlex

import pytest
from typer.testing import CliRunner

from moksori.cli.main import app
from moksori.errors import MoksoriError
from moksori.pipeline import train as training
from moksori.pipeline.run_config import run_config


@pytest.mark.parametrize(
    ("preset", "given", "steps", "minutes"),
    [
        ("vits/tiny", "", "preset", "preset"),
        ("vits/tiny", "--max-minutes 1", None, 1.0),
        ("vits/tiny", "--max-steps 7", 7, None),
        ("vits/tiny", "--max-steps 7 --max-minutes 1", 7, 1.0),
        ("vits/tiny", "training.max_steps=3 --max-minutes 1", 3, 1.0),
        ("wavenet_autoencoder/compact", "--max-steps 7", 7, None),
        ("wavenet_autoencoder/compact", "training.max_minutes=2 --max-steps 7", 7, 2.0),
        ("wavenet_autoencoder/compact", "training.max_steps=3", 3, 60.0),
        ("wavenet_autoencoder/compact", "training.max_steps=3 --max-minutes 1", 3, 1.0),
        ("wavenet_autoencoder/compact", "'training={max_steps: 3}' --max-minutes 1", 3, 1.0),
        ("vits/tiny", "'training={batch_size: 2}' --max-minutes 1", None, 1.0),
    ],
)
def test_what_ends_a_run(monkeypatch, tmp_path, preset: str, given: str, steps, minutes) -> None:
    asked = []

    def seen(name, corpus, run, overrides, *more, **options):
        asked.append(run_config(name, overrides).training)
        raise MoksoriError("seen")

    monkeypatch.setattr(training, "train", seen)
    CliRunner().invoke(app, ["train", preset, *shlex.split(given), "--corpus", str(tmp_path)])
    (found,) = asked
    own = run_config(preset).training
    assert found.max_steps == (own.max_steps if steps == "preset" else steps)
    assert found.max_minutes == (own.max_minutes if minutes == "preset" else minutes)
