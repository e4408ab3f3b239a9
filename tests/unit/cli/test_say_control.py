"""`moksori say`: dialogue scripts, forms of timings, given durations, pitch."""

import json
import sys
from pathlib import Path

import pytest

from moksori.audio.io import read
from moksori.cli import main as command


@pytest.fixture
def run(capsys, toy_home, tmp_path, monkeypatch):
    """Runs `moksori say` in this process: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MOKSORI_DEBUG", raising=False)

    def call(*arguments):
        code = command.main(["say", *(str(argument) for argument in arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_a_script_with_a_cast_becomes_a_file_with_timings(run, toy_folder):
    Path("talk.txt").write_text("Ann: Hello there.\nTom: Good day.\n")
    cast = f"Tom={toy_folder}:bob"
    code, out, err = run("--script", "talk.txt", "--cast", cast, "-o", "talk.wav", "--timings", "talk.vtt")
    assert (code, err) == (0, "")
    assert out.startswith(f"talk.wav: {read('talk.wav').duration_seconds:.2f} s of speech")
    assert "<v Tom>Good" in Path("talk.vtt").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--script", "talk.txt"], "a dialogue is written to a file: name it with -o talk.wav"),
        (["--script", "talk.txt", "Hello.", "-o", "t.wav"], "a text is given as well"),
        (["--script", "talk.txt", "-f", "talk.txt", "-o", "t.wav"], "--file is given as well"),
        (["--cast", "A=b", "Hello.", "-o", "t.wav"], "--cast: is for a dialogue: add --script FILE"),
        (["--script", "talk.txt", "-o", "t.wav"], "talk.txt:1: unknown role 'Tom': known: ann, bob"),
        (["Hello.", "-o", "t.wav", "--timings", "t.txt"], "use .json, .srt, .vtt or .TextGrid"),
        (["Hello.", "-o", "t.wav", "--pitch", "13"], "pitch 13.0: expected a number from -12 to 12"),
        (["Hello.", "-o", "t.wav", "--duration-mix", "0.5"], "toy: has not both"),
        (["Hello.", "-o", "t.wav", "--durations", "none.json"], "none.json: cannot be read"),
    ],
)
def test_bad_usage_is_told_on_one_line_and_leaves_nothing(run, tmp_path, monkeypatch, arguments, message):
    Path("talk.txt").write_text("Tom: Good day.\n")
    monkeypatch.setattr(sys, "stdin", None)
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["talk.txt"]


def test_timings_come_back_as_durations(run):
    assert run("Hello there. How are you?", "-o", "a.wav", "--timings", "a.json", "--seed", "5")[0] == 0
    assert run("Hello there. How are you?", "-o", "b.wav", "--durations", "a.json", "--seed", "5")[0] == 0
    assert Path("a.wav").read_bytes() == Path("b.wav").read_bytes()
    content = json.loads(Path("a.json").read_text())
    content["sentences"][0]["durations"][3][1] += 50
    Path("c.json").write_text(json.dumps(content))
    assert run("Hello there. How are you?", "-o", "c.wav", "--durations", "c.json", "--seed", "5")[0] == 0
    longer = read("c.wav").duration_seconds - read("a.wav").duration_seconds
    assert longer == pytest.approx(50 * 32 / 8000)
    code, _, err = run("Hello again. How are you?", "-o", "d.wav", "--durations", "a.json")
    assert code == 2
    assert "durations of 'Hello again.': token" in err
    assert not Path("d.wav").exists()
