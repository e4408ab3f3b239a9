"""`moksori train wavenet/tiny` and what it makes through `moksori vocode`: mels to sound, and sound of nothing."""

from pathlib import Path

import numpy as np
import pytest
import torch

import moksori
from moksori.audio.io import read, write
from moksori.cli import main as command
from moksori.corpus.synthetic import write_synthetic
from moksori.errors import BadInput
from moksori.models.checkpoint import Manifest, save_model
from moksori.models.wavenet import Wavenet
from moksori.pipeline.draw import SoundDrawer
from moksori.pipeline.evaluate import tasks_of
from moksori.pipeline.model_card import example, model_card
from moksori.pipeline.run_config import run_config
from moksori.pipeline.vocode import MelVocoder
from moksori.types import SpeechNeeds, Waveform


@pytest.fixture
def run(capsys, toy_home, tmp_path, monkeypatch):
    """Runs `moksori` in a folder with a recording, beside a model that draws of nothing: exit code, stdout, stderr."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.delenv("MOKSORI_DEBUG", raising=False)
    write("talk.wav", Waveform(0.1 * np.sin(np.arange(8000) * 0.2).astype(np.float32), 8000))
    torch.manual_seed(0)
    config = run_config("wavenet/tiny", ["model.mel=null", "model.standardize=false"]).model
    manifest = Manifest(family="wavenet", name="free", model=config.model_dump(mode="json"), sample_rate=8000)
    save_model(toy_home / "models" / "free", Wavenet(config), manifest)

    def call(*arguments):
        code = command.main(list(arguments))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_trained_by_command_it_vocodes(run):
    write_synthetic(Path("tones"), 8, needs=SpeechNeeds(8000, 128))
    code, _, err = run(
        "train", "wavenet/tiny", "--corpus", "tones", "--run", "run", "training.max_steps=3", "training.speak_every=0",
        "training.device=cpu",
    )  # fmt: skip
    assert code == 0, err
    code, out, err = run(
        "vocode", "talk.wav", "-o", "copy.wav", "--mel", "talk.safetensors", "--model", "run", "--seed", "1"
    )
    assert (code, err) == (0, "")
    first, second = out.splitlines()
    assert first == "talk.safetensors: 63 frames of 40 mel bands, of sound at 8000 Hz"
    assert second.startswith("copy.wav: 1.00 s by synthetic, real-time factor ")
    code, _, err = run("vocode", "talk.safetensors", "-o", "again.wav", "--model", "run", "--seed", "1", "--chunk", "9")
    assert (code, err) == (0, "")
    copy, again = read("copy.wav").samples, read("again.wav").samples
    assert len(copy) == 8000
    assert copy.std() > 1e-4
    np.testing.assert_allclose(again[: 62 * 128], copy[: 62 * 128], atol=1e-4)
    vocoder = moksori.load("run")
    assert isinstance(vocoder, MelVocoder)
    np.testing.assert_allclose(vocoder.vocode("talk.wav", seed=1).samples, copy, atol=1e-4)


def test_sound_of_nothing_by_command_and_in_python(run):
    code, out, err = run("vocode", "--model", "free", "--seconds", "1.5", "-o", "drawn.wav", "--seed", "3")
    assert (code, err) == (0, "")
    assert out.startswith("drawn.wav: 1.50 s by free, real-time factor ")
    assert out.endswith("seed 3\n")
    drawer = moksori.load("free")
    assert isinstance(drawer, SoundDrawer)
    assert example(drawer.loaded.manifest, "free") == "moksori vocode --model free --seconds 5 -o drawn.wav"
    assert "says nothing" in model_card(drawer.loaded.manifest)
    assert tasks_of(drawer.loaded) == []  # there is nothing to measure it against
    drawn = drawer.draw(1.5, seed=3)
    assert len(drawn.samples) == 12_000
    np.testing.assert_allclose(read("drawn.wav").samples, drawn.samples, atol=1e-4)
    assert not np.array_equal(drawer.draw(1.5, seed=3, temperature=0.5).samples, drawn.samples)
    with pytest.raises(BadInput, match="seconds 3601: 3600 at most are made in memory"):
        drawer.draw(3601)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "o.wav"], "no input: name a mel or a recording, or --seconds N"),
        (["--seconds", "1"], "no output: name a sound (-o out.wav)"),
        (["talk.wav", "--seconds", "1", "-o", "o.wav"], "leave out talk.wav, or --seconds"),
        (["--seconds", "1", "-o", "o.wav", "--mel", "m.npy"], "leave out --mel, or --seconds"),
        (["--seconds", "0", "-o", "o.wav"], "seconds 0: expected more than 0"),
        (["--seconds", "nan", "-o", "o.wav"], "seconds nan: expected more than 0"),
        (["--seconds", "1", "-o", "o.txt"], "o.txt: has the suffix '.txt'"),
        (["--seconds", "1", "-o", "o.wav", "--temperature", "3"], "temperature 3: expected 0 to 2"),
        (["talk.wav", "-o", "o.wav", "--temperature", "1"], "--temperature 1: goes with --seconds"),
        (["talk.wav", "-o", "o.wav"], "free: was trained without mels and draws sound of nothing: give --seconds"),
        (["--seconds", "1", "-o", "o.wav", "--model", "toy"], "this 'toy' model makes no sound of nothing"),
    ],
)  # fmt: skip
def test_bad_usage_is_told_on_one_line_and_leaves_nothing(run, tmp_path, arguments, message):
    named = [] if "--model" in arguments else ["--model", "free"]
    code, out, err = run("vocode", *arguments, *named)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["talk.wav"]
