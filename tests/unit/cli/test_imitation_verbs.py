"""`convert --like`, `denoise` and `voice`: one line for what was done, one for what was wrong."""

import io
import subprocess
import sys
import types

import numpy as np
import pytest
from small_converter import save_converter
from small_imitator import save_imitator, save_vocoder, talk

from moksori.audio.io import read, read_metadata, write
from moksori.cli import main as command
from moksori.pipeline.consent import NOTICE
from moksori.pipeline.voices import read_voice
from moksori.types import Waveform


@pytest.fixture
def run(capfdbinary, toy_home, tmp_path, monkeypatch):
    """Runs `moksori` in a folder with recordings, in this process: exit code, stdout, stderr."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.delenv("MOKSORI_DEBUG", raising=False)
    write("talk.ogg", talk(1.2, 24000))
    write("target.wav", talk(3.5, 16000, 210.0, 1))
    write("more.flac", talk(3.6, 16000, 205.0, 2))
    write("silence.wav", Waveform(np.zeros(9000, np.float32), 8000))
    write("click.wav", talk(0.12))
    save_imitator(toy_home / "models" / "imitator")
    save_vocoder(toy_home / "models" / "vocoder")
    save_converter(toy_home / "models" / "three")

    def call(*arguments, stdin: bytes | None = None):
        with monkeypatch.context() as patched:
            if stdin is not None:
                patched.setattr(sys, "stdin", types.SimpleNamespace(buffer=io.BytesIO(stdin), isatty=lambda: False))
            code = command.main(list(arguments))
        sys.stdout.flush()
        captured = capfdbinary.readouterr()
        return code, captured.out, captured.err.decode()

    return call


def test_a_recording_is_enough_and_consent_is_said_once(run, toy_home):
    code, out, err = run("convert", "talk.ogg", "--like", "target.wav", "--like", "more.flac", "-o", "out.flac")
    assert code == 0
    assert out.startswith(b"out.flac: 1.20 s, to target+more, real-time factor ")
    assert err == f"moksori: {NOTICE}\n"
    tags = read_metadata("out.flac")
    assert out.rstrip().endswith(f"seed {tags['seed']}".encode())
    assert (tags["speaker"], tags["synthetic"], tags["model"]) == ("target+more", "true", "imitator")
    assert run("convert", "talk.ogg", "--like", "target.wav", "-o", "o.wav")[2] == ""
    (toy_home / "consent-notice-shown").unlink()
    assert NOTICE in run("voice", "make", "target.wav", "-o", "t.voice")[2]


def test_options_reach_the_model(run):
    def made(*options):
        code, _, err = run("convert", "talk.ogg", "--like", "target.wav", "-o", "o.wav", "--seed", "3", *options)
        assert code == 0, err
        return read("o.wav").samples

    plain = made()
    assert np.array_equal(plain, made("--strength", "1.0", "--temperature", "0", "--model", "imitator"))
    assert np.array_equal(plain, made("--vocoder", "vocoder"))
    assert not np.array_equal(plain, made("--strength", "0.4"))
    assert not np.array_equal(plain, made("--temperature", "0.8"))
    assert run("denoise", "talk.ogg", "-o", "clean.wav", "--seed", "3")[0] == 0
    assert np.array_equal(made("--strength", "0"), read("clean.wav").samples)


def test_voices_are_made_mixed_drawn_and_listed(run):
    assert run("voice", "list")[1] == b"no voices: . holds no .voice file\n"
    code, out, _ = run("voice", "make", "target.wav", "more.flac", "-o", "ann.voice", "--name", "Ann")
    assert (code, out) == (0, b"ann.voice: the voice 'Ann' of 2 recordings, for imitator\n")
    code, out, _ = run("voice", "random", "-o", "nobody.voice", "--seed", "3", "--variation", "1", "--mean", "0.5")
    assert (code, out) == (0, b"nobody.voice: the voice 'random-3', for imitator, seed 3\n")
    code, out, _ = run("voice", "mix", "ann.voice", "nobody.voice", "--weight", "1", "--weight", "3", "-o", "m.voice")
    assert (code, out) == (0, b"m.voice: the voice 'Ann+random-3', made of Ann*0.25, random-3*0.75\n")
    listed = run("voice", "list", ".")[1].decode()
    files = [line.split()[0] for line in listed.splitlines() if ".voice" in line]
    assert files == ["ann.voice", "m.voice", "nobody.voice"]
    assert "Ann*0.25" in listed
    assert run("voice", "make", "ann.voice", "-o", "noted.voice", "--consent", "Ann agreed")[0] == 0
    assert run("voice", "make", "noted.voice", "-o", "again.voice")[0] == 0
    assert run("voice", "mix", "nobody.voice", "again.voice", "-o", "m2.voice")[0] == 0
    assert read_voice("again.voice").consent == read_voice("m2.voice").consent == "Ann agreed"
    assert run("convert", "talk.ogg", "--like", "m.voice", "-o", "o.wav")[0] == 0
    assert read_metadata("o.wav")["speaker"] == "Ann+random-3"


@pytest.mark.parametrize("form", ["wav", "pcm"])
def test_stdin_is_converted_as_it_comes(run, tmp_path, form):
    sound = (tmp_path / "work" / "target.wav").read_bytes()
    code, out, err = run(
        "convert", "-", "--like", "more.flac", "--stream", "--format", form, "--seed", "4", stdin=sound
    )
    assert code == 0, err
    assert "stdout: to more, 1." in err
    assert " s behind what comes in\n" in err
    assert err.endswith("stdout: 3.50 s, seed 4\n")
    assert ("signed 16-bit little-endian samples, 16000 Hz" in err) == (form == "pcm")
    if form == "pcm":
        assert len(out) == 2 * 56000
        return
    (tmp_path / "piped.wav").write_bytes(out)
    assert read(tmp_path / "piped.wav").duration_seconds == 3.5
    assert read_metadata(tmp_path / "piped.wav")["speaker"] == "more"
    again = run("convert", "target.wav", "--like", "more.flac", "-o", "-", "--seed", "4")
    assert again[0] == 0
    (tmp_path / "again.wav").write_bytes(again[1])
    difference = read(tmp_path / "again.wav").samples - read(tmp_path / "piped.wav").samples
    assert np.abs(difference).max() < 1e-3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("convert talk.ogg -o o.wav", "nobody to become: name a speaker of a model, --speaker NAME"),
        ("convert talk.ogg --like target.wav", "no output: name a file: -o out.wav"),
        (
            "convert talk.ogg --like target.wav --speaker ann -o o.wav",
            "both a speaker of the model ('ann') and a voice",
        ),
        ("convert talk.ogg --like none.wav -o o.wav", "none.wav: does not exist"),
        ("convert talk.ogg --like none.voice -o o.wav", "none.voice: does not exist"),
        ("convert talk.ogg --like silence.wav -o o.wav", "silence.wav: is silent"),
        ("convert talk.ogg --like click.wav -o o.wav", "too little to hear a voice in: give at least 0.5 s"),
        ("convert silence.wav --like target.wav -o o.wav", "silence.wav: is silent"),
        ("convert talk.ogg --like target.wav -o o.wav --strength 2", "strength 2.0: expected a number from 0 to 1"),
        ("convert talk.ogg --like target.wav -o o.wav --temperature -1", "variation -1.0: expected a number"),
        ("convert talk.ogg --like target.wav -o o.wav --pitch 3", "imitator: follows no pitch"),
        ("convert talk.ogg --like target.wav -o o.wav --source ann", "source 'ann': imitator needs not know who"),
        ("convert talk.ogg --like target.wav -o o.wav --model three", "a 'vits' model imitates no voice"),
        ("convert talk.ogg --like target.wav -o o.wav --model toy", "a 'toy' model cannot convert: use one of dsvae"),
        ("convert talk.ogg --speaker ann -o o.wav --model imitator", "imitator: has no speakers of its own"),
        ("convert talk.ogg --like target.wav -o o.wav --vocoder toy", "a 'toy' model is no vocoder"),
        ("convert talk.ogg --like target.wav -o talk.ogg", "talk.ogg: is the recording itself"),
        ("convert talk.ogg --like target.wav -o target.wav", "target.wav: is a recording of who is to speak"),
        ("denoise talk.ogg --like target.wav -o target.wav", "target.wav: is a recording of who is to speak"),
        ("convert - --like target.wav -o o.wav", "-: a recording on stdin is converted as it comes: --stream"),
        ("convert talk.ogg --speaker ann --stream", "three: converts whole recordings only: use a model of"),
        ("convert talk.ogg --like target.wav --stream --strength 0.5", "own voice is known at its end only"),
        ("convert talk.ogg --like target.wav --stream -o o.wav", "--stream: writes to standard output, not to o.wav"),
        ("convert - --like target.wav --stream", "stdin: is no wav: pipe one"),
        ("denoise talk.ogg", "no output: name a file: -o clean.wav"),
        ("denoise silence.wav -o o.wav", "silence.wav: is silent"),
        ("denoise talk.ogg -o o.wav --model three", "cleans no recordings: name a speaker, or use one of dsvae"),
        ("voice make target.wav", "no output: name a file: -o target.voice"),
        ("voice make target.wav -o t.wav", "t.wav: has the suffix '.wav', a voice's file ends in .voice"),
        ("voice make silence.wav -o t.voice", "silence.wav: is silent"),
        ("voice make target.wav -o t.voice --model toy", "a 'toy' model imitates no voice"),
        ("voice mix a.voice b.voice -o t.voice", "a.voice: does not exist"),
        ("voice random -o t.voice --mean 99", "mean 99: expected a number from -5 to 5"),
        ("voice random -o none/t.voice", "its folder none does not exist"),
        ("voice list none", "none: is no folder"),
    ],
)
def test_bad_usage_is_told_on_one_line_and_leaves_nothing(run, tmp_path, arguments, message):
    before = sorted(path.name for path in (tmp_path / "work").iterdir())
    run("convert", "click.wav", "--like", "more.flac", "-o", "x.wav")  # the notice of consent
    (tmp_path / "work" / "x.wav").unlink(missing_ok=True)
    code, out, err = run(*arguments.split(), stdin=b"no wav at all")
    assert (code, out) == (2, b""), err
    assert message in err
    assert err.count("\n") == 1, err
    assert sorted(path.name for path in (tmp_path / "work").iterdir()) == before


def test_help_needs_no_torch():
    script = "import sys; from moksori.cli.main import main; main(['voice', 'mix', '-h']); exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
