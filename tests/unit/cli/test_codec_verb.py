"""`moksori codec`: encode, decode, info, and one line for what was wrong."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from moksori.audio.io import read, write
from moksori.audio.pipe import read_pipe
from moksori.cli import main as command
from moksori.types import Waveform

SMALL = Path(__file__).parents[1] / "small_codec.py"


@pytest.fixture
def run(capsys, codec_folder, codec_family, tmp_path, monkeypatch):
    """Runs `moksori codec` in a folder with a recording and some files of codes: exit code, stdout, stderr."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.delenv("MOKSORI_DEBUG", raising=False)
    noise = np.random.default_rng(0).standard_normal(24_000)
    write("talk.wav", Waveform((0.1 * noise).astype(np.float32), 8000))
    codec_family.save_codec(tmp_path / "other", stages=2)

    def call(*arguments):
        code = command.main(["codec", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    call("encode", "talk.wav", "-o", "talk.mkc")
    Path("cut.mkc").write_bytes(Path("talk.mkc").read_bytes()[:-20])
    call("encode", "talk.wav", "-o", "other.mkc", "--model", str(tmp_path / "other"))
    return call


def test_a_recording_to_codes_and_back(run):
    code, out, err = run("encode", "talk.wav", "-o", "few.mkc", "--stages", "2", "--model", "small")
    size = Path("few.mkc").stat().st_size
    assert (code, err) == (0, "")
    assert out.startswith(f"few.mkc: 3.00 s by small, 2 stages, 8.00 kbit/s ({size} bytes of codes), real-time factor ")
    code, out, err = run("info", "few.mkc")
    assert (code, err) == (0, "")
    assert out.startswith("few.mkc: 3.00 s at 8000 Hz, 2 stages of 1000 entries, 8.00 kbit/s, by the codec small (")
    code, out, err = run("decode", "few.mkc", "-o", "few.wav", "--stages", "1")
    assert (code, err) == (0, "")
    assert out.startswith("few.wav: 3.00 s by small, 1 stage, 4.00 kbit/s")
    assert len(read("few.wav").samples) == 24_000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["encode", "talk.wav"], "no output: name an .mkc file (-o talk.mkc), or - for stdout"),
        (["encode", "talk.wav", "-o", "x.wav"], "x.wav: a coded recording ends in .mkc: x.mkc"),
        (["encode", "talk.wav", "-o", "x.mkc", "--stages", "4"], "stages 4: expected a whole number from 1 to 3"),
        (["encode", "talk.wav", "-o", "x.mkc", "--model", "smal"], "unknown model 'smal': did you mean 'small'"),
        (["encode", "none.wav", "-o", "x.mkc"], "none.wav: does not exist"),
        (["encode", "talk.mkc", "-o", "x.mkc"], "talk.mkc: is no recording that can be read"),
        (["encode", "talk.wav", "-o", "none/x.mkc"], "its folder none does not exist"),
        (["decode", "talk.mkc"], "no output: name a sound (-o talk.wav), or - for stdout"),
        (["decode", "talk.mkc", "-o", "x.txt"], "x.txt: has the suffix '.txt'"),
        (["decode", "talk.mkc", "-o", "x.wav", "--stages", "4"], "stages 4: expected a whole number from 1 to 3"),
        (["decode", "talk.wav", "-o", "x.wav"], "talk.wav: is no .mkc file: 'moksori codec encode' makes one"),
        (["decode", "cut.mkc", "-o", "x.wav"], "cut.mkc: is cut off after"),
        (["decode", "other.mkc", "-o", "x.wav"], "was made by the codec 'other'"),
        (["decode", "other.mkc", "-o", "x.wav", "--model", "small"], "and means nothing to small ("),
        (["decode", "none.mkc", "-o", "x.wav"], "none.mkc: no such file or directory"),
        (["decode", "talk.mkc", "-o", "x.wav", "--format", "pcm"], "--format pcm: is for --stream"),
        (["info", "cut.mkc"], "cut.mkc: is cut off after"),
    ],
)
def test_bad_usage_is_told_on_one_line_and_leaves_nothing(run, tmp_path, arguments, message):
    before = sorted(path.name for path in Path.cwd().iterdir())
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert sorted(path.name for path in Path.cwd().iterdir()) == before


def test_pipes_from_recorder_to_player(run):
    """Two processes with a pipe between them."""

    def piped(data: bytes, *arguments: str) -> tuple[bytes, str]:
        done = subprocess.run(
            [sys.executable, str(SMALL), "codec", *arguments],
            input=data, capture_output=True, timeout=120, check=True, env=dict(os.environ),
        )  # fmt: skip
        return done.stdout, done.stderr.decode()

    codes, told = piped(Path("talk.wav").read_bytes(), "encode", "-", "-o", "-", "--model", "small")
    assert told.startswith("stdout: 3.00 s by small, 3 stages, 12.00 kbit/s")
    sound, told = piped(codes, "decode", "-", "-o", "-")
    assert told.startswith("stdout: 3.00 s by small")
    rate, blocks = read_pipe(io.BytesIO(sound).read, "sound")
    heard, talk = np.concatenate(list(blocks)), read("talk.wav").samples
    assert (rate, len(heard)) == (8000, len(talk))
    assert np.square(heard - talk).mean() < 0.5 * np.square(talk).mean()
