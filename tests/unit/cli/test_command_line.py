"""The command `moksori`: exit codes, one-line errors, quick help, speaking to files and devices."""

import json
import os
import subprocess
import sys
import tomllib
import types
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import moksori
from moksori.audio.io import read, read_metadata
from moksori.cli import main as command

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def run(capsys, toy_home, tmp_path, monkeypatch):
    """Runs a command line in this process: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MOKSORI_DEBUG", raising=False)

    def call(*arguments):
        code = command.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def feed(monkeypatch, data: bytes):
    import io

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_say_writes_the_file_and_prints_seconds_factor_and_seed(run, tmp_path):
    code, out, err = run("say", "Hello there.", "-o", "hello.wav", "--seed", "5", "--timings", "hello.json")
    assert (code, err) == (0, "")
    seconds = read("hello.wav").duration_seconds
    assert out.startswith(f"hello.wav: {seconds:.2f} s of speech, real-time factor ")
    assert out.endswith("seed 5\n")
    assert read_metadata("hello.wav")["seed"] == "5"
    assert [w["text"] for w in json.loads(Path("hello.json").read_text())["words"]] == ["Hello", "there"]
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == ["hello.json", "hello.wav"]


def test_the_printed_seed_repeats_the_sound(run):
    _, out, _ = run("say", "Hello there.", "-o", "a.wav")
    run("say", "Hello there.", "-o", "b.wav", "--seed", out.split()[-1])
    assert Path("a.wav").read_bytes() == Path("b.wav").read_bytes()


def test_text_from_a_file_from_stdin_and_as_an_argument_is_the_same(run, monkeypatch):
    text = "Hello there.\n\nA new paragraph, with Straße."
    Path("text.txt").write_text("\ufeff" + text, encoding="utf-8")
    assert run("say", text, "-o", "a.wav", "--seed", 1)[0] == 0
    assert run("say", "--file", "text.txt", "-o", "b.wav", "--seed", 1)[0] == 0
    feed(monkeypatch, text.encode())
    assert run("say", "-o", "c.wav", "--seed", 1)[0] == 0
    assert Path("a.wav").read_bytes() == Path("b.wav").read_bytes() == Path("c.wav").read_bytes()


def test_the_options_reach_the_voice(run):
    run("say", "Hello there.", "-o", "plain.wav", "--seed", 1, "--pause", 0, "--speaker", "ann")
    options = ("--speed", 2, "--speaker", "bob", "--variation", 0, "--volume", -6, "--voice", "toy")
    assert run("say", "Hello there.", "-o", "other.wav", "--seed", 1, "--pause", 0, *options)[0] == 0
    assert len(read("other.wav").samples) * 2 == len(read("plain.wav").samples)
    Path("words.tsv").write_text("hello\tˈo\n")
    assert run("say", "Hello there.", "-o", "lexicon.wav", "--seed", 1, "--pause", 0, "--lexicon", "words.tsv")[0] == 0
    assert len(read("lexicon.wav").samples) < len(read("plain.wav").samples)


BAD_USE = {
    "empty": (["say", "", "-o", "x.wav"], "text: nothing to say, it is empty"),
    "white space": (["say", " \n\t", "-o", "x.wav"], "text: nothing to say"),
    "emoji": (["say", "🎉", "-o", "x.wav"], "nothing to say: '🎉' holds no words"),
    "suffix": (["say", "Hi.", "-o", "x.doc"], "x.doc: has the suffix '.doc'"),
    "no suffix": (["say", "Hi.", "-o", "x"], "x: has no suffix"),
    "folder missing": (["say", "Hi.", "-o", "no/x.wav"], "create it first (mkdir -p no)"),
    "voice": (["say", "Hi.", "-o", "x.wav", "--voice", "toi"], "unknown model 'toi': did you mean 'toy'?"),
    "speaker": (["say", "Hi.", "-o", "x.wav", "--speaker", "bobb"], "unknown speaker 'bobb': did you mean 'bob'?"),
    "language": (["say", "Hi.", "-o", "x.wav", "--language", "klingonese"], "unknown language 'klingonese'"),
    "speed": (["say", "Hi.", "-o", "x.wav", "--speed", "0"], "speed 0.0: expected a number from 0.1 to 10"),
    "not a number": (["say", "Hi.", "-o", "x.wav", "--speed", "quick"], "'--speed'"),
    "nan": (["say", "Hi.", "-o", "x.wav", "--variation", "nan"], "variation nan: expected"),
    "seed": (["say", "Hi.", "-o", "x.wav", "--seed", "-4"], "seed -4: expected a whole number"),
    "two texts": (["say", "Hi.", "--file", "y.txt", "-o", "x.wav"], "give one of them"),
    "no file": (["say", "--file", "y.txt", "-o", "x.wav"], "y.txt: cannot be read: no such file"),
    "folder as file": (["say", "--file", ".", "-o", "x.wav"], ".: cannot be read: is a directory"),
    "timings alone": (["say", "Hi.", "--timings", "x.json"], "--timings x.json: needs an output file"),
    "timings folder": (["say", "Hi.", "-o", "x.wav", "--timings", "no/x.json"], "its folder no does not exist"),
    "lexicon": (["say", "Hi.", "-o", "x.wav", "--lexicon", "no.tsv"], "no.tsv: cannot be read"),
    "option": (["say", "Hi.", "--sped", "2"], "--sped"),
    "verb": (["sey", "Hi."], "No such command 'sey'"),
    "info": (["info", "toooy"], "unknown model 'toooy'"),
    "info nothing": (["info"], "Missing argument"),
}


@pytest.mark.parametrize("kind", BAD_USE)
def test_bad_use_is_one_line_exit_2_and_nothing_written(run, tmp_path, kind):
    arguments, message = BAD_USE[kind]
    before = sorted(tmp_path.rglob("*"))
    code, out, err = run(*arguments)
    assert code == 2
    assert out == ""
    assert err.startswith("moksori: ")
    assert err.count("\n") == 1
    assert message in err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("data", [b"\xff\xfe\x00h", b"RIFF\x00\x00WAVE", b"caf\xe9", b"ok\n" * 40000 + b"\xff"])
def test_files_that_are_no_text(run, data, monkeypatch):
    Path("text.txt").write_bytes(data)
    code, _, err = run("say", "--file", "text.txt", "-o", "x.wav")
    assert code == 2
    assert "text.txt: no UTF-8 text" in err or "text.txt: holds zero bytes" in err
    assert not Path("x.wav").exists()


@pytest.mark.parametrize(
    ("data", "position"),
    [
        (b"\xff", 0),
        ("Schöne Grüße".encode("latin-1"), 3),
        ("\ufeffSchö".encode() + b"\xf6ne", 4),
        (b"a" + "ö".encode() * 40_000 + b"\xf6 ", 40_001),  # in the second block, whose first byte ends a letter
        (b"Gr" + "ü".encode()[:1], 2),
    ],
)
def test_a_bad_byte_is_told_with_the_characters_before_it(run, data, position):
    Path("text.txt").write_bytes(data)
    code, _, err = run("say", "--file", "text.txt", "-o", "x.wav")
    assert code == 2
    assert f"text.txt: no UTF-8 text after {position} characters" in err


def test_stdin_that_is_no_text_or_empty(run, monkeypatch):
    for data, message in (
        (b"\xff", "stdin: no UTF-8 text at byte 0"),
        (b"", "stdin: nothing to say"),
        (b" \n", "stdin: nothing"),
    ):
        feed(monkeypatch, data)
        code, _, err = run("say", "-o", "x.wav")
        assert code == 2
        assert message in err


def test_a_terminal_as_stdin_is_not_waited_for(run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(isatty=lambda: True, closed=False))
    code, _, err = run("say", "-o", "x.wav")
    assert code == 2
    assert "no text: give it in quotes" in err


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=80))
@example(text="-")
def test_any_text_ends_in_a_file_or_in_one_line(run, monkeypatch, text):
    feed(monkeypatch, b"")  # for the text "-"
    Path("x.wav").unlink(missing_ok=True)
    code, _, err = run("say", "-o", "x.wav", "--seed", 1, "--", text)
    assert code in (0, 2)
    assert Path("x.wav").exists() == (code == 0)
    assert "Traceback" not in err
    if code == 2 and text != "-":
        assert err.startswith("moksori: ")


class Device:
    """A sound device that remembers what it was given."""

    def __init__(self, samplerate, channels, dtype):
        self.heard, self.rate = [], samplerate
        Device.last = self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def write(self, samples):
        self.heard.append(samples[:, 0])


def test_without_an_output_the_sound_is_played(run, toy_home, monkeypatch):
    device = types.ModuleType("sounddevice")
    device.OutputStream, device.PortAudioError = Device, RuntimeError
    monkeypatch.setitem(sys.modules, "sounddevice", device)
    code, out, _ = run("say", "Hello there. Once more.", "--seed", "3")
    assert code == 0
    assert out.startswith("played ")
    heard = np.concatenate(Device.last.heard)
    assert np.array_equal(heard, moksori.load("toy").say("Hello there. Once more.", seed=3).samples)


def test_without_a_sound_device_the_error_names_the_output_option(run, monkeypatch):
    device = types.ModuleType("sounddevice")
    device.PortAudioError = type("PortAudioError", (Exception,), {})

    def no_device(**_):
        raise device.PortAudioError("Error querying device -1")

    device.OutputStream = no_device
    monkeypatch.setitem(sys.modules, "sounddevice", device)
    code, _, err = run("say", "Hello.")
    assert code == 1
    assert "no sound device to play on" in err
    assert "-o hello.wav" in err
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    code, _, err = run("say", "Hello.")
    assert code == 2
    assert "pip install 'moksori[play]'" in err
    assert "-o hello.wav" in err


def test_models_info_and_doctor(run):
    code, out, _ = run("models")
    assert code == 0
    assert "toy (default)" in out
    code, out, _ = run("models", "--json")
    assert json.loads(out)[0]["speakers"] == ["ann", "bob"]
    code, out, _ = run("info", "toy")
    assert "8000 Hz" in out
    assert "ann, bob" in out
    code, out, _ = run("info", "toy", "--json")
    assert json.loads(out)["manifest"]["family"] == "toy"
    code, out, _ = run("info", "dsvae/vctk")
    assert (code, "parameters   45,186,848" in out) == (0, True)
    code, out, _ = run("info", "dsvae/vctk", "--json")
    assert json.loads(out) == {"preset": "dsvae/vctk", "parameters": 45_186_848}
    code, out, _ = run("doctor")
    assert code == 0
    assert out.splitlines()[0].startswith("ok   python")


def test_doctor_fails_where_something_needed_is_broken(run, toy_home):
    (toy_home / "models" / "toy" / "model.safetensors").unlink()
    code, out, err = run("doctor")
    assert "BAD  voice" in out
    assert code == 1
    assert "checks failed: voice" in err


def test_unexpected_errors_are_one_line_and_a_traceback_on_demand(run, monkeypatch):
    from moksori.pipeline import say

    def broken(*_, **__):
        raise ZeroDivisionError("a bug\nof ours")

    monkeypatch.setattr(say, "load", broken)
    code, _, err = run("say", "Hi.", "-o", "x.wav")
    assert (code, err) == (
        1,
        "moksori: unexpected error: ZeroDivisionError: a bug of ours (MOKSORI_DEBUG=1 shows the traceback)\n",
    )
    monkeypatch.setenv("MOKSORI_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        command.main(["say", "Hi.", "-o", "x.wav"])


def test_interruption_is_130(run, monkeypatch):
    from moksori.pipeline import say

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(say, "load", interrupted)
    code, _, err = run("say", "Hi.", "-o", "x.wav")
    assert (code, err) == (130, "moksori: interrupted\n")


def test_the_version_is_that_of_the_package(run):
    assert run("--version") == (0, f"moksori {moksori.__version__}\n", "")
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == moksori.__version__


def test_every_verb_has_help(run):
    code, out, _ = run("--help")
    assert code == 0
    assert all(verb in out for verb in ("say", "models", "info", "doctor"))
    for verb in ("say", "models", "info", "doctor"):
        code, out, _ = run(verb, "--help")
        assert code == 0
        assert verb in out


def imported_by(code: str) -> set[str]:
    """Top-level modules that a fresh Python has loaded after `code`."""
    script = f"import sys\n{code}\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}), file=sys.stderr)"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(result.stderr.split())


def test_help_and_import_load_neither_torch_nor_numpy():
    help_text = "from moksori.cli.main import main; main(['--help']); main(['say', '--help']); main(['--version'])"
    assert not imported_by(help_text) & {"torch", "numpy", "lhotse", "lightning", "soundfile"}
    assert not imported_by("import moksori; moksori.__version__; dir(moksori)") & {"torch", "numpy", "pydantic"}


def test_say_loads_nothing_of_training_or_measuring(toy_folder, tmp_path):
    script = (
        f"sys.path.insert(0, {str(Path(__file__).parent.parent)!r}); import toy_voice; toy_voice.register()\n"
        "from moksori.cli.main import main\n"
        f"assert main(['say', 'Hello.', '-o', {str(tmp_path / 'x.wav')!r}, '--voice', {str(toy_folder)!r}]) == 0"
    )
    heavy = {
        "numba",
        "lightning",
        "lhotse",
        "librosa",
        "scipy",
        "tensorboard",
        "matplotlib",
        "pyworld",
        "onnxruntime",
        "sklearn",
    }
    assert not imported_by(script) & heavy


def test_a_closed_pipe_ends_quietly():
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    line = f"{sys.executable} -m moksori.cli.main models --json | true"
    result = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False, env=environment)
    assert "Traceback" not in result.stderr
    assert "Exception ignored" not in result.stderr
