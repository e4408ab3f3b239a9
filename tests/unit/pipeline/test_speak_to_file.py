"""Long texts to files: the same bytes whether or not the job was interrupted, bounded memory, nothing half written."""

import errno
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from moksori.audio import stream
from moksori.audio.io import read
from moksori.errors import BadInput, MoksoriError, TextError
from moksori.pipeline import say
from moksori.pipeline.speaker import Sentence, sentences

TEXT = "The first sentence. The second one! A third?\n\nAnother paragraph begins. It ends."


@pytest.fixture
def voice(toy_folder):
    return say.load(toy_folder)


def interrupted(count):
    """The text's sentences, with an interruption after `count` of them."""
    yield from itertools.islice(sentences(TEXT), count)
    raise KeyboardInterrupt


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "opus"])
def test_a_resumed_job_writes_the_bytes_of_an_unbroken_one(voice, tmp_path, suffix):
    whole, broken = tmp_path / f"whole.{suffix}", tmp_path / f"broken.{suffix}"
    say.speak_to_file(voice, sentences(TEXT), whole, seed=3, timings=tmp_path / "whole.json")
    for count in (1, 3, 3, 4):
        with pytest.raises(KeyboardInterrupt):
            say.speak_to_file(voice, interrupted(count), broken, seed=3)
        assert not broken.exists()
    written = say.speak_to_file(voice, sentences(TEXT), broken, seed=3, timings=tmp_path / "broken.json")
    assert written.resumed == 4
    if suffix in ("ogg", "opus"):  # libsndfile draws a stream number for each such file
        assert np.array_equal(read(broken).samples, read(whole).samples)
    else:
        assert broken.read_bytes() == whole.read_bytes()
    assert (tmp_path / "broken.json").read_bytes() == (tmp_path / "whole.json").read_bytes()
    assert not list(tmp_path.glob("*.job")) + list(tmp_path.glob("*.pcm")) + list(tmp_path.glob(".*"))


def test_the_file_agrees_with_speech_in_memory(voice, tmp_path):
    speech = voice.say(TEXT, seed=3)
    say.speak_to_file(voice, sentences(TEXT), tmp_path / "file.wav", seed=3, timings=tmp_path / "file.json")
    speech.save(tmp_path / "memory.wav", timings=tmp_path / "memory.json")
    assert np.array_equal(read(tmp_path / "file.wav").samples, read(tmp_path / "memory.wav").samples)
    assert (tmp_path / "file.json").read_text() == (tmp_path / "memory.json").read_text()


def test_without_a_seed_an_interrupted_job_goes_on_with_its_own(voice, tmp_path):
    path = tmp_path / "talk.wav"
    with pytest.raises(KeyboardInterrupt):
        say.speak_to_file(voice, interrupted(2), path)
    seed = json.loads((tmp_path / "talk.wav.job").read_text().splitlines()[0])["seed"]
    assert say.speak_to_file(voice, sentences(TEXT), path).seed == seed
    say.speak_to_file(voice, sentences(TEXT), tmp_path / "fresh.wav", seed=seed)
    assert path.read_bytes() == (tmp_path / "fresh.wav").read_bytes()


def test_a_job_cut_at_any_byte_still_ends_in_the_same_bytes(voice, tmp_path):
    say.speak_to_file(voice, sentences(TEXT), tmp_path / "whole.wav", seed=3)
    path = tmp_path / "talk.wav"
    with pytest.raises(KeyboardInterrupt):
        say.speak_to_file(voice, interrupted(4), path, seed=3)
    job, pcm = (tmp_path / "talk.wav.job").read_bytes(), (tmp_path / "talk.wav.pcm").read_bytes()
    generator = np.random.default_rng(0)
    for _ in range(12):
        (tmp_path / "talk.wav.job").write_bytes(job[: generator.integers(len(job) + 1)])
        (tmp_path / "talk.wav.pcm").write_bytes(pcm[: generator.integers(len(pcm) + 1)])
        say.speak_to_file(voice, sentences(TEXT), path, seed=3)
        assert path.read_bytes() == (tmp_path / "whole.wav").read_bytes()


