"""What `check` finds and `stats` measures."""

import json

import numpy as np
import pytest
import soundfile

from moksori.corpus import Corpus
from moksori.corpus.check import check_corpus, clipped_fraction, require_known_symbols, robust_scores
from moksori.corpus.ingest import ImportSettings, import_sources
from moksori.corpus.manifest import read_dropped, write_dropped
from moksori.corpus.stats import corpus_stats
from moksori.errors import CorpusError
from moksori.text.tokenizer import TextConfig

AS_IS = ImportSettings(target_lufs=None, trim_db=None)


@pytest.fixture
def faulty(tmp_path, tone):
    """Twelve good clips, and one of every defect."""
    folder = tmp_path / "faulty"
    draw = np.random.default_rng(0)
    rows = []
    for index in range(12):
        tone(folder / f"good{index:02d}.wav", 2.0 + 0.1 * draw.random(), 100 + 10 * index)
        rows.append((f"good{index:02d}", f"The number of this sentence here is {index + 20}."))
    tone(folder / "short.wav", 0.4, 150)
    samples, rate = soundfile.read(folder / "short.wav")
    soundfile.write(folder / "short.wav", samples[4000:-4000], rate)
    tone(folder / "long.wav", 21.0, 150)
    soundfile.write(folder / "silent.wav", 5e-4 * np.sin(np.arange(32000)), 16000)
    tone(folder / "slow.wav", 15.0, 155)
    tone(folder / "empty.wav", 2.0, 160)
    samples, rate = soundfile.read(folder / "good00.wav")
    soundfile.write(folder / "twin.wav", samples, rate)
    soundfile.write(folder / "loud.wav", np.clip(6 * samples, -0.8, 0.8), rate)
    rows += [
        ("short", "Oh."),
        ("long", "Long. " * 60),
        ("silent", "Nobody can hear any of this here."),
        ("slow", "Yes."),
    ]
    rows += [("empty", "..."), ("twin", rows[0][1]), ("loud", "The number of this sentence is forty.")]
    text = "".join(f"{name}|{'ann' if name < 'm' else 'bob'}|{text}\n" for name, text in rows)
    (folder / "metadata.csv").write_text("id|speaker|text\n" + text, encoding="utf-8")
    import_sources("csv", [folder], tmp_path / "out", AS_IS)
    return Corpus.open(tmp_path / "out")


def test_every_defect_is_found_and_left_out(faulty):
    seen = []
    report = check_corpus(faulty, progress=lambda done, total: seen.append((done, total)))
    found = {reason: set(names) for reason, names in report.found.items() if names}
    assert found["too short"] == {"short"}
    assert found["too long"] == {"long"}
    assert found["silent"] == {"silent"}
    assert "slow" in found["outlier"]
    assert found["no text"] == {"empty"}
    assert found["duplicate"] == {"twin"}
    assert found["clipped"] == {"loud"}
    assert not any(name.startswith("good") for names in found.values() for name in names)
    assert report.utterances == 19
    assert report.kept == 13  # the good ones and the clipped one
    assert seen[-1] == (19, 19)
    assert {row.name for row in report.dropped} == {"short", "long", "silent", "slow", "empty", "twin"}
    kept = {u.name for split in faulty.splits for u in Corpus.open(faulty.folder).split(split)}
    assert len(kept) == 13
    assert "short" not in kept
    reasons = {row.name: row.reason for row in read_dropped(faulty.folder)}
    assert "moksori corpus split" in reasons["long"]
    assert "same samples as good00" in reasons["twin"]
    assert report.hours > report.kept_hours > 0
    assert sum(count for count, _ in report.speakers.values()) == 13


def test_checking_twice_says_the_same_and_a_dry_run_writes_nothing(faulty):
    assert check_corpus(faulty, write=False).kept == 13
    assert not any(row.stage == "check" for row in read_dropped(faulty.folder))
    first = check_corpus(faulty)
    assert check_corpus(Corpus.open(faulty.folder)) == first
    rows = [row for row in read_dropped(faulty.folder) if row.name != "twin"]
    write_dropped(faulty.folder, rows, "check")  # a person takes a row out: the utterance is back
    assert "twin" in {u.name for s in faulty.splits for u in Corpus.open(faulty.folder).split(s)}


def test_unknown_symbols_are_an_error_that_names_them(faulty):
    few = TextConfig(symbols=tuple(s for s in TextConfig().symbols if s != "ʌ"))
    report = check_corpus(faulty, few, write=False)
    assert report.unknown_symbols["ʌ"] >= 12
    with pytest.raises(CorpusError, match="'ʌ'"):
        require_known_symbols(report)
    require_known_symbols(check_corpus(faulty, write=False))


def test_clipping_is_told_from_loud_tones():
    time = np.arange(16000) / 16000
    tone = np.sin(2 * np.pi * 100 * time).astype(np.float32)
    assert clipped_fraction(0.99 * tone) == 0.0
    assert clipped_fraction(np.clip(1.5 * tone, -1, 1)) > 0.3
    assert clipped_fraction(0.2 * np.clip(1.5 * tone, -1, 1)) > 0.3
    assert clipped_fraction(np.zeros(100, np.float32)) == 0.0


def test_robust_scores_are_those_of_a_normal():
    values = np.random.default_rng(0).normal(3.0, 0.5, 20000)
    scores = robust_scores(np.append(values, 8.0))
    assert np.std(scores[:-1]) == pytest.approx(1.0, abs=0.03)
    assert scores[-1] == pytest.approx(10.0, rel=0.05)
    assert robust_scores(np.full(5, 2.0)).tolist() == [0.0] * 5


def test_stats_measure_and_draw_every_speaker(faulty):
    found = corpus_stats(faulty, pitch_utterances=6)
    assert set(found) == {"ann", "bob"}
    ann = found["ann"]
    assert ann.longest_seconds == pytest.approx(21.6, abs=0.01)
    assert 100 <= ann.f0_hz[0] <= ann.f0_hz[1] <= ann.f0_hz[2] <= 260
    assert ann.pitch_utterances == 6
    stored = json.loads((faulty.folder / "stats.json").read_text())
    assert stored["ann"]["utterances"] == ann.utterances
    picture = (faulty.folder / "stats.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 5000
