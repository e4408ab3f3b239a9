"""Made-up melodies: notes in a key and range, and the pitch curve of a singer who sings them.

The curve follows Saitou et al. 2007 (Speech-to-singing synthesis, WASPAA): notes are steps that pass through a damped
second-order system, which rounds the transition and overshoots a little; vibrato and a fine fluctuation come on top.
Pitches are MIDI numbers: 69 is A4, 440 Hz; a unit is a semitone.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from moksori.errors import BadInput

NOTE_NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
_STEPS = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
_LETTERS = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}
_ACCIDENTALS = {"": 0, "#": 1, "s": 1, "♯": 1, "b": -1, "♭": -1}
_INTERVALS = (0, 1, -1, 2, -2, 3, -3, 4, -4)
_INTERVAL_WEIGHTS = (0.16, 0.24, 0.24, 0.10, 0.10, 0.05, 0.05, 0.03, 0.03)
"""Most melodies move by steps; of leaps the small ones are the frequent ones."""
_BEATS = (0.5, 1.0, 1.5, 2.0, 3.0)
_BEAT_WEIGHTS = (0.36, 0.38, 0.10, 0.12, 0.04)
_MELISMA = 0.08
"""Share of the syllables of a beat or more that are sung on two notes."""
_DAMPING = 0.5422  # Saitou et al. 2007, of the overshoot
_VIBRATO_FROM, _VIBRATO_DELAY, _VIBRATO_RISE = 0.5, 0.25, 0.25
"""Seconds: notes shorter than the first have none; it begins after the second and is full after the third."""
_FLUCTUATION_CENTS, _FLUCTUATION_HZ = 4.0, 10.0
_STEP_SECONDS = 0.001
"""Of the integration of the second-order system."""


@dataclass(frozen=True)
class Key:
    """tonic: 0 is C, 11 is B. mode: "major" or "minor"."""

    tonic: int
    mode: str = "major"

    @classmethod
    def parse(cls, text: str) -> "Key":
        """The key of "G", "G major", "Bb minor", "F#m"; raises BadInput for anything else."""
        found = re.fullmatch(r"([A-Ga-g])(#|s|♯|b|♭)?\s*(major|minor|maj|min|m)?", text.strip())
        if found is None:
            raise BadInput(f"key {text!r}: expected a note and major or minor, such as 'G', 'Bb minor' or 'F#m'")
        letter, accidental, mode = found.groups()
        minor = mode in ("minor", "min", "m")
        return cls((_LETTERS[letter.lower()] + _ACCIDENTALS[accidental or ""]) % 12, "minor" if minor else "major")

    @property
    def name(self) -> str:
        return f"{NOTE_NAMES[self.tonic]} {self.mode}"

    @property
    def related(self) -> tuple["Key", ...]:
        """The keys a fifth above and below, and the relative one: those that a song may be in without leaving home."""
        relative = Key((self.tonic + 9) % 12, "minor") if self.mode == "major" else Key((self.tonic + 3) % 12)
        return Key((self.tonic + 7) % 12, self.mode), Key((self.tonic + 5) % 12, self.mode), relative

    def pitches(self, low: int, high: int) -> list[int]:
        """The notes of the scale from `low` to `high`, both included."""
        return [pitch for pitch in range(low, high + 1) if (pitch - self.tonic) % 12 in _STEPS[self.mode]]


@dataclass(frozen=True)
class SingingStyle:
    """How somebody sings. low, high: the range. vibrato_cents: its amplitude, from the middle to the top.

    portamento_seconds: from 10 to 90 % of the way from a note to the next. tempo: beats a minute, from and to.
    """

    key: Key
    low: int
    high: int
    vibrato_hz: float = 5.5
    vibrato_cents: float = 40.0
    portamento_seconds: float = 0.06
    tempo: tuple[float, float] = (76.0, 126.0)


@dataclass(frozen=True)
class SyllableNotes:
    """What one syllable is sung on: a note or two, with their lengths in beats."""

    pitches: tuple[int, ...]
    beats: tuple[float, ...]


@dataclass(frozen=True)
class Note:
    """A note in seconds of the song, until the next begins; pitch as a MIDI number. text: the phones sung on it."""

    start_seconds: float
    end_seconds: float
    pitch: int
    text: str = ""


def note_pitch(name: str) -> int:
    """The MIDI number of a note such as A3, F#4 or Bb2 (C4 is 60); raises BadInput for anything else."""
    found = re.fullmatch(r"([A-Ga-g])(#|s|♯|b|♭)?(-?\d)", name.strip())
    if found is None:
        raise BadInput(f"note {name!r}: expected a letter, perhaps # or b, and an octave, such as 'A3' or 'F#4'")
    letter, accidental, octave = found.groups()
    return 12 * (int(octave) + 1) + _LETTERS[letter.lower()] + _ACCIDENTALS[accidental or ""]


