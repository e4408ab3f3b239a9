"""`moksori say --stream`: sound to a pipe while it is made, text from stdin as it arrives, and how both end."""

import json
import os
import signal
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import moksori
from moksori.audio.io import read, read_metadata
from moksori.cli import main as command

TOY = Path(__file__).resolve().parents[1] / "toy_voice.py"


@pytest.fixture
def run(capfdbinary, toy_home, tmp_path, monkeypatch):
    """Runs a command line in this process: exit code, the bytes of stdout, the text of stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MOKSORI_DEBUG", raising=False)
    monkeypatch.setattr(sys, "stdin", None)

    def call(*arguments):
        with os.fdopen(os.dup(1), "w") as out:
            monkeypatch.setattr(sys, "stdout", out)
            code = command.main([str(argument) for argument in arguments])
        captured = capfdbinary.readouterr()
        return code, captured.out, captured.err.decode()

    return call


class Source:
    """Standard input that brings its text in pieces."""

    closed = False

    def __init__(self, *pieces: bytes) -> None:
        self.buffer, self.pieces = self, list(pieces)

    def isatty(self) -> bool:
        return False

    def read1(self, _: int) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""


TEXT = "Hello there. How are you?\n\nA new paragraph."


@pytest.mark.parametrize("how", [("--stream",), ("-o", "-"), ("--stream", "-o", "-", "--format", "WAV")])
def test_a_wav_goes_to_stdout_and_all_else_to_stderr(run, how):
    code, out, err = run("say", TEXT, "--seed", 5, *how)
    assert code == 0
    Path("stream.wav").write_bytes(out)
    assert run("say", TEXT, "-o", "file.wav", "--seed", 5)[0] == 0
    assert np.array_equal(read("stream.wav").samples, read("file.wav").samples)
    assert err == f"stdout: {read('file.wav').duration_seconds:.2f} s of speech, seed 5\n"
    tags = read_metadata("stream.wav")
    assert (tags["synthetic"], tags["model"], tags["seed"]) == ("true", "toy", "5")


def test_pcm_is_the_samples_alone_and_the_rate_is_told(run):
    _, wav, _ = run("say", TEXT, "--seed", 5, "--stream")
    code, pcm, err = run("say", TEXT, "--seed", 5, "--stream", "--format", "pcm")
    assert code == 0
    assert wav.endswith(b"data\xff\xff\xff\xff" + pcm)
    assert err.startswith("stdout: signed 16-bit little-endian samples, 8000 Hz, one channel\n")


def test_options_and_timings_hold_for_streams(run):
    options = ("--seed", 5, "--speed", 2, "--pause", 0, "--speaker", "bob", "--volume", -6)
    _, pcm, _ = run("say", TEXT, "--stream", "--format", "pcm", *options, "--timings", "stream.json")
    run("say", TEXT, "-o", "file.wav", *options, "--timings", "file.json")
    assert np.array_equal(np.frombuffer(pcm, "<i2") / 32768, read("file.wav").samples)
    assert json.loads(Path("stream.json").read_text()) == json.loads(Path("file.json").read_text())


def test_text_from_stdin_and_files_is_the_same(run, monkeypatch):
    _, expected, _ = run("say", "Ça va bien. Ja.", "--seed", 5, "--stream", "--format", "pcm")
    data = "\ufeffÇa va bien. Ja.".encode()
    for arguments in ((), ("-",), ("--file", "-")):
        monkeypatch.setattr(sys, "stdin", Source(*(bytes([byte]) for byte in data)))  # letters cut in the middle
        assert run("say", *arguments, "--seed", 5, "--stream", "--format", "pcm")[1] == expected
    Path("text.txt").write_bytes(data)
    assert run("say", "--file", "text.txt", "--seed", 5, "--stream", "--format", "pcm")[1] == expected


def test_what_is_played_is_the_stream_and_stdin_is_played_as_it_arrives(run, monkeypatch):
    source = Source(b"Hello there.", b" How are", b" you?")
    heard = []

    class Device:
        def __init__(self, **_):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def write(self, samples):
            heard.append((len(source.pieces), samples[:, 0].copy()))

    device = types.ModuleType("sounddevice")
    device.OutputStream, device.PortAudioError = Device, RuntimeError
    monkeypatch.setitem(sys.modules, "sounddevice", device)
    monkeypatch.setattr(sys, "stdin", source)
    code, out, _ = run("say", "--seed", 3)
    assert code == 0
    assert out.startswith(b"played ")
    whole = moksori.load("toy").say("Hello there. How are you?", seed=3).samples
    assert np.array_equal(np.concatenate([samples for _, samples in heard]), whole)
    assert next(left for left, samples in heard if samples.any()) == 1  # one piece had not been read


BAD_USE = {
    "a file": (["say", "Hi.", "--stream", "-o", "x.wav"], "writes to standard output, not to x.wav"),
    "format": (["say", "Hi.", "--stream", "--format", "mp3"], "--format 'mp3': unknown: take wav or pcm"),
    "format alone": (["say", "Hi.", "-o", "x.wav", "--format", "pcm"], "--format pcm: is for --stream"),
    "empty": (["say", "", "--stream"], "nothing to say, it is empty"),
    "emoji": (["say", "🎉", "--stream"], "nothing to say: '🎉' holds no words"),
    "stdin closed": (["say", "--stream"], "no text: give it in quotes"),
    "speaker": (["say", "Hi.", "--stream", "--speaker", "bobb"], "unknown speaker 'bobb'"),
    "voice in the text": (["say", "<speak>Hi. <voice name='eve'>Hi.</voice></speak>", "--stream"], "speaker 'eve'"),
    "timings": (["say", "Hi.", "--stream", "--timings", "x.doc"], "x.doc: has the suffix '.doc'"),
    "no file": (["say", "--file", "y.txt", "--stream"], "y.txt: cannot be read: no such file"),
}


@pytest.mark.parametrize("kind", BAD_USE)
def test_bad_use_is_one_line_exit_2_and_no_sound(run, kind):
    arguments, message = BAD_USE[kind]
    code, out, err = run(*arguments)
    assert (code, out) == (2, b"")
    assert err.startswith("moksori: ")
    assert err.count("\n") == 1
    assert message in err


@pytest.mark.parametrize("pieces", [(), (b"",), (b" \n", b"\n"), (b"\xf0\x9f\x8e\x89",)])
def test_stdin_without_words(run, monkeypatch, pieces):
    monkeypatch.setattr(sys, "stdin", Source(*pieces))
    code, out, err = run("say", "--stream")
    assert (code, out) == (2, b"")
    assert err.startswith("moksori: nothing to say")


@pytest.mark.parametrize(
    ("pieces", "place"), [((b"Hello. Caf\xe9 now",), 10), ((b"Hello. ", b"\xc3", b"("), 7), ((b"H", b"\xc3"), 1)]
)
def test_bytes_of_stdin_that_are_no_text(run, monkeypatch, pieces, place):
    monkeypatch.setattr(sys, "stdin", Source(*pieces))
    code, _, err = run("say", "--stream")
    assert code == 2
    assert err == f"moksori: stdin: no UTF-8 text at byte {place}: convert it (iconv -t utf-8)\n"


def test_a_terminal_gets_no_sound(run, monkeypatch):
    class Terminal:
        closed = False

        def isatty(self) -> bool:
            return True

    from moksori.cli import stream

    monkeypatch.setattr(stream.sys, "stdout", Terminal())
    with pytest.raises(moksori.errors.BadInput, match="standard output is a terminal"):
        stream.pipe_format(None, True, None)
    monkeypatch.setattr(stream.sys, "stdout", None)
    with pytest.raises(moksori.errors.BadInput, match="standard output is closed"):
        stream.pipe_format(None, True, None)


# ---- real pipes ----


@pytest.fixture
def started(toy_folder):
    """Starts `moksori say --stream` on pipes."""
    running = []

    def start(*arguments):
        line = [sys.executable, str(TOY), "say", "--voice", str(toy_folder), "--stream", "--seed", "1", *arguments]
        pipe = subprocess.PIPE
        running.append(subprocess.Popen(line, stdin=pipe, stdout=pipe, stderr=pipe, env={**os.environ}))
        return running[-1]

    # A job in the background ignores it, and so do its heirs.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield start
    signal.signal(signal.SIGINT, before)
    for process in running:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            pipe.close()


def test_sound_leaves_before_the_text_has_ended_and_ctrl_c_is_quiet(started):
    process = started()
    process.stdin.write(b"Hello there. And")
    process.stdin.flush()
    assert process.stdout.read(4) == b"RIFF"  # stdin is still open
    process.stdout.read(4000)
    process.send_signal(signal.SIGINT)
    process.stdin.close()
    process.stdout.read()
    assert process.wait(timeout=300) == 130
    assert process.stderr.read() == b"moksori: interrupted\n"


def test_a_reader_that_goes_ends_it_quietly(started):
    process = started("--format", "pcm")
    process.stdin.write(b"Hello there. " * 300)
    process.stdin.close()
    assert len(process.stdout.read(1000)) == 1000
    process.stdout.close()
    assert process.wait(timeout=300) == 1
    told = process.stderr.read().decode().splitlines()
    assert len(told) == 1
    assert told[0].startswith("stdout: signed 16-bit")
