"""`moksori vocode`: a recording to its mel, a mel to sound, and one line for what was wrong."""

import numpy as np
import pytest
import torch

from moksori.audio.io import read, write
from moksori.audio.mel import MEL_16KHZ
from moksori.cli import main as command
from moksori.models.checkpoint import Manifest, save_model
from moksori.models.decoders.config import IstftConfig
from moksori.models.vocoder import Vocoder, VocoderConfig
from moksori.types import Waveform


@pytest.fixture
def run(capsys, toy_home, tmp_path, monkeypatch):
    """Runs `moksori vocode` in a folder with a recording: exit code, stdout, stderr."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.delenv("MOKSORI_DEBUG", raising=False)
    write("talk.ogg", Waveform(0.1 * np.sin(np.arange(24000) * 0.06).astype(np.float32), 24000))
    np.save("turned.npy", np.full((30, 80), -5.0, np.float32))
    torch.manual_seed(0)
    config = VocoderConfig(mel=MEL_16KHZ, decoder=IstftConfig(channels=16, inner_channels=32, num_layers=1))
    manifest = Manifest(family="vocoder", name="small", model=config.model_dump(mode="json"), sample_rate=16000)
    save_model(toy_home / "models" / "small", Vocoder(config), manifest)

    def call(*arguments):
        code = command.main(["vocode", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_a_recording_to_its_mel_and_the_mel_to_sound(run):
    code, out, err = run("talk.ogg", "--mel", "m.safetensors", "-o", "copy.wav", "--model", "small", "--seed", "1")
    assert (code, err) == (0, "")
    first, second = out.splitlines()
    assert first == "m.safetensors: 63 frames of 80 mel bands, of sound at 16000 Hz"
    assert second.startswith("copy.wav: 1.00 s by small, real-time factor ")
    assert second.endswith("seed 1")
    code, out, err = run("m.safetensors", "-o", "again.wav", "--seed", "1", "--chunk", "9")
    assert (code, err) == (0, "")
    np.testing.assert_allclose(read("again.wav").samples[:16000], read("copy.wav").samples, atol=1e-4)
    code, out, err = run("talk.ogg", "--mel", "m.npy", "--voice", "small")
    assert code == 0
    code, out, err = run("m.npy", "--model", "small", "-o", "third.wav")
    assert code == 0
    assert err == "moksori: m.npy: does not say how it was made: taken as a mel of small's front end\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["talk.ogg"], "no output: name a sound (-o out.wav)"),
        (["talk.ogg", "-o", "o.wav", "--model", "smal"], "unknown model 'smal': did you mean 'small'"),
        (["talk.ogg", "-o", "o.wav", "--model", "toy"], "a 'toy' model is no vocoder"),
        (["talk.ogg", "-o", "o.txt", "--model", "small"], "o.txt: has the suffix '.txt'"),
        (["talk.ogg", "--mel", "o.csv", "--model", "small"], "o.csv: has the suffix '.csv'"),
        (["talk.ogg", "-o", "none/o.wav", "--model", "small"], "its folder none does not exist"),
        (["talk.ogg", "-o", "talk.ogg", "--model", "small"], "talk.ogg: is the source itself"),
        (["turned.npy", "-o", "o.wav", "--model", "small"], "frames first: turn it to [mels, frames]"),
        (["none.npy", "-o", "o.wav", "--model", "small"], "none.npy: does not exist"),
        (["none.wav", "-o", "o.wav", "--model", "small"], "none.wav: does not exist"),
        (["talk.ogg", "-o", "o.wav", "--model", "small", "--chunk", "0"], "chunk 0: expected a whole number"),
        (["talk.ogg", "-o", "o.wav", "--model", "small", "--seed", "-2"], "seed -2: expected"),
    ],
)
def test_bad_usage_is_told_on_one_line_and_leaves_nothing(run, tmp_path, arguments, message):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert sorted(path.name for path in (tmp_path / "work").iterdir()) == ["talk.ogg", "turned.npy"]