def note_name(pitch: int) -> str:
    """The name of a MIDI number, with sharps: 61 is C#4."""
    return f"{NOTE_NAMES[pitch % 12]}{pitch // 12 - 1}"


def hertz(pitch: float) -> float:
    """The frequency of a MIDI number in equal temperament, A4 at 440 Hz."""
    return float(440.0 * 2.0 ** ((pitch - 69.0) / 12.0))


def midi(frequency_hz: float) -> float:
    """The MIDI number of a frequency, with fractions."""
    return 69.0 + 12.0 * math.log2(frequency_hz / 440.0)


def singing_style(median_hz: float, draw: np.random.Generator) -> SingingStyle:
    """A style for a voice that speaks at `median_hz`: two semitones below it to fourteen above, all else drawn."""
    middle = round(midi(median_hz))
    return SingingStyle(
        key=Key(int(draw.integers(12)), "major" if draw.random() < 0.7 else "minor"),
        low=middle - 2,
        high=middle + 14,
        vibrato_hz=round(float(draw.uniform(5.0, 6.2)), 2),
        vibrato_cents=round(float(draw.uniform(25.0, 55.0)), 1),
        portamento_seconds=round(float(draw.uniform(0.045, 0.1)), 3),
    )


def draw_melody(
    stressed: Sequence[bool], key: Key, low: int, high: int, draw: np.random.Generator
) -> list[SyllableNotes]:
    """Notes for the syllables of one phrase: mostly steps of the scale, ending on the tonic's chord.

    stressed: for each syllable whether it is; such a one lasts a beat or more. low, high: the range, MIDI numbers.
    Raises BadInput for a range of less than five notes of the scale.
    """
    scale = key.pitches(low, high)
    if len(scale) < 5:
        raise BadInput(f"range {note_name(low)}-{note_name(high)}: holds {len(scale)} notes of {key.name}, take wider")
    chord = [place for place, pitch in enumerate(scale) if (pitch - key.tonic) % 12 in (0, 3, 4, 7)]
    centre = draw.uniform(0.25, 0.75) * (len(scale) - 1)  # songs lie high or low in a voice
    place = min(chord, key=lambda p: abs(p - centre))
    found, last = [], 0
    for index, stress in enumerate(stressed):
        final = index == len(stressed) - 1
        if index:
            last = _move(place, last, centre, len(scale), draw)
            place += last
        if final and len(stressed) > 1:
            place = min(chord, key=lambda p: (abs(p - place), scale[p]))
        beats = float(draw.choice([2.0, 3.0]) if final else draw.choice(_BEATS, p=_BEAT_WEIGHTS))
        beats = max(beats, 1.0) if stress else beats
        if beats >= 1.0 and not final and draw.random() < _MELISMA:
            other = place + (1 if place == 0 or (place < len(scale) - 1 and draw.random() < 0.5) else -1)
            found.append(SyllableNotes((scale[place], scale[other]), (beats / 2, beats / 2)))
            place = other
        else:
            found.append(SyllableNotes((scale[place],), (beats,)))
    return found


