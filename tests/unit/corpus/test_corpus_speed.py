"""Recordings played at other speeds, as other people: pitch, length, names, splits, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from moksori.audio.f0 import extract_f0
from moksori.audio.io import write
from moksori.corpus.manifest import Corpus, CorpusInfo, read_utterance, rewrite
from moksori.corpus.merge import merge_corpora
from moksori.corpus.speed import speed_corpus
from moksori.errors import BadInput, CorpusError
from moksori.types import Utterance, Waveform

RATE = 16000


def hum(hertz: float, seconds: float) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    return np.float32(sum(0.1 / k * np.sin(2 * np.pi * k * hertz * time) for k in range(1, 9)))


def corpus(folder: Path, splits: tuple[str, ...] = ("train", "valid")) -> Corpus:
    (folder / "audio").mkdir(parents=True)
    parts = {}
    for split, speaker, hertz in (("train", "ann", 200.0), ("train", "bob", 110.0), ("valid", "ann", 200.0)):
        if split not in splits:
            continue
        name = f"{split}-{speaker}"
        path = folder / "audio" / f"{name}.flac"
        write(path, Waveform(hum(hertz, 2.0), RATE))
        row = Utterance(name, f"text of {name}", speaker, "en-us", path, 0.0, 2.0, RATE)
        parts.setdefault(split, []).append(row)
    rewrite(folder, CorpusInfo(folder.name, "CC0-1.0", "en-us", ("ann", "bob")), parts)
    return Corpus.open(folder)


def test_pitch_and_length_move_and_everyone_has_a_new_name(tmp_path: Path) -> None:
    source, told = corpus(tmp_path / "own"), []
    info = speed_corpus(source, tmp_path / "others", (0.9, 1.1), lambda done, total: told.append((done, total)))
    made = Corpus.open(tmp_path / "others")
    assert info.speakers == tuple(made.speakers) == ("ann-x0.9", "ann-x1.1", "bob-x0.9", "bob-x1.1")
    assert made.splits == ("train",)
    assert told == [(1, 2), (2, 2)]
    rows = {u.name: u for u in made.split("train")}
    assert set(rows) == {"train-ann-x0.9", "train-ann-x1.1", "train-bob-x0.9", "train-bob-x1.1"}
    for name, hertz, speed in (("train-ann-x0.9", 200.0, 0.9), ("train-bob-x1.1", 110.0, 1.1)):
        heard = read_utterance(rows[name])
        assert heard.sample_rate == RATE
        assert rows[name].duration_seconds == pytest.approx(2.0 / speed, abs=1e-3)
        assert len(heard.samples) / RATE == pytest.approx(2.0 / speed, abs=1e-3)
        f0 = extract_f0(heard, 200, method="fast")
        assert float(np.median(f0[f0 > 0])) == pytest.approx(hertz * speed, rel=0.01)
        assert rows[name].text == f"text of {name.rsplit('-', 1)[0]}"
    assert "0.9, 1.1" in (tmp_path / "others" / "README.md").read_text()


def test_it_is_merged_with_what_it_was_made_of(tmp_path: Path) -> None:
    source = corpus(tmp_path / "own")
    speed_corpus(source, tmp_path / "others", (1.1,))
    info = merge_corpora([source, Corpus.open(tmp_path / "others")], tmp_path / "many")
    assert info.speakers == ("ann", "ann-x1.1", "bob", "bob-x1.1")
    assert [u.speaker for u in Corpus.open(tmp_path / "many").split("valid")] == ["ann"]


@pytest.mark.parametrize("speeds", [(), (1.0,), (0.5,), (2.0,), (0.9, 0.9), (float("nan"),)])
def test_speeds_that_make_nobody_are_refused(tmp_path: Path, speeds: tuple[float, ...]) -> None:
    source = corpus(tmp_path / "own")
    with pytest.raises(BadInput, match="speed"):
        speed_corpus(source, tmp_path / "others", speeds)
    assert not (tmp_path / "others").exists()


def test_what_is_there_stays(tmp_path: Path) -> None:
    source = corpus(tmp_path / "own")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    for target in (tmp_path / "full", tmp_path / "own" / "others"):
        with pytest.raises(CorpusError):
            speed_corpus(source, target, (0.9,))
    assert (tmp_path / "full" / "mine.txt").read_text() == "mine"
    held_out = corpus(tmp_path / "held", splits=("valid",))
    with pytest.raises(CorpusError, match="no training recordings"):
        speed_corpus(held_out, tmp_path / "others", (0.9,))


def test_a_missing_recording_leaves_nothing(tmp_path: Path) -> None:
    source = corpus(tmp_path / "own")
    source.split("train")[1].audio.unlink()
    with pytest.raises(Exception, match="train-bob"):
        speed_corpus(source, tmp_path / "others", (0.9,))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["own"]
