"""`moksori say` and `moksori voice` with styles, blends and prosody."""

from pathlib import Path

import pytest
import soundfile
from flowtron_voice import RATE, save_flowtron
from small_imitator import save_vocoder, talk

from moksori.cli import main as command

SAID = "Hello there, how are you?"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    save_flowtron(home / "models" / "flowing")
    save_vocoder(home / "models" / "through", overrides=(f"model.mel.sample_rate={RATE}",))
    return home


@pytest.fixture
def run(home, tmp_path, capsys, monkeypatch):
    """Runs a command in a folder with two clips: exit code, stdout, stderr."""
    monkeypatch.setenv("MOKSORI_HOME", str(home))
    monkeypatch.chdir(tmp_path)
    for name, pitch in (("a", 120.0), ("b", 210.0)):
        soundfile.write(f"{name}.wav", talk(2.0, RATE, pitch).samples, RATE)

    def call(*arguments):
        code = command.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def say(run, *arguments):
    return run("say", "How are you?", "--voice", "flowing", "--vocoder", "through", "--seed", "1", *arguments)


def test_styles_blends_and_prosody_by_the_command_line(run):
    heard = {}
    for name, options in {
        "plain": (),
        "style": ("--style", "a.wav", "--style-text", SAID, "--style", "b.wav", "--style-text", SAID),
        "ramp": ("--style", "a.wav", "--style-text", SAID, "--style-ramp", "0-1"),
        "part": ("--style", "a.wav", "--style-text", SAID, "--style-part", "how are", "--style-place", "0-0.5"),
        "speakers": ("--blend", "ann=0.3,bob=0.7"),
        "seeds": ("--blend", "seed:3=0.5,seed:9=0.5", "--blend-way", "linear"),
        "prosody": ("--prosody", "a.wav", "--speaker", "bob"),
    }.items():
        code, out, err = say(run, *options, "-o", f"{name}.wav")
        assert code == 0, err
        assert out.startswith(f"{name}.wav: ")
        heard[name] = soundfile.read(f"{name}.wav")[0].tobytes()
    assert len(set(heard.values())) == len(heard)


def test_styles_are_made_mixed_listed_and_used(run):
    assert run("voice", "make", "a.wav", "--text", SAID, "--model", "flowing", "-o", "a.voice")[0] == 0
    code, out, _ = run(
        "voice", "make", "b.wav", "--text", SAID, "--model", "flowing", "-o", "b.voice", "--name", "glad"
    )
    assert (code, out) == (0, "b.voice: the style 'glad' of 1 clip, for flowing\n")
    assert run("voice", "mix", "a.voice", "b.voice", "-o", "ab.voice")[0] == 0
    listed = run("voice", "list")[1]
    assert listed.count("style") == 3
    assert "a+glad" in listed
    code, out, _ = say(run, "--style", "ab.voice", "--strength", "0.5", "-o", "o.wav")
    assert code == 0
    assert say(run, "--blend", "a.voice=0.5,b.voice=0.5", "-o", "o.wav")[0] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--strength", "0.5"), "--strength 0.5: is that of a style"),
        (("--style-text", "Hi."), "--style-text: is about clips of a style"),
        (("--blend-way", "slerp"), "--blend-way slerp: is about a blend"),
        (("--style", "a.wav", "--strength", "1", "--style-ramp", "0-1"), "give one of them"),
        (("--style", "a.wav"), "give it with --style-text, or write it to a.txt"),
        (("--style", "a.wav", "--style", "b.wav", "--style-text", "Hi."), "given 1 times for 2 clips"),
        (("--style", "none.wav", "--style-text", "Hi."), "none.wav"),
        (("--blend", "ann=1,zoe=1"), "unknown speaker to blend 'zoe'"),
        (("--component", "1"), "no components to choose from"),
        (("--prosody", "a.wav", "--prosody-speaker", "zoe"), "unknown speaker 'zoe'"),
        (("--variation", "-1"), "variation -1.0: expected a number from 0 to 10"),
        (("--style-mode", "foo"), "--style-mode: is about clips of a style"),
        (("--style-mode", "segment"), "--style-mode: is about clips of a style"),
        (("--blend", "ann=0.5,bob=0.5", "--strength", "0.2"), "--strength 0.2: is that of a style"),
        (("--blend", "seed:3=0.5,seed:9=0.5", "--strength", "0.2"), "--strength 0.2: is that of a style"),
        (("--blend", "ann=0.5,bob=0.5", "--speaker", "bob"), "say who speaks: give one of them"),
        (("--style", "x.voice", "--style-speaker", "bob"), "--style-speaker bob: is about clips, and x.voice is a"),
        (("--style", "x.voice", "--style-mode", "batch"), "--style-mode batch: is about clips, and x.voice is a"),
        (("--prosody", "a.wav", "--variation", "0.5"), "--variation 0.5: the prosody of a recording leaves nothing"),
        (("--variation", "nan"), "variation nan: expected a number from 0 to 10"),
    ],
)
def test_bad_usage_is_told_on_one_line(run, monkeypatch, options, message):
    monkeypatch.setattr("moksori.pipeline.clips.find_spec", lambda name: None)
    code, out, err = say(run, *options, "-o", "o.wav")
    assert (code, out) == (2, "")
    assert message in err
    assert not Path("o.wav").exists()


def test_strength_and_speakers_hold_beside_blends_that_leave_them_something(run):
    assert run("voice", "make", "a.wav", "--text", SAID, "--model", "flowing", "-o", "a.voice")[0] == 0
    heard = []
    for strength in ("0.2", "0.9"):
        assert say(run, "--blend", "a.voice=1", "--strength", strength, "-o", "o.wav")[0] == 0
        heard.append(soundfile.read("o.wav")[0].tobytes())
    assert say(run, "--blend", "seed:3=1", "--speaker", "bob", "-o", "o.wav")[0] == 0
    blended = ("--blend", "ann=0.5,bob=0.5", "--style", "a.voice", "--strength", "0.2")
    assert say(run, *blended, "-o", "o.wav")[0] == 0
    assert heard[0] != heard[1]


def test_files_of_styles_are_of_whole_clips(run):
    code, out, err = run("voice", "make", "a.wav", "--text", SAID, "--model", "flowing", "--mode", "segment",
                         "-o", "a.voice")  # fmt: skip
    assert (code, out) == (2, "")
    assert "cut the recordings to those parts" in err
    assert len(err.splitlines()) == 1
    assert not Path("a.voice").exists()


def test_scripts_take_no_styles(run):
    Path("talk.txt").write_text("Ann: Hello.\n")
    code, _, err = run("say", "--script", "talk.txt", "--blend", "ann=1", "-o", "o.wav")
    assert code == 2
    assert "are for a text of one voice" in err
