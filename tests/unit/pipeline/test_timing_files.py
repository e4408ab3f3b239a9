"""When what is heard: words and phonemes to the frame, and the four forms of file, read back by small readers."""

import json
import re
import tracemalloc
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from moksori.errors import BadInput, MoksoriError
from moksori.pipeline import say
from moksori.pipeline.captions import cues, written_words
from moksori.pipeline.sentences import sentences
from moksori.pipeline.speech_timings import SentenceTiming, Span, word_spans
from moksori.pipeline.timing_files import TimingHeader, check_timings_path, write_timings
from moksori.text.tokenizer import TextConfig, Tokenizer

TEXT = 'Dr. Smith paid $5 — "really" — for well-known tea & <b>milk</b>. How are you, my old friend?\n\nFine.'
FRAME = 32 / 8000
FORMS = ("json", "srt", "vtt", "TextGrid")


@pytest.fixture
def voice(toy_folder):
    return say.load(toy_folder)


@pytest.fixture
def speech(voice):
    return voice.say(TEXT, seed=1)


def seconds(clock: str) -> float:
    hours, minutes, rest = clock.replace(",", ".").split(":")
    return 3600 * int(hours) + 60 * int(minutes) + float(rest)


def read_srt(path: Path) -> list[tuple[float, float, str]]:
    """An independent reader of SubRip."""
    found = []
    for place, block in enumerate(path.read_text().strip().split("\n\n"), start=1):
        number, span, *lines = block.split("\n")
        assert int(number) == place
        start, end = span.split(" --> ")
        assert re.fullmatch(r"\d\d:\d\d:\d\d,\d\d\d", start)
        found.append((seconds(start), seconds(end), "\n".join(lines)))
    return found


def read_vtt(path: Path) -> list[tuple[float, float, str]]:
    """An independent reader of WebVTT, stamps and voices left in."""
    head, *blocks = path.read_text().strip().split("\n\n")
    assert head == "WEBVTT"
    found = []
    for block in blocks:
        span, *lines = block.split("\n")
        start, end = span.split(" --> ")
        found.append((seconds(start), seconds(end), "\n".join(lines)))
    return found


def read_textgrid(path: Path) -> dict[str, list[tuple[float, float, str]]]:
    """An independent reader of Praat's long text form: tier -> intervals; checks counts and bounds on the way."""
    text = path.read_text()
    assert text.startswith('File type = "ooTextFile"\nObject class = "TextGrid"\n')
    parts = re.split(r"\n    item \[\d+\]:", text)
    total = float(re.search(r"xmax = (\S+)", parts[0])[1])
    assert int(re.search(r"size = (\d+)", parts[0])[1]) == len(parts) - 1
    tiers = {}
    for part in parts[1:]:
        name = re.search(r'name = "((?:[^"]|"")*)"', part)[1].replace('""', '"')
        pattern = r'intervals \[\d+\]:\s+xmin = (\S+)\s+xmax = (\S+)\s+text = "((?:[^"]|"")*)"'
        rows = [(float(a), float(b), t.replace('""', '"')) for a, b, t in re.findall(pattern, part)]
        assert int(re.search(r"intervals: size = (\d+)", part)[1]) == len(rows)
        assert rows[0][0] == 0.0
        assert rows[-1][1] == total
        for (start, end, _), (following, _, _) in pairwise(rows):
            assert start < end == following  # neither gaps nor overlaps
        tiers[name] = rows
    return tiers


def test_phonemes_fill_their_words_and_lie_on_frames(speech):
    assert [w.text for w in speech.timings[:5]] == ["Doctor", "Smith", "paid", "five", "dollars"]
    symbols = [[p.symbol for p in w.phonemes] for w in speech.timings]
    assert symbols[1] == ["s", "m", "ˈɪ", "θ"]
    for sentence in speech.sentences:
        assert sum(frames for _, frames in sentence.tokens) == sentence.frames
        assert sentence.frame_seconds == pytest.approx(FRAME)
        for word in sentence.words:
            assert word.phonemes[0].start_seconds == word.start_seconds
            assert word.phonemes[-1].end_seconds == word.end_seconds
            edges = [p.start_seconds for p in word.phonemes] + [word.end_seconds]
            assert [p.end_seconds for p in word.phonemes] == edges[1:]
            frames = (np.array(edges) - sentence.start_seconds) / FRAME
            np.testing.assert_allclose(frames, np.rint(frames), atol=1e-6)


