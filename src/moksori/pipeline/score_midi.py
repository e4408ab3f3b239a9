"""Scores in MIDI files, with lyrics where they hold some, read by mido."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moksori.errors import BadInput, MissingExtra
from moksori.pipeline.score import Chords, Score, SungNote, without_chords

_PERCUSSION = 9
_TOGETHER_TICKS = 2
"""A lyric belongs to a note that begins within so many ticks of it."""


@dataclass
class _Part:
    """A track's notes as (start, end, pitch) and its lyrics as (tick, text), in ticks."""

    name: str
    notes: list[tuple[int, int, int]]
    lyrics: list[tuple[int, str]]


def read_midi(path: Path, part: str | None = None, chords: Chords = "refuse") -> Score:
    """One track's notes in seconds; percussion is left out. Raises as `score.read_score` does.

    Lyrics that a file keeps in a track of their own count as those of the chosen one. Words are told apart by
    hyphens at the end of syllables, or by spaces as in karaoke files; where there is neither, each is a word.
    """
    try:
        import mido
    except ImportError as error:
        raise MissingExtra("mido", "sing", f"reading {path.name}") from error
    try:
        file = mido.MidiFile(str(path), clip=True)
    except (OSError, EOFError, ValueError, KeyError, IndexError, TypeError) as error:
        raise BadInput(f"{path}: is no MIDI file, or damaged ({str(error)[:80]}): export the score again") from error
    if file.type == 2:
        raise BadInput(f"{path}: holds several songs (MIDI type 2): save one of them alone")
    if file.ticks_per_beat <= 0:
        raise BadInput(f"{path}: counts time in film frames and not in beats: export it with ticks per quarter note")
    parts = [_part(number, track) for number, track in enumerate(file.tracks, start=1)]
    chosen = _chosen(path, [p for p in parts if p.notes], part)
    lyrics = chosen.lyrics or next((p.lyrics for p in parts if p.lyrics), [])
    tempos = _tempos(file)
    syllables = _syllables(lyrics)
    notes = []
    for place, (start, end, pitch) in enumerate(chosen.notes, start=1):
        syllable, ends = _at(start, syllables)
        begin, stop = (_seconds(tick, tempos, file.ticks_per_beat) for tick in (start, end))
        notes.append(SungNote(begin, stop, pitch, syllable, ends, f"note {place}"))
    return Score(path.name, tuple(without_chords(notes, path.name, chords)))


def _part(number: int, track: Any) -> _Part:
    found = _Part(_text(track.name).strip() or f"track {number}", [], [])
    sounding: dict[tuple[int, int], int] = {}
    karaoke: list[tuple[int, str]] = []
    tick = 0
    for message in track:
        tick += message.time
        if message.type == "lyrics":
            found.lyrics.append((tick, _text(message.text)))
        elif message.type == "text" and not message.text.startswith("@"):
            karaoke.append((tick, _text(message.text)))
        elif message.type in ("note_on", "note_off") and message.channel != _PERCUSSION:
            key = (message.channel, message.note)
            if key in sounding:  # a second note_on without a note_off ends the first
                start = sounding.pop(key)
                if tick > start:
                    found.notes.append((start, tick, message.note))
            if message.type == "note_on" and message.velocity > 0:
                sounding[key] = tick
    found.notes.sort()
    if not found.lyrics and any(tick > 0 for tick, _ in karaoke):
        found.lyrics = karaoke
    return found


def _text(read: str) -> str:
    """A text as it was meant: MIDI names no encoding, notation programs write UTF-8, and mido reads all as latin-1."""
    try:
        return read.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return read


def _chosen(path: Path, parts: list[_Part], wanted: str | None) -> _Part:
    if not parts:
        raise BadInput(f"{path}: holds no notes (percussion aside): name another file")
    if wanted is None:
        return next((p for p in parts if p.lyrics), parts[0])
    if wanted.isdigit() and 1 <= int(wanted) <= len(parts):
        return parts[int(wanted) - 1]
    for found in parts:
        if found.name.casefold() == wanted.casefold():
            return found
    known = ", ".join(f"{number} ({found.name})" for number, found in enumerate(parts, start=1))
    raise BadInput(f"{path}: has no part {wanted!r}: it has {known}")


def _tempos(file: Any) -> list[tuple[int, int]]:
    """(tick, microseconds a beat) of all tracks in order, from tick 0 on."""
    found = [(0, 500000)]
    for track in file.tracks:
        tick = 0
        for message in track:
            tick += message.time
            if message.type == "set_tempo" and message.tempo > 0:
                found.append((tick, message.tempo))
    return sorted(found, key=lambda step: step[0])


def _seconds(tick: int, tempos: list[tuple[int, int]], ticks_per_beat: int) -> float:
    total = 0.0
    for place, (start, tempo) in enumerate(tempos):
        stop = tempos[place + 1][0] if place + 1 < len(tempos) else tick
        total += max(min(stop, tick) - start, 0) * tempo / 1e6 / ticks_per_beat
    return total


def _syllables(lyrics: list[tuple[int, str]]) -> list[tuple[int, str, bool]]:
    """(tick, syllable, whether its word ends there)."""
    raw = [
        (tick, text.replace("\r", " ").replace("\n", " ").replace("/", " ").replace("\\", " ")) for tick, text in lyrics
    ]
    raw = [(tick, text) for tick, text in raw if text.strip()]
    hyphens = any(text.strip().endswith("-") and len(text.strip()) > 1 for _, text in raw)
    spaces = not hyphens and any(text[0].isspace() or text[-1].isspace() for _, text in raw)
    found = []
    for place, (tick, text) in enumerate(raw):
        following = raw[place + 1][1] if place + 1 < len(raw) else " "
        apart = not spaces or text[-1].isspace() or following[0].isspace()
        ends = not text.strip().endswith("-") if hyphens else apart
        found.append((tick, text.strip().strip("-") or text.strip(), ends))
    return found


def _at(tick: int, syllables: list[tuple[int, str, bool]]) -> tuple[str, bool]:
    """The syllable of a note that begins there; `+`, `_` and `-` alone hold the one before."""
    for when, text, ends in syllables:
        if abs(when - tick) <= _TOGETHER_TICKS:
            return ("", True) if set(text) <= set("+_-") else (text, ends)
    return "", True
