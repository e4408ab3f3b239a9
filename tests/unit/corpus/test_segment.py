"""Cutting long clips at pauses."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moksori.corpus import Corpus, read_utterance
from moksori.corpus.ingest import import_sources
from moksori.corpus.manifest import read_dropped
from moksori.corpus.segment import read_word_times, snap_to_pauses, split_clip, split_corpus
from moksori.errors import CorpusError
from moksori.types import Utterance

CLIP = Utterance("clip", "", "ann", "en-us", Path("audio/clip.flac"), 0.0, 24.0, 16000)


def words(text, every=0.5, pauses=()):
    """Words of 0.4 s at a pace of `every` seconds, with (after word, seconds) pauses."""
    times, now, extra = [], 0.0, dict(pauses)
    for index, word in enumerate(text.split()):
        times.append((word, now, now + 0.4))
        now += every + extra.get(index, 0.0)
    return times


def test_short_clips_stay_whole():
    clip = replace(CLIP, duration_seconds=9.9)
    assert split_clip(clip, []) == [clip]


def test_a_clip_is_cut_in_the_middle_of_its_pause_with_its_punctuation():
    text = 'One two three four five six seven eight nine ten; "eleven twelve thirteen fourteen," he said at last.'
    clip = replace(CLIP, text=text, start_seconds=1.0, duration_seconds=12.0)
    times = [(w.strip('",;.'), s, e) for w, s, e in words(text, every=0.62, pauses=[(9, 0.5)])]
    first, second = split_clip(clip, times)
    assert first.text == "One two three four five six seven eight nine ten;"
    assert second.text == '"eleven twelve thirteen fourteen," he said at last.'
    border = (times[9][2] + times[10][1]) / 2
    assert first.start_seconds == 1.0
    assert first.duration_seconds == pytest.approx(border)
    assert second.start_seconds == pytest.approx(1.0 + border)
    assert first.duration_seconds + second.duration_seconds == pytest.approx(12.0)
    assert (first.name, second.name) == ("clip-01", "clip-02")


def test_words_that_are_not_in_the_text_are_used_themselves():
    clip = replace(CLIP, text="In 1803.", duration_seconds=12.0)
    times = words("in eighteen hundred and three", every=2.2, pauses=[])
    assert [piece.text for piece in split_clip(clip, times)] == ["in eighteen hundred", "and three"] or [
        piece.text for piece in split_clip(clip, times)
    ] == ["in eighteen", "hundred and three"]


def test_no_pause_keeps_up_to_twenty_seconds_and_gives_up_beyond():
    steady = words("a " * 40, every=0.45)
    assert split_clip(replace(CLIP, duration_seconds=18.4), steady) == [replace(CLIP, duration_seconds=18.4)]
    assert split_clip(CLIP, words("a " * 50, every=0.45)) == []


def test_pauses_that_are_too_short_are_no_place_to_cut():
    clip = replace(CLIP, duration_seconds=12.0)
    times = words("a " * 20, every=0.55)  # 0.15 s between words
    assert split_clip(clip, times) == [clip]
    assert len(split_clip(clip, times, minimum_pause=0.1)) == 2


def test_long_pauses_win_over_short_ones():
    times = words("a " * 30, every=0.62, pauses=[(13, 0.2), (15, 1.0)])
    clip = replace(CLIP, duration_seconds=times[-1][2])
    first, _ = split_clip(clip, times, maximum_seconds=12.0)
    assert first.duration_seconds == pytest.approx((times[15][2] + times[16][1]) / 2)


def test_pauses_move_to_the_silence_beside_them():
    aligned = [("a", 0.1, 1.0), ("b", 1.05, 2.0), ("c", 2.3, 3.0), ("d", 3.0, 4.0)]
    # b's end lies in a silence; a and b have none between them; that beside c and d is too far
    snapped = snap_to_pauses(aligned, [(0.0, 0.05), (1.7, 2.25), (3.6, 3.9)])
    assert [w for w, _, _ in snapped] == ["a", "b", "c", "d"]
    assert (snapped[1][2], snapped[2][1]) == (1.7, 2.25)
    assert snapped[0][2] == snapped[1][1] == pytest.approx(1.025)
    assert snapped[2][2] == snapped[3][1] == pytest.approx(3.0)
    assert snap_to_pauses(aligned[:1], [(0.5, 0.9)]) == aligned[:1]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.05, 1.0), st.floats(0.0, 0.5)), min_size=2, max_size=20),
    st.lists(st.tuples(st.floats(0.0, 15.0), st.floats(0.2, 1.0)), max_size=8),
)
def test_snapped_words_stay_in_order(spans, silences):
    aligned, now = [], 0.0
    for length, pause in spans:
        aligned.append(("w", now, now + length))
        now += length + pause
    times = [t for _, start, end in snap_to_pauses(aligned, [(s, s + d) for s, d in silences]) for t in (start, end)]
    assert times == sorted(times)


def test_times_that_do_not_fit_are_refused():
    for bad in ([("a", 0.0, 30.0)], [("a", 3.0, 2.0)], [("a", 5.0, 6.0), ("b", 1.0, 2.0)]):
        with pytest.raises(CorpusError, match=r"clip.*align"):
            split_clip(CLIP, bad)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0.1, 1.2), st.floats(0.0, 0.8)), min_size=2, max_size=60))
def test_pieces_cover_the_clip_within_the_limits(spans):
    times, now = [], 0.0
    for index, (length, pause) in enumerate(spans):
        times.append((f"w{index}", now, now + length))
        now += length + pause
    clip = replace(CLIP, text=" ".join(f"w{i}" for i in range(len(spans))), duration_seconds=now)
    pieces = split_clip(clip, times)
    if not pieces:
        return
    assert " ".join(piece.text for piece in pieces) == clip.text
    assert sum(piece.duration_seconds for piece in pieces) == pytest.approx(now)
    if len(pieces) > 1:
        assert all(0.6 <= piece.duration_seconds <= 20.0 for piece in pieces)
        for before, after in pairwise(pieces):
            assert before.start_seconds + before.duration_seconds == pytest.approx(after.start_seconds)


@pytest.fixture
def long_clips(tmp_path, tone):
    folder = tmp_path / "book"
    lines = ["id|speaker|text"]
    for index, seconds in enumerate((4.0, 14.0, 22.0, 15.0)):
        tone(folder / f"c{index}.wav", seconds, 100 + 10 * index)
        lines.append(f"c{index}|ann|Clip {index} is one, and then it goes on.")
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    import_sources("csv", [folder], tmp_path / "out")
    return Corpus.open(tmp_path / "out")


def test_a_corpus_is_cut_in_place_with_a_report(long_clips):
    where = {u.name: split for split in long_clips.splits for u in long_clips.split(split)}
    times = {
        "c1": [("Clip", 0.1, 6.0), ("and", 7.0, 14.0)],
        "c2": [("Clip", 0.1, 11.0), ("and", 11.1, 22.0)],  # a pause of 0.1 s is none
    }
    report = split_corpus(long_clips, times)
    assert (report.clips, report.cut, report.pieces) == (4, 1, 4)
    assert report.without_times == ("c3",)
    assert report.too_long == ("c2",)
    corpus = Corpus.open(long_clips.folder)
    found = {u.name: (split, u) for split in corpus.splits for u in corpus.split(split)}
    assert set(found) == {"c0", "c1-01", "c1-02", "c3"}
    assert found["c1-01"][0] == found["c1-02"][0] == where["c1"]
    whole = read_utterance(next(u for s in long_clips.splits for u in long_clips.split(s) if u.name == "c1"))
    piece = read_utterance(found["c1-02"][1])
    assert piece.samples.tolist() == whole.samples[-len(piece.samples) :].tolist()
    assert [(row.name, row.stage) for row in read_dropped(corpus.folder)] == [("c2", "split")]
    assert len((corpus.folder / "split.tsv").read_text().splitlines()) == 3
    again = split_corpus(corpus, times)
    assert (again.cut, again.pieces) == (0, 4)
    assert len((corpus.folder / "split.tsv").read_text().splitlines()) == 3


def test_word_times_come_from_a_file(tmp_path):
    path = tmp_path / "words.json"
    path.write_text('{"c1": [["Clip", 0, 6.5]]}')
    assert read_word_times(path) == {"c1": [("Clip", 0.0, 6.5)]}
    for bad in ("[1]", "{", '{"c1": [["Clip", 0]]}', '{"c1": 3}'):
        path.write_text(bad)
        with pytest.raises(CorpusError, match=r"words\.json"):
            read_word_times(path)
