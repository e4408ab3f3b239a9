"""Subtitles, and the track that keeps their times."""

import numpy as np
import pytest

from moksori.audio.io import read
from moksori.cli.main import main
from moksori.errors import BadInput, TextError
from moksori.pipeline import dub, say
from moksori.pipeline.subtitles import read_subtitles

SRT = """\ufeff1
00:00:00,500 --> 00:00:02,000
<i>Hello</i> there,
my &amp; friend.

2
00:00:02,500 --> 00:00:02,700
[door] This one has far too many words for the little time that it was given here.

3
00:00:03,100 --> 00:00:04,000 X1:10
- Fits?

4
00:00:09,000 --> 00:00:10,000
[music] ♪
"""
VTT = """WEBVTT

NOTE a comment

00:01.000 --> 00:02.000 align:start
<v Ann>Hello.

1
00:00.100 --> 00:00.900
First.
"""


@pytest.fixture
def cues(tmp_path):
    def of(text, name="a.srt"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return read_subtitles(tmp_path / name)

    return of


def test_subrip(cues):
    assert [(c.start_seconds, c.end_seconds, c.text, c.line) for c in cues(SRT)] == [
        (0.5, 2.0, "Hello there, my & friend.", 2),
        (2.5, 2.7, "This one has far too many words for the little time that it was given here.", 7),
        (3.1, 4.0, "Fits?", 11),
    ]


def test_webvtt(cues):
    assert [(c.start_seconds, c.text) for c in cues(VTT, "a.vtt")] == [(0.1, "First."), (1.0, "Hello.")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hello", "no cue"),
        ("00:00:01 --> x\nHi", ":1:"),
        ("\n00:02.000 --> 00:01.000\nHi", ":2:.*before"),
        ("", "empty"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(cues, text, said):
    with pytest.raises(TextError, match=said):
        cues(text)


@pytest.fixture
def dubber(toy_folder, cues):
    return lambda text=SRT, fastest=1.5: dub.Dubber(say.load(toy_folder), cues(text), fastest)


def heard(samples: np.ndarray) -> list[tuple[float, float]]:
    """Stretches of sound in seconds, at 8 kHz."""
    loud = np.flatnonzero(np.abs(samples) > 0.0)
    breaks = np.flatnonzero(np.diff(loud) > 200)
    starts, ends = [loud[0], *loud[breaks + 1]], [*loud[breaks], loud[-1]]
    return [(start / 8000, end / 8000) for start, end in zip(starts, ends, strict=True)]


def test_cues_are_heard_when_they_are_shown(dubber, tmp_path):
    made = dubber()
    done = dub.dub_to_file(made, tmp_path / "t.wav", seed=1, timings=tmp_path / "t.srt")
    samples = read(tmp_path / "t.wav").samples
    stretches = heard(samples)
    assert len(stretches) == 3
    assert stretches[0][0] == pytest.approx(0.5, abs=0.01)
    assert stretches[1][0] == pytest.approx(2.5, abs=0.01)
    # The second cue is too long even at the fastest, and the third waits for it.
    length = stretches[1][1] - stretches[1][0]
    assert [trouble.cue.line for trouble in done.troubles] == [7, 11]
    assert done.troubles[0].over_seconds == pytest.approx(length - made.rooms[1], abs=0.01)
    assert stretches[2][0] == pytest.approx(stretches[1][1] + dub.BREATH_SECONDS, abs=0.02)
    assert done.duration_seconds >= 4.0
    assert "00:00:00,5" in (tmp_path / "t.srt").read_text(encoding="utf-8")


def test_faster_where_that_is_enough(dubber, tmp_path):
    words = "These are the words of the first cue, and some more that take a while."
    text = "1\n00:00:01,000 --> 00:00:{}\n" + words + "\n\n2\n00:00:04,000 --> 00:00:05,000\nNext.\n"
    free = dubber(text.format("03,000"))
    usual = heard_first(free, tmp_path / "a.wav")
    room = 0.8 * usual
    end = 1.0 + room - dub.OVERTIME_SECONDS
    tight = dubber(text.format(f"{end:06.3f}".replace(".", ",")))
    assert heard_first(tight, tmp_path / "b.wav") <= room + 0.005
    with pytest.raises(BadInput, match="fastest"):
        dubber(fastest=9.0)


def heard_first(dubber, path):
    assert not dub.dub_to_file(dubber, path, seed=1).troubles
    start, end = heard(read(path).samples)[0]
    return end - start


def test_an_interrupted_track_goes_on_with_the_same_bytes(dubber, tmp_path):
    dub.dub_to_file(dubber(), tmp_path / "whole.wav", seed=4)
    made = dubber()

    def stop(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dub.dub_to_file(made, tmp_path / "t.wav", seed=4, progress=stop)
    assert not (tmp_path / "t.wav").exists()
    assert dub.dub_to_file(dubber(), tmp_path / "t.wav").resumed == 2
    assert (tmp_path / "t.wav").read_bytes() == (tmp_path / "whole.wav").read_bytes()
    assert sorted(path.name for path in tmp_path.glob("t.*")) == ["t.wav"]


def test_moved_cues_are_fitted_anew(dubber):
    assert dubber().identity != dubber(SRT.replace("02,500", "02,600")).identity


def test_the_verb(toy_home, tmp_path, capsys):
    (tmp_path / "s.srt").write_text(SRT, encoding="utf-8")
    assert main(["dub", str(tmp_path / "s.srt"), "-o", str(tmp_path / "t.flac"), "--seed", "1"]) == 0
    told = capsys.readouterr()
    assert "of 3 cues in time" in told.out
    assert "s.srt:7:" in told.err
    assert main(["dub", str(tmp_path / "s.srt")]) == 2
    assert main(["dub", str(tmp_path / "none.srt"), "-o", str(tmp_path / "x.wav")]) == 2
