"""Songs that a model should not be given without a word: several pitches at once, no pitch, one beyond all it knows."""

import numpy as np
import pytest

pytest.importorskip("pyworld")

from moksori.models.checkpoint import read_manifest
from moksori.pipeline.models import find_model
from moksori.pipeline.recordings import open_recording
from moksori.pipeline.song_likeness import heard_pitch, song_remarks
from moksori.types import Waveform

RATE = 16000
LEARNT = {"ann": (float(np.log(220.0)), 0.2), "bob": (float(np.log(130.0)), 0.2)}
"""80 to 363 Hz."""


def sung(semitones, base=220.0, seconds=3.0, seed=0):
    """A melody of 0.5 s a note with vibrato, harmonics under 4 kHz."""
    time = np.arange(round(seconds * RATE)) / RATE
    notes = base * 2.0 ** (np.asarray(semitones)[(time / 0.5).astype(int) % len(semitones)] / 12.0)
    phase = 2 * np.pi * np.cumsum(notes * (1 + 0.01 * np.sin(2 * np.pi * 5.5 * time + seed))) / RATE
    count = int(4000 / (base * 2))
    return 0.1 * sum(np.sin(k * phase + seed) / k for k in range(1, count + 1))


def remarks(samples, learnt=LEARNT):
    noise = np.random.default_rng(3).normal(0, 1e-4, len(samples))
    recording = open_recording(Waveform((samples + noise).astype(np.float32), RATE), RATE)
    return song_remarks(recording, learnt)


ALONE = sung([0, 2, 4, 5, 4, 0])
SECOND = sung([7, 5, 9, 10, 0, 4], seed=2)
THIRD = sung([4, 11, 0, 2, 9, 7], base=277.2, seed=5)


def test_one_voice_at_a_known_height_needs_no_remark():
    assert heard_pitch(ALONE, RATE).agreement > 0.9
    assert remarks(ALONE) == []
    assert remarks(ALONE, {}) == []


@pytest.mark.parametrize("others", [[SECOND], [SECOND, THIRD]])
def test_several_voices_are_told(others):
    (remark,) = remarks(ALONE + sum(others))
    assert "several voices" in remark


def test_accompaniment_is_told():
    draw = np.random.default_rng(0)
    band = sum(sung([s], base=110.0 * 2 ** (s / 12.0), seed=s) for s in (0, 4, 7)) + draw.normal(0, 0.03, len(ALONE))
    (remark,) = remarks(ALONE + band)
    assert "several voices" in remark


def test_noise_has_no_pitch():
    (remark,) = remarks(np.random.default_rng(0).normal(0, 0.1, 3 * RATE))
    assert "noise" in remark


def test_a_song_beyond_every_trained_pitch_is_told_with_notes():
    (high,) = remarks(sung([0, 2, 4], base=523.25))
    assert "above everything that the model has heard" in high
    assert "E2 (82 Hz) to F#4 (370 Hz)" in high or "D#2" in high
    assert "D5 (587 Hz)" in high
    (low,) = remarks(sung([0, 2], base=220.0), {"ann": (float(np.log(500.0)), 0.1)})
    assert "below" in low
    # A few high notes are no reason to speak.
    assert remarks(sung([0, 2, 4, 5, 4, 12], base=220.0)) == []


NINE = read_manifest(find_model("nine-singers")).speaker_pitch
"""55.6 to 741 Hz."""


@pytest.mark.parametrize(
    ("hertz", "side"),
    [(45.0, "below"), (62.0, None), (220.0, None), (700.0, None), (1100.0, "above"), (1400.0, "above")],
)
def test_a_tone_lower_or_higher_than_the_bundled_singers_is_told(hertz, side):
    """The lowest of them reaches to 55.6 Hz and the highest to 741 Hz: the look must reach further on both sides."""
    found = remarks(0.1 * sum(sung_tone(hertz, k) for k in range(1, int(4000 / hertz) + 1)), NINE)
    if side is None:
        assert found == []
    else:
        (remark,) = found
        assert f"100% of it lies {side} everything that the model has heard (A1 (55 Hz) to F#5 (740 Hz))" in remark


def sung_tone(hertz, number):
    return np.sin(2 * np.pi * number * hertz * np.arange(3 * RATE) / RATE) / number


def test_noise_has_no_pitch_further_out_either():
    (remark,) = remarks(np.random.default_rng(0).normal(0, 0.1, 3 * RATE), NINE)
    assert "noise" in remark


@pytest.mark.data
def test_plain_speech_lies_where_the_bundled_singers_do(recordings):
    for name in ("kathleen/kathleen_a0001.flac", "flemishguy/nl_rhasspy_1000_1601817815.ogg"):
        found = song_remarks(open_recording(recordings / name, RATE), NINE)
        assert not any("everything that the model has heard" in remark for remark in found)


@pytest.mark.data
@pytest.mark.parametrize("name", ["nit_f001_007", "martin_note_D2", "martin_note_A3"])
def test_real_singing_alone_passes(recordings, name):
    recording = open_recording(recordings / "singing" / f"{name}.flac", RATE)
    assert song_remarks(recording, {}) == []


@pytest.mark.data
@pytest.mark.parametrize("name", ["fs_carnatic", "brahms_hungarian_dance_5"])
def test_real_music_does_not(recordings, name):
    (path,) = (recordings / "noise-music").glob(f"{name}.*")
    assert song_remarks(open_recording(path, RATE), {})
