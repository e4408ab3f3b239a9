"""Made-up melodies: keys and names, what is drawn, and the pitch curve of who sings it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moksori.corpus.melody import (
    Key,
    Note,
    SingingStyle,
    draw_melody,
    hertz,
    midi,
    note_name,
    note_pitch,
    pitch_curve,
    singing_style,
)
from moksori.errors import BadInput

PLAIN = SingingStyle(Key(0), 57, 72, vibrato_cents=0.0, portamento_seconds=0.06)
TIMES = np.arange(400) * 0.005
TWO = (Note(0.2, 1.0, 60), Note(1.0, 2.0, 64))


def cents_from(curve, pitch):
    return 1200 * np.log2(curve / hertz(pitch))


def test_notes_have_the_names_that_singers_use():
    assert note_pitch("A4") == 69
    assert note_pitch("C4") == 60
    assert note_pitch("Bb2") == note_pitch("A#2") == note_pitch("as2") == 46
    assert all(note_pitch(note_name(pitch)) == pitch for pitch in range(12, 109))
    assert hertz(69) == 440.0
    assert midi(hertz(50.5)) == pytest.approx(50.5)


@pytest.mark.parametrize("name", ["", "H3", "A", "A##3", "3A"])
def test_what_is_no_note_is_refused(name):
    with pytest.raises(BadInput, match="expected a letter"):
        note_pitch(name)


@pytest.mark.parametrize(
    ("text", "name"),
    [("G", "G major"), ("Bb minor", "A# minor"), ("f#m", "F# minor"), ("C maj", "C major"), ("cb", "B major")],
)
def test_keys_are_read_as_they_are_written(text, name):
    assert Key.parse(text).name == name
    assert Key.parse(Key.parse(text).name) == Key.parse(text)


def test_what_is_no_key_is_refused():
    with pytest.raises(BadInput, match="'Q dur'"):
        Key.parse("Q dur")


def test_related_keys_share_all_notes_but_one():
    for key in (Key(0), Key(9, "minor")):
        own = {pitch % 12 for pitch in key.pitches(60, 71)}
        for related in key.related:
            assert len(own & {pitch % 12 for pitch in related.pitches(60, 71)}) >= 6


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32), tonic=st.integers(0, 11), mode=st.sampled_from(["major", "minor"]),
    low=st.integers(40, 60), width=st.integers(12, 17), stressed=st.lists(st.booleans(), min_size=1, max_size=30),
)  # fmt: skip
def test_a_melody_stays_in_its_key_and_range_and_comes_home(seed, tonic, mode, low, width, stressed):
    key = Key(tonic, mode)
    melody = draw_melody(stressed, key, low, low + width, np.random.default_rng(seed))
    assert len(melody) == len(stressed)
    pitches = [pitch for sung in melody for pitch in sung.pitches]
    assert set(pitches) <= set(key.pitches(low, low + width))
    if len(stressed) > 1:
        assert (melody[-1].pitches[-1] - tonic) % 12 in (0, 3, 4, 7)
    assert melody[-1].beats[-1] >= 2.0
    assert all(sum(sung.beats) >= 1.0 for sung, stress in zip(melody, stressed, strict=True) if stress)
    assert all(len(sung.beats) == len(sung.pitches) for sung in melody)


def test_melodies_use_the_whole_range_and_go_mostly_by_steps():
    melodies = [draw_melody([False] * 20, Key(0), 55, 71, np.random.default_rng(seed)) for seed in range(40)]
    pitches = [[pitch for sung in melody for pitch in sung.pitches] for melody in melodies]
    together = np.concatenate(pitches)
    assert set(together.tolist()) == set(Key(0).pitches(55, 71))
    moves = np.abs(np.concatenate([np.diff(one) for one in pitches]))
    assert 0.5 < (moves <= 2).mean() < 0.95
    assert moves.max() <= 12


def test_a_range_of_few_notes_is_refused():
    with pytest.raises(BadInput, match="C4-F4"):
        draw_melody([True], Key(0), 60, 65, np.random.default_rng(0))


def test_the_curve_lies_on_its_notes_and_changes_half_way_where_they_begin():
    curve = pitch_curve(TWO, TIMES, PLAIN, np.random.default_rng(0))
    assert np.abs(cents_from(curve[(TIMES > 0.45) & (TIMES < 0.9)], 60)).max() < 20
    assert np.abs(cents_from(curve[(TIMES > 1.2) & (TIMES < 1.9)], 64)).max() < 20
    assert 100 < cents_from(curve[np.searchsorted(TIMES, 1.0)], 60) < 300
    overshoot = cents_from(curve[(TIMES > 1.0) & (TIMES < 1.2)], 64).max()
    assert 20 < overshoot < 100


def test_a_slower_portamento_takes_longer():
    def rise(seconds):
        curve = pitch_curve(TWO, TIMES, replace(PLAIN, portamento_seconds=seconds), np.random.default_rng(0))
        way = cents_from(curve, 60) / 400
        return TIMES[np.argmax(way > 0.9)] - TIMES[np.argmax(way > 0.1)]

    assert rise(0.06) == pytest.approx(0.06, abs=0.02)
    assert rise(0.12) == pytest.approx(0.12, abs=0.02)


def test_long_notes_have_the_vibrato_of_the_style_and_short_ones_none():
    style = replace(PLAIN, vibrato_cents=50.0, vibrato_hz=6.0)
    long = pitch_curve((Note(0.0, 2.0, 60),), TIMES, style, np.random.default_rng(1))
    steady = cents_from(long[(TIMES > 0.6) & (TIMES < 1.8)], 60)
    assert 25 < steady.max() < 70
    spectrum = np.abs(np.fft.rfft(steady - steady.mean(), 4096))
    assert np.fft.rfftfreq(4096, 0.005)[spectrum.argmax()] == pytest.approx(6.0, rel=0.08)
    short = pitch_curve((Note(0.0, 0.45, 60),), TIMES[:90], style, np.random.default_rng(1))
    assert np.abs(cents_from(short[40:], 60)).max() < 20


def test_the_same_draw_gives_the_same_curve():
    first, again, other = (pitch_curve(TWO, TIMES, PLAIN, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert len(pitch_curve(TWO, TIMES[:0], PLAIN, np.random.default_rng(0))) == 0


def test_a_style_is_around_the_speaking_voice():
    style = singing_style(220.0, np.random.default_rng(0))
    assert (style.low, style.high) == (55, 71)
    assert 5.0 <= style.vibrato_hz <= 6.2
