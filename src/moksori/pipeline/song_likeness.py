"""Whether a recording sounds like one person singing, at a height that a model has learnt: what pitch tells of it.

Two trackers that work in different ways, WORLD's dio and harvest, agree on the pitch of one voice; with several voices
or instruments at once each follows another. Where 78 % of the loud frames lie within 50 cents of each other nothing is
said: of thirteen real and made songs and notes of one voice all lie above (84 % the least), of seven duets and choirs
of three all below (73 % the most), as do a carnatic group and a song with it (18 % the most). Singing in unison, and a
single instrument, pass for one voice.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from moksori.audio.f0 import extract_f0
from moksori.audio.resample import resample
from moksori.corpus.melody import hertz, midi, note_name
from moksori.errors import MissingExtra
from moksori.pipeline.recordings import OpenRecording
from moksori.types import Waveform

LOOK_SECONDS = 8.0
LEAST_AGREEMENT, LEAST_VOICED = 0.78, 0.1
OUTSIDE = 0.25
"""Share of the voiced frames beyond what was learnt, from which on it is said."""
SPREAD = 2.5
"""Standard deviations around the mean of ln F0 that count as learnt."""
_LIMITS_HZ = (60.0, 1200.0)
"""Where one voice is told from several: the shares above are of these."""
_FAR_HZ = (40.0, 1600.0)
"""Beyond what any model has learnt, for what is not found between those."""
_RATE, _HOP = 16000, 160
_WITHIN_SEMITONES = 0.5
_LOUD = 0.1


@dataclass(frozen=True)
class HeardPitch:
    """Of the loud frames of a recording: how many have a pitch, on how many two trackers agree, and ln F0 of those."""

    voiced: float
    agreement: float
    log_f0: np.ndarray


def heard_pitch(samples: np.ndarray, sample_rate: int, limits_hz: tuple[float, float] = _LIMITS_HZ) -> HeardPitch:
    """What two trackers find. Raises MissingExtra without pyworld."""
    sound = resample(Waveform(samples.astype(np.float32), sample_rate), _RATE)
    quick, slow = (extract_f0(sound, _HOP, *limits_hz, method=method) for method in ("dio", "harvest"))
    power = np.square(sound.samples[: len(quick) * _HOP].reshape(-1, _HOP), dtype=np.float64).mean(axis=1)
    loud = power > _LOUD * power[power >= np.median(power)].mean() if len(power) else np.zeros(0, bool)
    quick, slow = quick[loud], slow[loud]
    both = (quick > 0) & (slow > 0)
    if not len(both):
        return HeardPitch(0.0, 0.0, np.zeros(0))
    apart = 12.0 * np.abs(np.log2(quick[both] / slow[both]))
    agreed = apart < _WITHIN_SEMITONES
    return HeardPitch(
        float(both.mean()), float(agreed.sum() / len(both)), np.log(slow[both][agreed].astype(np.float64))
    )


def song_remarks(recording: OpenRecording, learnt: Mapping[str, tuple[float, float]]) -> list[str]:
    """What a person should know before a song is converted; empty where nothing speaks against it.

    learnt: mean and standard deviation of ln F0 by singer of the model. Without pyworld nothing is said.
    """
    start, stop = recording.scan.loudest_stretch(LOOK_SECONDS)
    samples, rate = recording.stretch(start, stop), recording.sound.sample_rate
    try:
        heard = heard_pitch(samples, rate)
        # Only what has no pitch there can lie beyond: a wider look takes twice as long.
        far = heard_pitch(samples, rate, _FAR_HZ) if learnt and heard.voiced < 1.0 - OUTSIDE else heard
    except MissingExtra:
        return []
    if far.voiced < LEAST_VOICED or far.agreement < LEAST_AGREEMENT:
        far = heard
    if far.voiced < LEAST_VOICED:
        return [
            f"{recording.name}: hardly anything in it has one pitch, as in noise and in music of several voices: is it "
            "one person singing?"
        ]
    if heard.voiced >= LEAST_VOICED and heard.agreement < LEAST_AGREEMENT:
        return [
            f"{recording.name}: its pitch is in doubt in {1 - heard.agreement:.0%} of the sound, as with accompaniment "
            "or several voices: separate one voice first, or expect wrong notes"
        ]
    return _beyond(recording.name, far.log_f0, learnt)


def _beyond(name: str, log_f0: np.ndarray, learnt: Mapping[str, tuple[float, float]]) -> list[str]:
    """A remark where a good part of a song is higher or lower than anything the model was trained on."""
    if not learnt or not len(log_f0):
        return []
    low = min(mean - SPREAD * deviation for mean, deviation in learnt.values())
    high = max(mean + SPREAD * deviation for mean, deviation in learnt.values())
    for side, share in (("below", float((log_f0 < low).mean())), ("above", float((log_f0 > high).mean()))):
        if share > OUTSIDE:
            middle, ends = _named(float(np.median(log_f0))), f"{_named(low)} to {_named(high)}"
            return [
                f"{name}: {share:.0%} of it lies {side} everything that the model has heard ({ends}); its middle is "
                f"{middle}: what is sung may come out wrong"
            ]
    return []


def _named(log_f0: float) -> str:
    frequency = float(np.exp(log_f0))
    pitch = round(midi(frequency))
    return f"{note_name(pitch)} ({hertz(pitch):.0f} Hz)"
