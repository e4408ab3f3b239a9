"""Speech re-synthesised as singing (Saitou et al. 2007): read words, on made-up notes, in the voice of who read them.

WORLD takes the recording apart. Each vowel's voiced core becomes the body of a note: its middle is stretched (or
pressed) until the next vowel begins where the next note does, its edges and all consonants keep their length. Pitch is
the melody's; spectral envelope and aperiodicity, which make the voice, stay.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from moksori.audio.world import PERIOD_SECONDS, WorldFrames, analyse_world, synthesise_world
from moksori.corpus.melody import Key, Note, SingingStyle, SyllableNotes, draw_melody, pitch_curve
from moksori.text.symbols import is_vowel
from moksori.types import Utterance, Waveform

LEAST_CORE_SECONDS = 0.03
"""A vowel with less voice than this carries no note."""
LONGEST_SECONDS = 18.0
"""Of a song: what corpora take is 20 s."""
_EDGE_SECONDS = 0.04
"""The transitions into and out of a vowel, which are not stretched."""
_SHORTEST_NOTE_CORE = 0.09
_LEVELLED = 0.5
"""Share of the differences in level between syllables that is taken out: songs are sung more evenly than read."""
_HOME = 0.5
"""Share of the songs in the singer's own key, not in a related one."""
_SUNG = re.compile(r"-sung\d+$")


def sung_name(name: str, turn: int) -> str:
    """What the song is called that is made of a recording; turn: 1, and more where it is sung again."""
    return f"{name}-sung{turn}"


def is_song(utterance: Utterance) -> bool:
    """Whether something is sung: made songs by their names, recorded ones since they have no text."""
    return not utterance.text or _SUNG.search(utterance.name) is not None


@dataclass(frozen=True)
class Syllable:
    """A vowel to be sung: where its voiced core lies in the speech, in seconds, and its phone."""

    start_seconds: float
    end_seconds: float
    phone: str
    stressed: bool = False


@dataclass(frozen=True)
class Song:
    """Made singing: the sound, its notes, and the F0 in Hz that was asked for every 5 ms (0 where unvoiced)."""

    waveform: Waveform
    notes: tuple[Note, ...]
    f0: Float[np.ndarray, " frames"]
    key: Key
    tempo: float


def find_syllables(
    phones: Sequence[str],
    stress: Sequence[int],
    durations: Int[np.ndarray, " tokens"],
    frame_seconds: float,
    f0: Float[np.ndarray, " frames"],
) -> list[Syllable]:
    """The vowels of an aligned text that are voiced: the longest voiced stretch within each.

    phones: the symbol of each token. stress: 0 none, 1 primary, 2 secondary. durations: frames of each token, of
    `frame_seconds`. f0: every 5 ms, 0 where unvoiced.
    """
    ends = np.cumsum(durations) * frame_seconds
    found: list[Syllable] = []
    for phone, mark, end, length in zip(phones, stress, ends, durations * frame_seconds, strict=True):
        if not is_vowel(phone):
            continue
        first, stop = round((end - length) / PERIOD_SECONDS), min(round(end / PERIOD_SECONDS), len(f0))
        run = _longest_run(f0[first:stop] > 0.0)
        core = (first + run[0]) * PERIOD_SECONDS, (first + run[1]) * PERIOD_SECONDS
        if core[1] - core[0] >= LEAST_CORE_SECONDS:
            found.append(Syllable(*core, phone, mark == 1))
    return found


def sing(
    speech: Waveform | WorldFrames,
    syllables: Sequence[Syllable],
    style: SingingStyle,
    draw: np.random.Generator,
    longest_seconds: float = LONGEST_SECONDS,
) -> Song | None:
    """One recording as a song of one phrase; None if it has no syllable, or would be longer than `longest_seconds`.

    speech: a recording, or its analysis. syllables: in order. draw: decides key, tempo, melody and ornaments.
    Raises what `analyse_world` and `draw_melody` do.
    """
    if not syllables:
        return None
    frames = speech if isinstance(speech, WorldFrames) else analyse_world(speech)
    key = style.key if draw.random() < _HOME else style.key.related[int(draw.integers(3))]
    melody = draw_melody([s.stressed for s in syllables], key, style.low, style.high, draw)
    tempo = float(draw.uniform(*style.tempo))
    plan = _Plan.of(syllables, melody, tempo, len(frames.f0) * PERIOD_SECONDS)
    if plan.seconds > longest_seconds:
        tempo = style.tempo[1]
        plan = _Plan.of(syllables, melody, tempo, len(frames.f0) * PERIOD_SECONDS)
    if plan.seconds > longest_seconds:
        return None
    times = np.arange(int(plan.seconds / PERIOD_SECONDS)) * PERIOD_SECONDS
    source = np.interp(times, plan.song_times, plan.speech_times) / PERIOD_SECONDS
    stretched = _stretched(frames, source)
    voiced = stretched.f0 > 0.0
    f0 = np.where(voiced, pitch_curve(plan.notes, times, style, draw), 0.0)
    gains = np.interp(times, plan.note_starts, _levels(frames, syllables))
    sung = replace(stretched, f0=f0, envelope=stretched.envelope * 10.0 ** (gains[:, None] / 10.0))
    return Song(synthesise_world(sung), plan.notes, f0.astype(np.float32), key, round(tempo, 1))