def pitch_curve(
    notes: Sequence[Note], times: Float[np.ndarray, " frames"], style: SingingStyle, draw: np.random.Generator
) -> Float[np.ndarray, " frames"]:
    """The F0 in Hz at `times` (seconds, evenly spaced) of somebody who sings `notes`.

    A transition is half done where its note begins; the first note is approached from up to a semitone below, and the
    last one holds on. The steady part of a note lies on its pitch, up to vibrato and a fine fluctuation.
    """
    if not len(times):
        return np.zeros(0)
    grid = np.arange(0.0, float(times[-1]) + 2 * _STEP_SECONDS, _STEP_SECONDS)
    # Rise time and delay of the system for a step (10 to 90 %, and to a half), in units of 1 / omega.
    omega = (1.0 - 0.4167 * _DAMPING + 2.917 * _DAMPING**2) / style.portamento_seconds
    delay = (1.0 + 0.7 * _DAMPING) / omega
    starts = np.array([note.start_seconds for note in notes]) - delay
    place = np.maximum(np.searchsorted(starts, grid, side="right") - 1, 0)
    wanted = np.array([float(note.pitch) for note in notes])[place]
    curve = _damped(wanted, omega, float(wanted[0]) - float(draw.uniform(0.0, 1.0)), notes[0].start_seconds - delay)
    curve += _vibrato(notes, grid, style, draw) + _fluctuation(len(grid), draw)
    found: Float[np.ndarray, " frames"] = 440.0 * 2.0 ** ((np.interp(times, grid, curve) - 69.0) / 12.0)
    return found


def _move(place: int, last: int, centre: float, count: int, draw: np.random.Generator) -> int:
    """The next interval in notes of the scale: rather back to the middle, and after a leap rather back."""
    weights = np.array(_INTERVAL_WEIGHTS)
    for index, interval in enumerate(_INTERVALS):
        target = place + interval
        if not 0 <= target < count:
            weights[index] = 0.0
            continue
        weights[index] *= math.exp(-((target - centre) ** 2 - (place - centre) ** 2) / 18.0)
        if abs(last) >= 3 and interval * last > 0:
            weights[index] *= 0.2
    return int(draw.choice(_INTERVALS, p=weights / weights.sum()))


def _damped(wanted: Float[np.ndarray, " n"], omega: float, first: float, begin: float) -> Float[np.ndarray, " n"]:
    """The response of x'' = omega² · (wanted - x) - 2 · damping · omega · x', at rest on `first` until `begin`."""
    step, value, speed = _STEP_SECONDS, first, 0.0
    found = np.empty(len(wanted))
    for index, target in enumerate(wanted.tolist()):
        if index * step >= begin:
            speed += step * (omega * omega * (target - value) - 2.0 * _DAMPING * omega * speed)
            value += step * speed
        found[index] = value
    return found


def _vibrato(
    notes: Sequence[Note], grid: Float[np.ndarray, " n"], style: SingingStyle, draw: np.random.Generator
) -> Float[np.ndarray, " n"]:
    """In semitones: on long notes, growing from a while after their beginning, and gone at their end."""
    found = np.zeros(len(grid))
    for note in notes:
        rate = style.vibrato_hz * float(draw.uniform(0.95, 1.05))
        depth = style.vibrato_cents / 100.0 * float(draw.uniform(0.7, 1.1))
        if note.end_seconds - note.start_seconds < _VIBRATO_FROM:
            continue
        since, left = grid - note.start_seconds - _VIBRATO_DELAY, note.end_seconds - grid
        strength = np.clip(since / _VIBRATO_RISE, 0.0, 1.0) * np.clip(left / 0.1, 0.0, 1.0)
        found += depth * strength * np.sin(2 * np.pi * rate * since)
    return found


def _fluctuation(count: int, draw: np.random.Generator) -> Float[np.ndarray, " n"]:
    """Noise under 10 Hz of a few cents: no voice holds a pitch exactly."""
    spectrum = np.fft.rfft(draw.standard_normal(count))
    spectrum[np.fft.rfftfreq(count, _STEP_SECONDS) > _FLUCTUATION_HZ] = 0.0
    found = np.fft.irfft(spectrum, count)
    spread = float(found.std())
    return found * (_FLUCTUATION_CENTS / 100.0 / spread) if spread > 0.0 else found
