"""The numbered examples run as they stand and end in a wav; without a bundled voice they are given a made-up one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from moksori.audio.io import read
from moksori.pipeline.models import bundled_folder

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("[0-9][0-9]_*.py"))


@pytest.fixture(scope="module")
def voice(tmp_path_factory):
    """Nothing where a voice is bundled, else the folder of a tiny VITS that has learnt nothing."""
    if (bundled_folder() / "index.json").is_file():
        return []
    import torch

    from moksori.models.checkpoint import Manifest, save_model
    from moksori.pipeline.run_config import run_config

    torch.manual_seed(0)
    config = run_config("vits/tiny").model
    folder = tmp_path_factory.mktemp("voice") / "nobody"
    described = Manifest(
        family="vits", name="nobody", model=config.model_dump(mode="json"), text=config.text, sample_rate=22050
    )
    from moksori.models.vits import Vits

    save_model(folder, Vits(config), described)
    return [str(folder)]


def test_examples_are_numbered_without_gaps():
    assert [path.name[:2] for path in EXAMPLES] == [f"{number:02d}" for number in range(1, len(EXAMPLES) + 1)]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_ends_in_a_wav(example, voice, tmp_path):
    arguments = [] if "train" in example.stem else voice
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(example), *arguments]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    sound = tmp_path / f"{example.stem}.wav"
    assert sound.name in done.stdout
    waveform = read(sound)
    assert waveform.duration_seconds > 0.5
    assert abs(waveform.samples).max() > 1e-3