@pytest.mark.parametrize(
    "change", [{"seed": 4}, {"options": say.SayOptions(speed=1.5)}, {"options": say.SayOptions(pause_seconds=0.1)}]
)
def test_other_settings_start_anew(voice, tmp_path, change):
    path = tmp_path / "talk.wav"
    with pytest.raises(KeyboardInterrupt):
        say.speak_to_file(voice, interrupted(3), path, seed=3)
    arguments = {"seed": 3, **change}
    assert say.speak_to_file(voice, sentences(TEXT), path, **arguments).resumed == 0
    say.speak_to_file(voice, sentences(TEXT), tmp_path / "fresh.wav", **arguments)
    assert path.read_bytes() == (tmp_path / "fresh.wav").read_bytes()


def test_an_edited_text_keeps_what_is_before_the_edit(voice, tmp_path):
    path = tmp_path / "talk.wav"
    with pytest.raises(KeyboardInterrupt):
        say.speak_to_file(voice, interrupted(4), path, seed=3)
    edited = TEXT.replace("A third?", "The fourth?")
    assert say.speak_to_file(voice, sentences(edited), path, seed=3).resumed == 2
    say.speak_to_file(voice, sentences(edited), tmp_path / "fresh.wav", seed=3)
    assert path.read_bytes() == (tmp_path / "fresh.wav").read_bytes()


def test_a_killed_process_is_resumed_to_the_same_bytes(voice, toy_folder, tmp_path):
    """The real thing: the command is killed with SIGKILL in the middle of a chapter and run again."""
    chapter = tmp_path / "chapter.txt"
    chapter.write_text("\n\n".join(f"This is sentence number {n}, and it says something." for n in range(150)))
    toy = Path(__file__).parent.parent / "toy_voice.py"
    path = tmp_path / "chapter.flac"
    command = [sys.executable, str(toy), "say", "--file", str(chapter), "--voice", str(toy_folder), "--seed", "9"]
    process = subprocess.Popen([*command, "-o", str(path)], stdout=subprocess.DEVNULL)
    job = tmp_path / "chapter.flac.job"
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline and not (job.exists() and job.stat().st_size > 5000):
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert job.exists()
    assert not path.exists()
    with chapter.open() as text:
        written = say.speak_to_file(voice, sentences(text), path, seed=9)
    assert 0 < written.resumed < 150
    with chapter.open() as text:
        say.speak_to_file(voice, sentences(text), tmp_path / "whole.flac", seed=9)
    assert path.read_bytes() == (tmp_path / "whole.flac").read_bytes()


