"""Speech whose every fact is known: a speaker is a vocal-tract scale, a pitch and a tilt, a phone is three formants.

Source-filter synthesis at 16 kHz after the specification's section 10: harmonics of a wandering pitch, weighted by
three formants and the speaker's tilt. The same phone string can be said by all speakers, frame for frame.
"""

from dataclasses import dataclass

import numpy as np

RATE, HOP = 16000, 256
PHONES = 8
_FORMANTS_HZ = np.array(
    [[300, 870, 2240], [400, 2000, 2550], [640, 1190, 2390], [270, 2290, 3010], [730, 1090, 2440], [530, 1840, 2480],
     [440, 1020, 2240], [660, 1720, 2410]], dtype=float,
)  # fmt: skip


@dataclass(frozen=True)
class Speaker:
    """scale: of the formants; pitch_hz: on average; tilt: power of the harmonics' fall."""

    scale: float
    pitch_hz: float
    tilt: float


def speakers(count: int) -> list[Speaker]:
    """Spread evenly, in another order for each trait."""
    at = np.arange(count) / max(count - 1, 1)
    turned = np.arange(count) * 5 % count / max(count - 1, 1)
    return [Speaker(0.8 + 0.45 * a, 90.0 * (260 / 90) ** b, 0.6 + 0.9 * ((a + b) % 1.0)) for a, b in
            zip(at, turned, strict=True)]  # fmt: skip


@dataclass(frozen=True)
class Said:
    """A waveform of whole frames, and the phone of each frame."""

    waveform: np.ndarray
    phones: np.ndarray


def say(speaker: Speaker, seed: int, frames: int = 94) -> Said:
    """The phone string of a seed, 60 to 160 ms a phone, by a speaker."""
    draw = np.random.default_rng([seed, 41])
    labels: list[int] = []
    while len(labels) < frames:
        labels += [int(draw.integers(0, PHONES))] * int(draw.integers(4, 11))
    phones = np.array(labels[:frames])
    melody = np.interp(np.arange(frames * HOP), np.linspace(0, frames * HOP, 6), draw.uniform(-0.12, 0.12, 6))
    pitch = speaker.pitch_hz * np.exp(melody)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    formants = _FORMANTS_HZ[phones] * speaker.scale
    samples = np.zeros(frames * HOP)
    for number in range(1, int(7000 / speaker.pitch_hz)):
        hertz = number * speaker.pitch_hz
        strength = (np.exp(-(((hertz - formants) / 120.0) ** 2)) * [1.0, 0.7, 0.4]).sum(axis=1) + 0.01
        smooth = np.interp(np.arange(frames * HOP), np.arange(frames) * HOP + HOP / 2, strength)
        samples += smooth * number**-speaker.tilt * np.cos(number * phase)
    samples += 1e-3 * draw.standard_normal(len(samples))
    return Said((0.5 * samples / np.abs(samples).max()).astype(np.float32), phones)
