"""`moksori convert`: one line for what was done, one for what was wrong."""

import numpy as np
import pytest
from small_converter import save_converter

from moksori.audio.io import read, read_metadata, write
from moksori.cli import main as command
from moksori.types import Waveform


@pytest.fixture
def run(capsys, toy_home, tmp_path, monkeypatch):
    """Runs `moksori convert` in a folder with a recording, in this process: exit code, stdout, stderr."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.delenv("MOKSORI_DEBUG", raising=False)
    samples = 0.1 * np.sin(np.arange(24000) * 0.06) * np.random.default_rng(0).uniform(0.5, 1.0, 24000)
    write("talk.ogg", Waveform(samples.astype(np.float32), 24000))
    write("silence.wav", Waveform(np.zeros(9000, np.float32), 8000))
    save_converter(toy_home / "models" / "three")

    def call(*arguments):
        code = command.main(["convert", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_the_speaker_is_enough(run):
    code, out, err = run("talk.ogg", "--speaker", "bob", "-o", "out.flac")
    assert code == 0
    assert out.startswith("out.flac: 1.00 s, ")
    assert " to bob, real-time factor 0" in out
    assert "taken as spoken by" in err
    assert err.count("\n") in (1, 2)  # bob may be the best fit: then that is told too
    tags = read_metadata("out.flac")
    assert out.rstrip().endswith(f"seed {tags['seed']}")
    assert (tags["speaker"], tags["synthetic"]) == ("bob", "true")


def test_equal_seeds_give_equal_files(run):
    for name in ("a.wav", "b.wav"):
        code, out, err = run(
            "talk.ogg", "--singer", "bob", "--source", "ann", "-o", name, "--seed", "7", "--pitch", "1"
        )
        assert (code, err) == (0, "")
        assert out.startswith(f"{name}: 1.00 s, ann to bob, ")
    assert np.array_equal(read("a.wav").samples, read("b.wav").samples)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["talk.ogg", "-o", "o.wav"], "nobody to become: name a speaker of a model, --speaker NAME"),
        (["talk.ogg", "--speaker", "bob"], "no output: name a file: -o out.wav"),
        (["talk.ogg", "--speaker", "bobo", "-o", "o.wav"], "unknown speaker 'bobo': did you mean 'bob'?"),
        (["talk.ogg", "--speaker", "bob", "--source", "x", "-o", "o.wav"], "unknown speaker 'x'"),
        (["talk.ogg", "--speaker", "bob", "--model", "thre", "-o", "o.wav"], "unknown model 'thre': did you mean"),
        (["talk.ogg", "--speaker", "bob", "--model", "toy", "-o", "o.wav"], "a 'toy' model cannot convert"),
        (["talk.ogg", "--speaker", "bob", "--pitch", "40", "-o", "o.wav"], "pitch 40.0: expected a number"),
        (["talk.ogg", "--speaker", "bob", "--seed", "-1", "-o", "o.wav"], "seed -1: expected a whole number"),
        (["talk.ogg", "--speaker", "bob", "-o", "talk.ogg"], "talk.ogg: is the recording itself"),
        (["talk.ogg", "--speaker", "bob", "-o", "o.txt"], "o.txt: has the suffix '.txt'"),
        (["talk.ogg", "--speaker", "bob", "-o", "none/o.wav"], "its folder none does not exist"),
        (["silence.wav", "--speaker", "bob", "-o", "o.wav"], "silence.wav: is silent"),
        (["none.wav", "--speaker", "bob", "-o", "o.wav"], "none.wav: does not exist"),
        (["--speaker", "bob", "-o", "o.wav"], "Missing argument"),
    ],
)
def test_bad_usage_is_told_on_one_line_and_leaves_nothing(run, tmp_path, arguments, message):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert sorted(path.name for path in (tmp_path / "work").iterdir()) == ["silence.wav", "talk.ogg"]