def test_memory_stays_bounded(voice, tmp_path):
    """What Python holds at most stays far below the samples of the whole text."""
    import tracemalloc

    many = (Sentence(f"Sentence {n % 50} of a very long text that goes on and on.") for n in range(250))
    tracemalloc.start()
    written = say.speak_to_file(voice, many, tmp_path / "long.wav", seed=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    size = 4 * written.duration_seconds * voice.sample_rate
    assert size > 8e6
    assert peak < size / 3


def test_progress_counts_sentences(voice, tmp_path):
    seen = []
    say.speak_to_file(voice, sentences(TEXT), tmp_path / "talk.wav", progress=lambda d, t: seen.append((d, t)), total=5)
    assert seen == [(n, 5) for n in range(6)]


def test_a_text_without_words_leaves_nothing(voice, tmp_path):
    with pytest.raises(TextError, match="nothing to say: '🎉' holds no words"):
        say.speak_to_file(voice, sentences("🎉"), tmp_path / "talk.wav")
    with pytest.raises(TextError, match="the text is empty"):
        say.speak_to_file(voice, sentences(" \n"), tmp_path / "talk.wav")
    assert [path.name for path in tmp_path.iterdir()] == ["toy"]


def test_two_jobs_on_one_output(voice, tmp_path):
    def second():
        yield Sentence("One.")
        with pytest.raises(BadInput, match="another moksori is writing this output"):
            say.speak_to_file(voice, sentences(TEXT), tmp_path / "talk.wav")
        yield Sentence("Two.")

    assert say.speak_to_file(voice, second(), tmp_path / "talk.wav").sentences == 2


class FullDisk:
    """A file on a disk that is full after `room` bytes."""

    def __init__(self, file, room):
        self._file, self._room = file, room

    def write(self, data):
        if self._file.tell() + len(data) > self._room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self._file.write(data)

    def __getattr__(self, name):
        return getattr(self._file, name)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("room", [0, 100, 3000])
def test_a_full_disk_while_encoding_leaves_the_old_file_and_a_job_that_goes_on(
    voice, tmp_path, monkeypatch, suffix, room
):
    path = tmp_path / f"talk.{suffix}"
    path.write_bytes(b"what was there")
    original = stream._Checked.__init__
    monkeypatch.setattr(stream._Checked, "__init__", lambda self, file: original(self, FullDisk(file, room)))
    with pytest.raises(MoksoriError, match="no space left on device: free space") as caught:
        say.speak_to_file(voice, sentences(TEXT), path, seed=3)
    assert caught.value.exit_code == 1
    assert path.read_bytes() == b"what was there"
    assert not list(tmp_path.glob(".*"))
    monkeypatch.undo()
    written = say.speak_to_file(voice, sentences(TEXT), path, seed=3)
    assert written.resumed == written.sentences == 5
    assert read(path).duration_seconds == pytest.approx(written.duration_seconds, abs=0.1)


def test_a_full_disk_while_speaking(voice, tmp_path, monkeypatch):
    from moksori.pipeline.speech_job import SpeechJob

    path = tmp_path / "talk.wav"
    add = SpeechJob.add

    def full(self, piece, sample_rate):
        if len(self.done) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        add(self, piece, sample_rate)

    monkeypatch.setattr(SpeechJob, "add", full)
    with pytest.raises(MoksoriError, match="no space left on device: free some space and run the same command again"):
        say.speak_to_file(voice, sentences(TEXT), path, seed=3)
    assert not path.exists()
    monkeypatch.undo()
    assert say.speak_to_file(voice, sentences(TEXT), path, seed=3).resumed == 2


def test_a_disk_full_from_the_start_leaves_nothing(voice, tmp_path, monkeypatch):
    from moksori.pipeline.speech_job import SpeechJob

    def full(self, *_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(SpeechJob, "_append", full)
    with pytest.raises(MoksoriError, match="no space left"):
        say.speak_to_file(voice, sentences(TEXT), tmp_path / "talk.wav")
    assert [path.name for path in tmp_path.iterdir()] == ["toy"]


def test_paths_that_cannot_be_written(voice, tmp_path, monkeypatch):
    (tmp_path / "folder.wav").mkdir()
    cases = {
        tmp_path / "talk.doc": "suffix '.doc'.*one of .wav",
        tmp_path / "talk": "no suffix",
        tmp_path / "missing" / "talk.wav": "does not exist: create it first",
        tmp_path / "folder.wav": "is a folder",
    }
    for path, message in cases.items():
        with pytest.raises(BadInput, match=message):
            say.speak_to_file(voice, sentences(TEXT), path)

    def read_only(self, *_, **__):
        raise OSError(errno.EROFS, "Read-only file system", str(self))

    monkeypatch.setattr(Path, "touch", read_only)
    with pytest.raises(BadInput, match="read-only file system: choose another folder"):
        say.speak_to_file(voice, sentences(TEXT), tmp_path / "talk.wav")


@pytest.mark.skipif(not Path("/dev/full").exists() or os.name != "posix", reason="needs /dev/full")
def test_a_device_is_no_output_file(voice):
    with pytest.raises(BadInput):
        say.speak_to_file(voice, sentences(TEXT), "/dev/full")


def test_lexicon_files(tmp_path):
    path = tmp_path / "words.tsv"
    path.write_text("# mine\nmoksori\tmˈoʊksoʊɹi\n\nGIF=dʒˈɪf\n")
    assert say.read_lexicon(path) == say.Lexicon.of({"moksori": "mˈoʊksoʊɹi", "GIF": "dʒˈɪf"})
    path.write_text("moksori\tx\njust a word\n")
    with pytest.raises(TextError, match=r"words.tsv:2: 'just a word': expected a word, a tab"):
        say.read_lexicon(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(TextError, match="no UTF-8 text"):
        say.read_lexicon(path)
    with pytest.raises(TextError, match="no such file"):
        say.read_lexicon(tmp_path / "none.tsv")
