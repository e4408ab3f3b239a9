"""`say --like`, `sing` and `voice make` with a model that speaks in the voice of a prompt."""

import sys
from pathlib import Path

import numpy as np
import pytest
from small_imitator import talk

from moksori.audio.io import read, read_metadata, write
from moksori.cli import main as command
from moksori.pipeline.consent import CONSENT, NOTICE
from moksori.pipeline.voices import read_voice
from moksori.types import Waveform


@pytest.fixture
def run(capfdbinary, codec_folder, tmp_path, monkeypatch):
    """Runs `moksori` in a folder with recordings, in this process: exit code, stdout, stderr."""
    import small_sayer

    small_sayer.register()
    small_sayer.save_sayer(tmp_path / "home" / "models" / "sayer", codec_folder)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.delenv("MOKSORI_DEBUG", raising=False)
    write("prompt.wav", talk(4.0, 16000, 120.0, 1))
    write("short.wav", talk(0.2, 16000, 120.0, 1))
    write("silence.wav", Waveform(np.zeros(9000, np.float32), 8000))

    def call(*arguments):
        code = command.main(list(arguments))
        sys.stdout.flush()
        captured = capfdbinary.readouterr()
        return code, captured.out, captured.err.decode()

    return call


@pytest.fixture
def tune():
    mido = pytest.importorskip("mido")

    def save(path, pitches=(60, 62, 64), lyrics=()):
        track = mido.MidiTrack()
        for place, pitch in enumerate(pitches):
            if place < len(lyrics):
                track.append(mido.MetaMessage("lyrics", text=lyrics[place]))
            track.append(mido.Message("note_on", note=pitch, velocity=80))
            track.append(mido.Message("note_off", note=pitch, time=480))
        file = mido.MidiFile()
        file.tracks.append(track)
        file.save(path)
        return path

    return save


def test_says_in_the_voice_of_a_recording_and_tells_consent_once(run) -> None:
    code, out, err = run("say", "Hello.", "--like", "prompt.wav", "-o", "out.wav", "--seed", "4")
    assert (code, err) == (0, f"moksori: {NOTICE}\n")
    assert out.startswith(b"out.wav: ")
    assert read("out.wav").duration_seconds > 0.2
    tags = read_metadata("out.wav")
    assert (tags["synthetic"], tags["model"], tags["seed"]) == ("true", "sayer", "4")
    assert run("say", "Hello.", "--like", "prompt.wav", "-o", "again.wav", "--seed", "4")[2] == ""
    np.testing.assert_array_equal(read("out.wav").samples, read("again.wav").samples)


def test_streams_and_takes_the_prosody_of_another(run) -> None:
    code, out, err = run("say", "Hello.", "--like", "prompt.wav", "--stream", "--seed", "4")
    assert code == 0, err
    assert out[:4] == b"RIFF"
    code, _, err = run("say", "Hello.", "--like", "prompt.wav", "--prosody", "prompt.wav", "-o", "out.wav")
    assert code == 0, err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--like", "short.wav"), "too little to hear a voice in"),
        (("--like", "silence.wav"), "is silent"),
        (("--like", "nowhere.wav"), "nowhere.wav"),
        (("--voice", "sayer"), "--like prompt.wav"),
        (("--like", "prompt.wav", "--speaker", "kerstin"), "not of its speaker 'kerstin': leave the speaker out"),
        (("--like", "prompt.wav", "--style", "prompt.wav", "--style-text", "a"), "no style to choose"),
    ],
)
def test_bad_prompts_are_one_line(run, arguments, message) -> None:
    code, _, err = run("say", "Hello.", *arguments, "-o", "out.wav")
    assert code == 2
    assert message in err
    assert "Traceback" not in err
    assert not Path("out.wav").exists()


def test_a_voice_file_keeps_the_prompt_with_a_consent_note(run) -> None:
    code, out, err = run(
        "voice", "make", "prompt.wav", "-o", "me.voice", "--model", "sayer", "--consent", "given by me"
    )
    assert code == 0, err
    assert b"me.voice: the voice 'prompt' of 1 recording, for sayer" in out
    assert read_voice("me.voice").consent == "given by me"
    assert run("say", "Hello.", "--like", "me.voice", "-o", "a.wav", "--seed", "1")[0] == 0
    assert run("say", "Hello.", "--like", "prompt.wav", "-o", "b.wav", "--seed", "1")[0] == 0
    np.testing.assert_array_equal(read("a.wav").samples, read("b.wav").samples)
    assert b"prompt" in run("voice", "list")[1]


