"""`moksori corpus sing`: a corpus of songs out of one of speech; here the speech is of tones with known durations."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("pyworld")
pytest.importorskip("pyloudnorm")

from moksori.audio.f0 import extract_f0
from moksori.audio.io import read, read_metadata
from moksori.cli.main import main
from moksori.corpus.manifest import Corpus, read_utterance, rewrite
from moksori.corpus.melody import Key, hertz, note_pitch
from moksori.corpus.synthetic import write_synthetic
from moksori.errors import BadInput, CorpusError, UnknownName
from moksori.pipeline import sing_corpus as module
from moksori.pipeline.align import Alignment
from moksori.pipeline.sing_corpus import read_songs, sing_corpus
from moksori.types import SpeechNeeds

MINUTES = 0.2


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    needs = SpeechNeeds(16000, 200, tokens=True, durations=True)
    return write_synthetic(tmp_path_factory.mktemp("speech") / "spoken", 10, needs=needs, speakers=2)


@pytest.fixture(autouse=True)
def known_durations(speech, monkeypatch):
    """The aligner's place is taken by the truth: here it is the singing that is tested."""
    monkeypatch.setattr(module, "align", lambda *_, **__: Alignment(speech.durations, {}, ()))


@pytest.fixture(scope="module")
def made(speech, tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setattr(module, "align", lambda *_, **__: Alignment(speech.durations, {}, ()))
    target = tmp_path_factory.mktemp("made") / "sung"
    report = sing_corpus(speech.corpus.folder, target, MINUTES, ranges={"tone0": "A2-E4"}, keys={"tone0": "G minor"})
    patch.undo()
    return target, report


def test_songs_are_a_corpus_with_the_minutes_that_were_asked_for(made, speech):
    target, report = made
    corpus = Corpus.open(target)
    assert corpus.info.speakers == ("tone0", "tone1")
    assert corpus.info.licence == speech.corpus.info.licence
    assert corpus.info.sources[0]["format"] == "speech-to-singing"
    for singer in corpus.info.speakers:
        seconds = [u.duration_seconds for u in corpus.split("train") if u.speaker == singer]
        assert sum(seconds) >= MINUTES * 30 > sum(seconds[:-1])
    assert report.made == sum(len(corpus.split(split)) for split in corpus.splits)
    told = corpus.info.settings["singers"]["tone0"]
    assert (told["key"], told["low"], told["high"]) == ("G minor", "A2", "E4")
    for utterance in corpus.split("train"):
        sound = read_utterance(utterance)
        assert sound.sample_rate == 16000
        assert sound.duration_seconds == pytest.approx(utterance.duration_seconds)
        assert read_metadata(utterance.audio)["synthetic"] == "true"
    assert "Nobody of them" in (target / "README.md").read_text()


def test_songs_stay_in_the_split_of_their_sentences(made, speech):
    target, _ = made
    of_source = {u.name: (split, u.text) for split in speech.corpus.splits for u in speech.corpus.split(split)}
    songs, corpus = read_songs(target), Corpus.open(target)
    assert {"train", "valid", "test"} == set(corpus.splits)
    for split in corpus.splits:
        for utterance in corpus.split(split):
            assert of_source[songs[utterance.name].source] == (split, utterance.text)
            assert songs[utterance.name].split == split


def test_a_declared_key_and_range_are_kept_and_heard(made):
    target, _ = made
    home = Key.parse("G minor")
    songs = [song for song in read_songs(target).values() if song.speaker == "tone0" and song.seconds]
    keys = {Key.parse(song.key) for song in songs}
    assert keys <= {home, *home.related}
    for song in songs:
        pitches = {note.pitch for note in song.notes}
        assert pitches <= set(Key.parse(song.key).pitches(note_pitch("A2"), note_pitch("E4")))
    song = max(songs, key=lambda s: s.seconds)
    f0 = extract_f0(read(target / "audio" / f"{song.name}.flac"), 80, 60.0, 1000.0, method="harvest")
    times, right = (np.arange(len(f0)) + 0.5) * 0.005, []
    for note in song.notes:
        steady = (times > note.start_seconds + 0.1) & (times < note.start_seconds + 0.25) & (f0 > 0)
        if note.end_seconds - note.start_seconds > 0.3 and steady.sum() > 10:
            right.append(abs(1200 * np.log2(np.median(f0[steady]) / hertz(note.pitch))) < 50)
    assert len(right) >= 3
    assert np.mean(right) > 0.8


def test_a_finished_corpus_has_nothing_to_do_and_an_interrupted_one_goes_on(made, speech, tmp_path):
    target = tmp_path / "sung"
    shutil.copytree(made[0], target)
    settings = {"ranges": {"tone0": "A2-E4"}, "keys": {"tone0": "G minor"}}
    again = sing_corpus(speech.corpus.folder, target, MINUTES, **settings)
    assert (again.made, again.made_before) == (0, len(read_songs(target)))
    lines = (target / "songs.jsonl").read_text().splitlines()
    kept, half = lines[:4], lines[4][: len(lines[4]) // 2]
    (target / "songs.jsonl").write_text("\n".join([*kept, half]))  # killed in the middle of a line
    (target / "corpus.json").unlink()
    lost = target / "audio" / f"{json.loads(lines[5])['name']}.flac"
    lost.unlink()
    report = sing_corpus(speech.corpus.folder, target, MINUTES, **settings)
    assert report.made_before == 3
    assert read_songs(target) == read_songs(made[0])
    for path in made[0].glob("*.cuts.jsonl.gz"):
        assert (target / path.name).read_bytes() == path.read_bytes()
    for path in (made[0] / "audio").iterdir():
        assert np.array_equal(read(path).samples, read(target / "audio" / path.name).samples)


def test_other_settings_are_refused_until_told_to_redo(made, speech, tmp_path):
    target = tmp_path / "sung"
    shutil.copytree(made[0], target)
    with pytest.raises(CorpusError, match=r"made otherwise \(seed"):
        sing_corpus(speech.corpus.folder, target, MINUTES, seed=1)
    report = sing_corpus(speech.corpus.folder, target, 0.1, seed=1, singers=["tone1"], redo=True)
    assert report.made > 0
    assert Corpus.open(target).info.speakers == ("tone1",)
    assert {path.stem for path in (target / "audio").iterdir()} == {
        n for n, s in read_songs(target).items() if s.seconds
    }


def test_too_little_speech_is_sung_again_otherwise_and_told(speech, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_MOST_ROUNDS", 2)
    report = sing_corpus(speech.corpus.folder, tmp_path / "sung", 5.0, singers=["tone1"])
    assert "train: tone1" in report.short
    songs = read_songs(tmp_path / "sung")
    turns = [(songs[name], songs[name.replace("-sung2", "-sung1")]) for name in songs if name.endswith("-sung2")]
    assert turns
    assert all(second.seconds and first.seconds and second.notes != first.notes for second, first in turns)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"singers": ["tone9"]}, UnknownName, "did you mean 'tone"),
        ({"minutes": 0.0}, BadInput, "minutes 0"),
        ({"minutes": float("nan")}, BadInput, "minutes nan"),
        ({"sample_rate": 4000}, BadInput, "rate 4000"),
        ({"ranges": {"tone0": "A2"}}, BadInput, "expected two notes"),
        ({"ranges": {"tone0": "A2-B2"}}, BadInput, "five notes"),
        ({"ranges": {"tone0": "E4-A2"}}, BadInput, "five notes"),
        ({"keys": {"tone0": "blue"}}, BadInput, "key 'blue'"),
        ({"singers": ["tone1"], "keys": {"tone0": "G"}}, BadInput, "not among the singers"),
    ],
)
def test_bad_settings_are_told_before_anything_is_made(speech, tmp_path, settings, error, message):
    with pytest.raises(error, match=message):
        sing_corpus(speech.corpus.folder, tmp_path / "sung", **settings)
    assert not (tmp_path / "sung").exists()