@pytest.mark.parametrize("blanks", [False, True])
def test_marks_belong_to_their_phones_where_tokens_are_characters(blanks):
    config = TextConfig(mode="characters", blanks=blanks, ends=False)
    encoded = Tokenizer(config).encode("Easy food.")
    spans = word_spans(encoded, config)
    assert [[symbol for symbol, _, _ in span.phones] for span in spans] == [["ˈiː", "z", "i"], ["f", "ˈuː", "d"]]
    for span in spans:  # every token of the word is in one phone
        assert [span.first, *(end for _, _, end in span.phones)] == [*(a for _, a, _ in span.phones), span.end]


def test_json_tells_words_phonemes_and_frames(speech, tmp_path):
    content = json.loads(speech.save_timings(tmp_path / "t.json").read_text())
    assert (content["model"], content["seed"], content["sample_rate"]) == ("toy", 1, 8000)
    assert [w["text"] for w in content["words"]] == [w.text for w in speech.timings]
    assert content["words"][1]["phonemes"][0]["symbol"] == "s"
    assert [s["number"] for s in content["sentences"]] == [0, 1, 2]
    for found, sentence in zip(content["sentences"], speech.sentences, strict=True):
        length = sum(frames for _, frames in found["durations"]) * found["frame_seconds"]
        assert found["end_seconds"] - found["start_seconds"] == pytest.approx(length, abs=2e-4)
        assert [tuple(pair) for pair in found["durations"]] == list(sentence.tokens)


def test_subtitles_show_the_written_text_in_two_short_lines(speech, tmp_path):
    shown = read_srt(speech.save_timings(tmp_path / "t.srt"))
    assert " ".join(text for _, _, text in shown).split() == TEXT.split()
    for (start, end, text), following in zip(shown, [*shown[1:], None], strict=True):
        assert start < end
        assert following is None or end <= following[0]
        assert len(text.split("\n")) <= 2
        assert all(len(line) <= 42 for line in text.split("\n"))
    words = speech.timings
    assert shown[0][0] == pytest.approx(words[0].start_seconds, abs=5.1e-4)
    assert shown[-1][1] == pytest.approx(words[-1].end_seconds, abs=5.1e-4)


def test_written_words_take_the_time_of_all_that_is_said_for_them(speech):
    times = {word.text: word for word in written_words(speech.sentences[0])}
    said = {word.text: word for word in speech.timings}
    assert times["$5 —"].start_seconds == said["five"].start_seconds
    assert times["$5 —"].end_seconds == said["dollars"].end_seconds
    assert (times["Smith"].start_seconds, times["Smith"].end_seconds) == (
        said["Smith"].start_seconds,
        said["Smith"].end_seconds,
    )
    assert times["Dr."].start_seconds == said["Doctor"].start_seconds


def timing(text: str, words: list[str]) -> SentenceTiming:
    """A sentence whose words are one token of ten frames of 0.1 s each."""
    spans = tuple(Span(word, i, i + 1, ((word, i, i + 1),)) for i, word in enumerate(words))
    return SentenceTiming(0, text, 0.0, 0.1, tuple((word, 10) for word in words), spans)


@pytest.mark.parametrize(
    ("text", "said", "expected"),
    [
        ("— So it goes.", "So it goes", [("— So", 0, 1), ("it", 1, 2), ("goes.", 2, 3)]),
        ("1990 was it", "nineteen ninety was it", [("1990", 0, 2), ("was", 2, 3), ("it", 3, 4)]),
        ("3 4", "three four", [("3", 0, 1), ("4", 1, 2)]),
        ("New York", "Newyork", [("New", 0, 1), ("York", 0, 1)]),
        ("Hm", "and so on", [("Hm", 0, 3)]),
        ("well then", "well then sir", [("well", 0, 1), ("then", 1, 3)]),
    ],
)
def test_alignment_of_what_is_written_with_what_is_said(text, said, expected):
    found = written_words(timing(text, said.split()))
    assert [(w.text, round(w.start_seconds), round(w.end_seconds)) for w in found] == expected


def test_lines_are_few_and_even_and_a_long_word_stands_alone():
    text = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    found = list(cues(timing(text, text.split())))
    lines = [" ".join(word.text for word in line) for cue in found for line in cue.lines]
    assert " ".join(lines) == text
    assert len(lines) == 3
    assert max(map(len, lines)) - min(map(len, lines)) < 12
    assert [len(cue.lines) for cue in found] == [2, 1]
    (only,) = cues(timing("a " + "x" * 60, ["a", "x" * 60]))
    assert [line[0].text for line in only.lines] == ["a", "x" * 60]