def test_the_consent_note_of_a_voice_file_is_kept_and_listed(run) -> None:
    note = "Ann agreed [by mail]"
    assert run("voice", "make", "prompt.wav", "-o", "ann.voice", "--model", "sayer", "--consent", note)[0] == 0
    assert note in " ".join(run("voice", "list")[1].decode().split())
    assert run("voice", "make", "ann.voice", "-o", "again.voice", "--model", "sayer")[0] == 0
    assert read_voice("again.voice").consent == note
    assert run("voice", "make", "ann.voice", "prompt.wav", "-o", "both.voice", "--model", "sayer")[0] == 0
    assert read_voice("both.voice").consent == f"{note}; {CONSENT}"
    assert run("voice", "make", "ann.voice", "-o", "new.voice", "--model", "sayer", "--consent", "a new one")[0] == 0
    assert read_voice("new.voice").consent == "a new one"


def test_voices_are_drawn_by_families_that_can(run) -> None:
    code, _, err = run("voice", "random", "-o", "nobody.voice", "--model", "sayer")
    assert (code, err.count("\n")) == (2, 1)
    assert "sayer: a 'smallsayer' model has no voices to draw: use one of dsvae" in err
    assert "naturalspeech2" not in err


def test_denoise_names_no_option_that_it_lacks(run) -> None:
    code, _, err = run("denoise", "prompt.wav", "--like", "prompt.wav", "--model", "sayer", "-o", "clean.wav")
    assert code == 0, err
    assert "does not clean noise well yet" in err
    assert "with --text" not in err


def test_a_codec_that_lies_elsewhere_is_named(run, codec_folder, tmp_path) -> None:
    codec_folder.rename(tmp_path / "elsewhere")
    code, _, err = run("voice", "make", "prompt.wav", "-o", "me.voice", "--model", "sayer")
    assert code == 2
    assert "which is not here" in err
    elsewhere = str(tmp_path / "elsewhere")
    assert run("voice", "make", "prompt.wav", "-o", "me.voice", "--model", "sayer", "--codec", elsewhere)[0] == 0
    assert run("say", "Hello.", "--like", "me.voice", "-o", "a.wav", "--vocoder", elsewhere)[0] == 0
    converted = ("convert", "prompt.wav", "--like", "me.voice", "--model", "sayer", "-o", "b.wav")
    assert run(*converted, "--vocoder", elsewhere)[0] == 0


def test_sings_a_tune_with_words(run, tune) -> None:
    tune("tune.mid")
    code, out, err = run(
        "sing", "tune.mid", "--lyrics", "Do re mi", "--like", "prompt.wav", "-o", "song.wav", "--timings", "song.json",
        "--key", "-3", "--seed", "1",
    )  # fmt: skip
    assert code == 0, err
    assert b"song.wav: 1.77 s" in out
    assert b"1 phrases, moved by -3 semitones, seed 1" in out
    assert read_metadata("song.wav")["synthetic"] == "true"
    assert '"re"' in Path("song.json").read_text()
    Path("words.txt").write_text("Do re mi")
    assert run("sing", "tune.mid", "--lyrics", "words.txt", "--like", "prompt.wav", "-o", "b.wav")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "no lyrics"),
        (("--lyrics", "Do re"), "2 syllables for 3 notes"),
        (("--lyrics", "Do re mi", "--key", "high"), "--key 'high'"),
        (("--lyrics", "Do re mi", "--key", "36"), "range"),
        (("--lyrics", "Do re mi", "--chords", "all"), "chords 'all'"),
        (("--lyrics", "Do re mi", "--part", "9"), "no part '9'"),
    ],
)
def test_bad_scores_are_one_line(run, tune, arguments, message) -> None:
    tune("tune.mid", (60, 62, 84) if "36" in arguments else (60, 62, 64))
    code, _, err = run("sing", "tune.mid", "--like", "prompt.wav", "-o", "song.wav", *arguments)
    assert (code, "Traceback" in err) == (2, False)
    assert message in err


def test_words_in_a_language_that_was_not_learnt_are_told(run, tune) -> None:
    tune("tune.mid")
    song = ("sing", "tune.mid", "--lyrics", "Do re mi", "--like", "prompt.wav", "-o", "song.wav")
    code, _, err = run(*song, "--language", "de")
    assert code == 0, err
    assert "sayer: has learnt en-us: what it says in de may not be understood" in err
    assert "has learnt" not in run(*song)[2]


def test_what_singing_needs_is_told(run, tune) -> None:
    tune("tune.mid", lyrics=("la", "la", "la"))
    assert "--like" in run("sing", "tune.mid", "-o", "song.wav")[2]
    assert "no output" in run("sing", "tune.mid", "--like", "prompt.wav")[2]
    assert run("sing", "tune.mid", "--like", "prompt.wav", "-o", "song.wav")[0] == 0