@dataclass(frozen=True)
class _Plan:
    """Which moment of the speech is heard when: song_times[i] of the song is speech_times[i] of the speech."""

    notes: tuple[Note, ...]
    note_starts: Float[np.ndarray, " syllables"]
    song_times: Float[np.ndarray, " knots"]
    speech_times: Float[np.ndarray, " knots"]
    seconds: float

    @classmethod
    def of(
        cls, syllables: Sequence[Syllable], melody: Sequence[SyllableNotes], tempo: float, speech_seconds: float
    ) -> "_Plan":
        beat = 60.0 / tempo
        song, speech = [0.0], [0.0]
        now = syllables[0].start_seconds  # what is before the first vowel sounds before the first beat
        notes: list[Note] = []
        starts = []
        for index, (syllable, sung) in enumerate(zip(syllables, melody, strict=True)):
            final = index == len(syllables) - 1
            between = 0.0 if final else syllables[index + 1].start_seconds - syllable.end_seconds
            natural = syllable.end_seconds - syllable.start_seconds
            length = sum(sung.beats) * beat
            # Consonants keep their length: where they fill the note, it lasts some half beats more.
            while length - between < min(natural, _SHORTEST_NOTE_CORE):
                length += beat / 2
            _stretch_core(song, speech, now, syllable, length - between)
            stretch = length / (sum(sung.beats) * beat)
            starts.append(now)
            begin = now
            for pitch, beats in zip(sung.pitches, sung.beats, strict=True):
                end = begin + beats * beat * stretch
                notes.append(Note(round(begin, 4), round(end, 4), pitch, syllable.phone))
                begin = end
            now += length
        tail = speech_seconds - syllables[-1].end_seconds
        song.append(now + tail)
        speech.append(speech_seconds)
        return cls(tuple(notes), np.array(starts), np.array(song), np.array(speech), now + tail)


def _stretch_core(song: list[float], speech: list[float], start: float, syllable: Syllable, core: float) -> None:
    """Knots for one vowel that sounds for `core` seconds from `start` on: edges as they were, the middle stretched."""
    natural = syllable.end_seconds - syllable.start_seconds
    edge = min(_EDGE_SECONDS, natural / 3)
    song.append(start)
    speech.append(syllable.start_seconds)
    if core > natural:
        song += [start + edge, start + core - edge]
        speech += [syllable.start_seconds + edge, syllable.end_seconds - edge]
    song.append(start + core)
    speech.append(syllable.end_seconds)


def _stretched(frames: WorldFrames, source: Float[np.ndarray, " frames"]) -> WorldFrames:
    """The frames at fractional places: the envelope's logarithm between its neighbours', voicing the nearer one's."""
    last = len(frames.f0) - 1
    low = np.clip(np.floor(source).astype(int), 0, last)
    high = np.minimum(low + 1, last)
    part = np.clip(source - low, 0.0, 1.0)[:, None]
    log_envelope = np.log(np.maximum(frames.envelope, 1e-16))
    envelope = np.exp((1.0 - part) * log_envelope[low] + part * log_envelope[high])
    nearest = np.where(part[:, 0] < 0.5, low, high)
    # Noise of an unvoiced neighbour must not reach into a voiced frame.
    both = (frames.f0[low] > 0.0) == (frames.f0[high] > 0.0)
    mixed = (1.0 - part) * frames.aperiodicity[low] + part * frames.aperiodicity[high]
    aperiodicity = np.where(both[:, None], mixed, frames.aperiodicity[nearest])
    return WorldFrames(frames.f0[nearest], envelope, aperiodicity, frames.sample_rate)


def _levels(frames: WorldFrames, syllables: Sequence[Syllable]) -> Float[np.ndarray, " syllables"]:
    """Gain in dB for each syllable that takes it half way to the median's level."""
    powers = []
    for syllable in syllables:
        first, stop = (round(t / PERIOD_SECONDS) for t in (syllable.start_seconds, syllable.end_seconds))
        powers.append(float(frames.envelope[first : max(stop, first + 1)].mean()))
    levels = 10.0 * np.log10(np.maximum(np.array(powers), 1e-16))
    return np.asarray(np.clip(_LEVELLED * (np.median(levels) - levels), -6.0, 6.0))


def _longest_run(flags: np.ndarray) -> tuple[int, int]:
    """First and end index of the longest stretch of True; (0, 0) without any."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    if not len(edges):
        return 0, 0
    starts, ends = edges[::2], edges[1::2]
    best = int(np.argmax(ends - starts))
    return int(starts[best]), int(ends[best])