def test_a_place_that_holds_something_else_is_left_alone(speech, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(CorpusError, match="did not make"):
        sing_corpus(speech.corpus.folder, tmp_path / "mine")
    with pytest.raises(CorpusError, match="lies in the source"):
        sing_corpus(speech.corpus.folder, speech.corpus.folder / "sung")
    with pytest.raises(CorpusError, match="no such file"):
        read_songs(tmp_path / "mine")


def test_recordings_without_text_cannot_be_sung(speech, tmp_path):
    folder = tmp_path / "hummed"
    shutil.copytree(speech.corpus.folder, folder)
    corpus = Corpus.open(folder)
    rewrite(folder, corpus.info, {s: [replace(u, text="") for u in corpus.split(s)] for s in corpus.splits})
    with pytest.raises(CorpusError, match="have no text"):
        sing_corpus(folder, tmp_path / "sung")


def test_the_command_sings_and_tells_of_what(speech, tmp_path, capsys):
    arguments = ["corpus", "sing", str(speech.corpus.folder), str(tmp_path / "sung"), "--minutes", "0.05"]
    assert main([*arguments, "--singer", "tone1", "--range", "tone1=G3-D5", "--key", "tone1=Bb"]) == 0
    printed = capsys.readouterr().out
    assert "A# major  G3-D5" in printed
    assert "train: " in printed
    assert main([*arguments, "--range", "G3-D5"]) == 2
    assert "expected NAME=VALUE" in capsys.readouterr().err
