"""Speech made to sing: the pitch that comes out, how long what lasts, and whose voice it is."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("pyworld")

from moksori.audio.f0 import extract_f0
from moksori.audio.world import PERIOD_SECONDS, analyse_world, synthesise_world
from moksori.corpus.melody import Key, SingingStyle, hertz
from moksori.corpus.speech_to_singing import Syllable, find_syllables, sing
from moksori.errors import AudioError
from moksori.types import Waveform

RATE = 16000
STYLE = SingingStyle(Key(0), 50, 67, vibrato_cents=30.0, tempo=(90.0, 110.0))
VOWEL, CONSONANT, SILENCE = 0.16, 0.09, 0.06
FORMANTS = (620.0, 1300.0)


def read(vowels: int) -> tuple[Waveform, list[str], np.ndarray]:
    """ "Speech": s a s a s a ... at 110 Hz, between two silences, with its phones and their frames of 10 ms."""
    draw = np.random.default_rng(5)
    phones = ["^", *["s", "a"] * vowels, "$"]
    seconds = {"^": SILENCE, "$": SILENCE, "s": CONSONANT, "a": VOWEL}
    parts = []
    for phone in phones:
        count = round(seconds[phone] * RATE)
        if phone == "a":
            time = np.arange(count) / RATE
            hertz_ = 110.0 * np.arange(1, 37)
            strength = sum(np.exp(-(((hertz_ - place) / 180) ** 2)) for place in FORMANTS) + 0.03
            voice = (strength[:, None] * np.cos(2 * np.pi * hertz_[:, None] * time)).sum(axis=0)
            parts.append(0.05 * voice * np.minimum(1, np.minimum(time, time[::-1]) / 0.005 + 0.2))
        else:
            parts.append((0.03 if phone == "s" else 1e-4) * draw.standard_normal(count))
    frames = np.array([round(seconds[phone] * 100) for phone in phones])
    return Waveform(np.concatenate(parts).astype(np.float32), RATE), phones, frames


@pytest.fixture(scope="module")
def material():
    speech, phones, durations = read(8)
    frames = analyse_world(speech)
    return frames, find_syllables(phones, [0] * len(phones), durations, 0.01, frames.f0)


def test_world_takes_apart_and_puts_together():
    speech, _, _ = read(4)
    frames = analyse_world(speech)
    assert len(frames.f0) == pytest.approx(speech.duration_seconds / PERIOD_SECONDS, abs=1)
    assert np.median(frames.f0[frames.f0 > 0]) == pytest.approx(110.0, rel=0.01)
    again = synthesise_world(frames)
    assert len(again.samples) == len(frames.f0) * 80
    assert np.median(extract_f0(again, 80)[extract_f0(again, 80) > 0]) == pytest.approx(110.0, rel=0.01)
    with pytest.raises(AudioError, match="less than a frame"):
        analyse_world(Waveform(np.zeros(10, np.float32), RATE))


def test_syllables_are_the_voiced_parts_of_vowels():
    f0 = np.zeros(320)
    f0[30:60] = 100.0  # within the first vowel, and a little of the consonant before it
    phones, durations = ["s", "a", "t", "i", "n", "u"], np.array([10, 15, 5, 20, 20, 10])
    f0[290:320] = 120.0
    found = find_syllables(phones, [0, 1, 0, 0, 0, 2], durations, 0.02, f0)
    assert [syllable.phone for syllable in found] == ["a", "u"]  # the i, from 0.6 to 1 s, has no voice
    first, last = found
    assert (first.start_seconds, first.end_seconds) == pytest.approx((0.2, 0.3))
    assert first.stressed
    assert not last.stressed
    assert (last.start_seconds, last.end_seconds) == pytest.approx((1.45, 1.6))


def test_all_vowels_of_clear_speech_are_found(material):
    _, syllables = material
    assert len(syllables) == 8
    for number, syllable in enumerate(syllables):
        begin = SILENCE + CONSONANT + number * (VOWEL + CONSONANT)
        assert syllable.start_seconds == pytest.approx(begin, abs=0.02)
        assert syllable.end_seconds == pytest.approx(begin + VOWEL, abs=0.02)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_pitch_that_is_heard_is_the_melodys(material, seed):
    song = sing(*material, STYLE, np.random.default_rng(seed))
    heard = extract_f0(song.waveform, 80, 60.0, 1000.0, method="harvest")
    heard, asked = heard[: len(song.f0)], song.f0[: len(heard)]
    both = (heard > 0) & (asked > 0)
    assert both.sum() > 0.9 * (asked > 0).sum()
    cents = 1200 * np.log2(heard[both] / asked[both])
    assert np.median(np.abs(cents)) < 10
    assert (np.abs(cents) < 50).mean() > 0.93
    times = (np.arange(len(heard)) + 0.5) * 0.005
    for note in song.notes:
        steady = (times > note.start_seconds + 0.12) & (times < min(note.end_seconds, note.start_seconds + 0.6))
        pitch = heard[steady & both]
        if len(pitch) >= 20:
            assert abs(1200 * np.log2(np.median(pitch) / hertz(note.pitch))) < 35, note


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_notes_last_whole_half_beats_and_the_song_as_long_as_they_do(material, seed):
    frames, syllables = material
    song = sing(frames, syllables, STYLE, np.random.default_rng(seed))
    assert all(one.end_seconds == pytest.approx(two.start_seconds, abs=1e-3) for one, two in pairwise(song.notes))
    begin = syllables[0].start_seconds
    assert song.notes[0].start_seconds == pytest.approx(begin, abs=1e-3)
    quarter = 15.0 / song.tempo  # half a beat, sung on two notes
    for note in song.notes:
        beats = (note.start_seconds - begin) / quarter
        assert beats == pytest.approx(round(beats), abs=0.02)
    tail = len(frames.f0) * PERIOD_SECONDS - syllables[-1].end_seconds
    assert song.waveform.duration_seconds == pytest.approx(song.notes[-1].end_seconds + tail, abs=0.006)
    assert 90.0 <= song.tempo <= 110.0


def test_consonants_keep_their_length_and_vowels_fill_the_notes(material):
    frames, syllables = material
    song = sing(frames, syllables, STYLE, np.random.default_rng(3))
    edges = np.flatnonzero(np.diff(np.concatenate([[0], (song.f0 > 0).astype(int), [0]])))
    starts, ends = edges[::2] * 0.005, edges[1::2] * 0.005
    assert len(starts) == len(syllables)
    between = [two.start_seconds - one.end_seconds for one, two in pairwise(syllables)]
    assert (starts[1:] - ends[:-1]) == pytest.approx(np.array(between), abs=0.02)
    sung, read_ = (ends - starts).sum(), sum(s.end_seconds - s.start_seconds for s in syllables)
    assert sung > 2 * read_


def test_the_voice_stays(material):
    frames, syllables = material
    song = sing(frames, syllables, STYLE, np.random.default_rng(1))
    sung = analyse_world(song.waveform, 60.0, 1000.0)
    spoken, heard = (np.log(f.envelope[f.f0 > 0]).mean(axis=0)[10:200] for f in (frames, sung))
    assert np.corrcoef(spoken, heard)[0, 1] > 0.9


def test_one_draw_one_song(material):
    first, again, other = (sing(*material, STYLE, np.random.default_rng(seed)) for seed in (7, 7, 8))
    assert np.array_equal(first.waveform.samples, again.waveform.samples)
    assert first.notes == again.notes
    assert first.notes != other.notes


def test_what_cannot_be_sung_is_none(material):
    frames, syllables = material
    assert sing(frames, [], STYLE, np.random.default_rng(0)) is None
    slow = replace(STYLE, tempo=(40.0, 41.0))
    assert sing(frames, syllables, slow, np.random.default_rng(0), longest_seconds=2.0) is None


def test_a_song_that_would_be_too_long_is_sung_faster(material):
    frames, syllables = material
    slow = replace(STYLE, tempo=(60.0, 120.0))
    free = sing(frames, syllables, slow, np.random.default_rng(0))
    pressed = sing(frames, syllables, slow, np.random.default_rng(0), free.waveform.duration_seconds - 0.2)
    assert pressed.tempo == 120.0 > free.tempo
    assert pressed.waveform.duration_seconds < free.waveform.duration_seconds


def test_loud_and_soft_syllables_come_nearer(material):
    frames, syllables = material
    soft = frames.envelope.copy()
    first, stop = (round(t / PERIOD_SECONDS) for t in (syllables[3].start_seconds, syllables[3].end_seconds))
    soft[first:stop] /= 10.0  # 10 dB
    plain, levelled = (
        sing(replace(frames, envelope=envelope), syllables, STYLE, np.random.default_rng(1))
        for envelope in (frames.envelope, soft)
    )
    note = next(n for n in plain.notes if n.start_seconds >= plain.notes[3].start_seconds)
    at = slice(round((note.start_seconds + 0.05) * RATE), round((note.start_seconds + 0.2) * RATE))
    lost = 20 * np.log10(plain.waveform.samples[at].std() / levelled.waveform.samples[at].std())
    assert 3.0 < lost < 7.5


def test_a_diphthong_on_two_notes_is_one_syllable(material):
    """A syllable without a consonant after it goes straight into the next."""
    frames, _ = material
    first = SILENCE + CONSONANT
    halves = [Syllable(first + 0.01, first + 0.08, "a"), Syllable(first + 0.08, first + 0.15, "i")]
    song = sing(frames, halves, STYLE, np.random.default_rng(2))
    voiced = song.f0[round(song.notes[0].start_seconds / 0.005) + 1 : round(song.notes[-1].start_seconds / 0.005)]
    assert (voiced > 0).all()