def test_vtt_stamps_each_word_and_escapes_markup(speech, tmp_path):
    shown = read_vtt(speech.save_timings(tmp_path / "t.vtt"))
    whole = "\n".join(text for _, _, text in shown)
    assert "&lt;b&gt;milk&lt;/b&gt;." in whole
    assert "tea" in whole
    assert "&amp;" in whole
    plain = re.sub(r"<[^>]*>", "", whole).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    assert plain.split() == TEXT.split()
    starts = {round(word.start_seconds, 3) for word in speech.timings}
    stamps = 0
    for start, end, text in shown:
        inside = [seconds(clock) for clock in re.findall(r"<(\d\d:\d\d:\d\d\.\d\d\d)>", text)]
        assert inside == sorted(set(inside))
        assert all(start < stamp < end for stamp in inside)
        assert all(min(abs(stamp - s) for s in starts) < 1.1e-3 for stamp in inside)
        stamps += len(inside)
    assert stamps >= 12


def test_textgrid_has_three_tiers_without_gaps(speech, tmp_path):
    tiers = read_textgrid(speech.save_timings(tmp_path / "t.TextGrid"))
    assert list(tiers) == ["sentences", "words", "phones"]
    said = [row for row in tiers["words"] if row[2]]
    assert [text for _, _, text in said] == [word.text for word in speech.timings]
    for (start, end, _), word in zip(said, speech.timings, strict=True):
        assert (start, end) == pytest.approx((word.start_seconds, word.end_seconds), abs=1e-6)
    assert [row[2] for row in tiers["phones"] if row[2]] == [p.symbol for w in speech.timings for p in w.phonemes]
    assert [row[2] for row in tiers["sentences"] if row[2]] == [s.text for s in speech.sentences]
    assert '"really"' in tiers["sentences"][1][2]
    assert tiers["words"][-1][1] == pytest.approx(speech.duration_seconds, abs=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_a_resumed_job_writes_the_timings_of_an_unbroken_one(voice, speech, tmp_path, form):
    def broken():
        yield from list(sentences(TEXT))[:2]
        raise KeyboardInterrupt

    whole, resumed, memory = (tmp_path / f"{name}.{form}" for name in ("whole", "resumed", "memory"))
    say.speak_to_file(voice, sentences(TEXT), tmp_path / "whole.wav", seed=1, timings=whole)
    with pytest.raises(KeyboardInterrupt):
        say.speak_to_file(voice, broken(), tmp_path / "resumed.wav", seed=1, timings=resumed)
    assert not resumed.exists()
    assert say.speak_to_file(voice, sentences(TEXT), tmp_path / "resumed.wav", seed=1, timings=resumed).resumed == 2
    assert resumed.read_bytes() == whole.read_bytes() == speech.save_timings(memory).read_bytes()


@pytest.mark.parametrize("name", ["t.txt", "t", "t.json.gz"])
def test_another_suffix_is_refused_before_any_work_and_the_four_are_named(voice, speech, tmp_path, name):
    four = r"use \.json, \.srt, \.vtt or \.TextGrid"
    with pytest.raises(BadInput, match=four):
        say.speak_to_file(voice, iter([None]), tmp_path / "t.wav", timings=tmp_path / name)
    with pytest.raises(BadInput, match=four):
        speech.save(tmp_path / "t.wav", timings=tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["toy"]
    check_timings_path(Path("T.TEXTGRID"))


@pytest.mark.parametrize("form", FORMS)
def test_timings_are_written_whole_or_not_at_all_and_in_bounded_memory(tmp_path, form):
    path = tmp_path / f"t.{form}"
    path.write_text("what was there")
    one = timing("A sentence of no great length.", ["A", "sentence", "of", "no", "great", "length"])

    def broken():
        yield one
        raise OSError(28, "No space left on device")

    header = TimingHeader("toy", 1, 8000, 60_000.0)
    with pytest.raises(MoksoriError, match="no space left on device"):
        write_timings(path, broken, header)
    assert path.read_text() == "what was there"
    assert len(list(tmp_path.iterdir())) == 1
    tracemalloc.start()
    write_timings(path, lambda: (timing(one.text, one.text.split()).shifted(6.0 * n) for n in range(200)), header)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200_000  # all of them at once would be 600,000
    assert path.read_text().count("length") >= 200
