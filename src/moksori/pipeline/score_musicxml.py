"""Scores in MusicXML, plain or zipped, read by music21."""

import warnings
from pathlib import Path
from typing import Any

from moksori.errors import BadInput, MissingExtra, MoksoriError
from moksori.pipeline.score import Chords, Score, SungNote, without_chords

_GOES_ON = ("begin", "middle")


def read_musicxml(path: Path, part: str | None = None, verse: int = 1, chords: Chords = "refuse") -> Score:
    """One part's notes in seconds, at sounding pitch, ties joined; grace notes are left out and repeats sung once.

    Raises as `score.read_score` does.
    """
    try:
        from music21 import converter
    except ImportError as error:
        raise MissingExtra("music21", "sing", f"reading {path.name}") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of bars that are left out; what a score lacks is told below
            parsed: Any = converter.parse(str(path), format="musicxml", forceSource=True)
            return _score(path, parsed, part, verse, chords)
    except MoksoriError:
        raise
    except Exception as error:  # music21 has no one error for what it cannot make sense of
        raise BadInput(f"{path}: is no MusicXML, or damaged ({str(error)[:80]}): export the score again") from error


def _score(path: Path, parsed: Any, part: str | None, verse: int, chords: Chords) -> Score:
    parts = list(parsed.parts)
    chosen = _chosen(path, parts, part).toSoundingPitch(inPlace=False)
    remarks = []
    if any(True for _ in chosen.recurse().getElementsByClass("RepeatMark")):
        remarks.append(f"{path.name}: its repeats are sung once")
    seconds = _clock(parsed, chosen)
    notes: list[SungNote] = []
    graces = 0
    for element in chosen.stripTies().flatten().notes:
        if element.duration.isGrace:
            graces += 1
            continue
        start = float(element.offset)
        begin, end = seconds(start), seconds(start + float(element.duration.quarterLength))
        if end <= begin:
            continue
        syllable, ends = _syllable(element, verse)
        place = f"bar {element.measureNumber}"
        notes.extend(SungNote(begin, end, pitch.midi, syllable, ends, place) for pitch in element.pitches)
    if graces:
        remarks.append(f"{path.name}: {graces} grace notes are left out")
    return Score(path.name, tuple(without_chords(notes, path.name, chords)), tuple(remarks))


def _chosen(path: Path, parts: list[Any], wanted: str | None) -> Any:
    if not parts:
        raise BadInput(f"{path}: holds no parts: export the score again")
    names = [str(part.partName or f"part {number}") for number, part in enumerate(parts, start=1)]
    if wanted is None:
        sung = [part for part in parts if any(note.lyrics for note in part.recurse().notes)]
        return (sung or parts)[0]
    if wanted.isdigit() and 1 <= int(wanted) <= len(parts):
        return parts[int(wanted) - 1]
    for name, part in zip(names, parts, strict=True):
        if name.casefold() == wanted.casefold():
            return part
    known = ", ".join(f"{number} ({name})" for number, name in enumerate(names, start=1))
    raise BadInput(f"{path}: has no part {wanted!r}: it has {known}")


def _syllable(element: Any, verse: int) -> tuple[str, bool]:
    """What is sung on a note in a verse, and whether its word ends there."""
    for lyric in element.lyrics:
        if lyric.number == verse and lyric.text and lyric.text.strip():
            return " ".join(lyric.text.split()), lyric.syllabic not in _GOES_ON
    return "", True


def _clock(score: Any, part: Any) -> Any:
    """Quarter notes from the beginning -> seconds, by the tempo marks of the part or, without any, of the score."""
    for stream in (part, score):
        marks = [
            mark for mark in stream.flatten().getElementsByClass("MetronomeMark") if (mark.getQuarterBPM() or 0.0) > 0.0
        ]
        if marks:
            break
    steps = sorted((float(mark.offset), float(mark.getQuarterBPM())) for mark in marks)
    if not steps or steps[0][0] > 0.0:
        steps.insert(0, (0.0, steps[0][1] if steps else 120.0))

    def seconds(quarters: float) -> float:
        total = 0.0
        for place, (start, tempo) in enumerate(steps):
            stop = steps[place + 1][0] if place + 1 < len(steps) else quarters
            total += 60.0 / tempo * max(min(stop, quarters) - start, 0.0)
        return total

    return seconds
