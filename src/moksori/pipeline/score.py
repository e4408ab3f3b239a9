"""Scores: notes with the syllables that are sung on them, and lyrics that are laid under notes which have none.

MusicXML is read by `score_musicxml`, MIDI by `score_midi`; `score_phrases` makes of a score what a model is given.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from moksori.corpus.melody import hertz, midi, note_name
from moksori.errors import BadInput, TextError

Chords = Literal["refuse", "highest", "lowest"]
"""What is done with notes that begin together: a voice sings one at a time."""
HOLD = "_"
"""In lyrics: the syllable before goes on, on the next note."""
MUSICXML = (".musicxml", ".mxl", ".xml")
MIDI = (".mid", ".midi", ".kar")
LOWEST_HZ, HIGHEST_HZ = 60.0, 1100.0
"""B1 to C6: below and above nobody sings words."""
MOST_KEY = 36
"""Semitones by which a song is moved."""
MOST_MINUTES = 20.0
MOST_BYTES = 20_000_000


@dataclass(frozen=True)
class SungNote:
    """A note in seconds of the song; pitch as a MIDI number, 69 is A4.

    syllable: what is sung on it; "": it holds the syllable of the note before. ends_word: whether the word is over
    with this syllable. place: where it stands in the score, for messages.
    """

    start_seconds: float
    end_seconds: float
    pitch: int
    syllable: str = ""
    ends_word: bool = True
    place: str = ""

    @property
    def named(self) -> str:
        """For messages: "bar 3: F#4"."""
        return f"{self.place}: {note_name(self.pitch)}"


@dataclass(frozen=True)
class Score:
    """One voice of a song: notes in order, none of which begins before the one before it has ended.

    remarks: what a person should know of how it was read.
    """

    name: str
    notes: tuple[SungNote, ...]
    remarks: tuple[str, ...] = ()

    @property
    def has_lyrics(self) -> bool:
        return any(note.syllable for note in self.notes)

    @property
    def duration_seconds(self) -> float:
        return self.notes[-1].end_seconds

    @property
    def median_pitch(self) -> float:
        """The MIDI number that half of the sung time lies below."""
        by_pitch = sorted((note.pitch, note.end_seconds - note.start_seconds) for note in self.notes)
        half = 0.5 * sum(length for _, length in by_pitch)
        for pitch, length in by_pitch:
            half -= length
            if half <= 0.0:
                return float(pitch)
        return float(by_pitch[-1][0])

    def moved(self, semitones: int = 0, speed: float = 1.0) -> "Score":
        """In another key, and at another pace: 2 is twice as fast."""
        notes = [
            replace(
                note,
                start_seconds=note.start_seconds / speed,
                end_seconds=note.end_seconds / speed,
                pitch=note.pitch + semitones,
            )
            for note in self.notes
        ]
        return replace(self, notes=tuple(notes))


def read_score(
    path: str | Path,
    part: str | None = None,
    verse: int = 1,
    chords: Chords = "refuse",
    lyrics: str | None = None,
    syllables_of: Callable[[str], int] | None = None,
) -> Score:
    """The voice part of a MusicXML or MIDI file, ready to be sung.

    part: its name or number from 1 on; None: the first with lyrics, or else the first. verse: of the lyrics of
    MusicXML. lyrics: in place of the file's own, see `under_notes`, which syllables_of is for.
    Raises BadInput for a file that cannot be read, has no such part, no notes, chords, or no lyrics; MissingExtra
    without the package that reads it.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise BadInput(f"{path}: {'is no file' if path.exists() else 'does not exist'}: check the name")
    if path.stat().st_size > MOST_BYTES:
        raise BadInput(f"{path}: has {path.stat().st_size / 1e6:.0f} MB, and no score has: check the name")
    suffix = path.suffix.lower()
    if suffix in MUSICXML:
        from moksori.pipeline.score_musicxml import read_musicxml

        score = read_musicxml(path, part, verse, chords)
    elif suffix in MIDI:
        from moksori.pipeline.score_midi import read_midi

        score = read_midi(path, part, chords)
    else:
        raise BadInput(f"{path}: {suffix or 'no suffix'}: expected a score: {', '.join((*MUSICXML, *MIDI))}")
    if not score.notes:
        raise BadInput(f"{path}: holds no notes: name another part with --part")
    if lyrics is not None:
        score = under_notes(score, lyrics, syllables_of or _one_syllable)
    _check_words(score)
    return score


def in_range(score: Score, key: int = 0) -> Score:
    """The score; raises BadInput for one with notes that no voice sings, or that is too long.

    key: semitones by which it was moved already, for what is advised.
    """
    for note in score.notes:
        if not LOWEST_HZ <= hertz(note.pitch) <= HIGHEST_HZ:
            raise BadInput(
                f"{score.name}, {note.named}: {hertz(note.pitch):.0f} Hz is out of a voice's range, {LOWEST_HZ:g} to "
                f"{HIGHEST_HZ:g} Hz: {_remedy(score, key)}"
            )
    if score.duration_seconds > 60.0 * MOST_MINUTES:
        raise BadInput(f"{score.name}: lasts {score.duration_seconds / 60.0:.0f} minutes, {MOST_MINUTES:g} at most")
    return score


def _remedy(score: Score, moved: int) -> str:
    """The smallest key that brings all notes into range: octaves where those will do, else semitones."""
    pitches = [note.pitch for note in score.notes]
    low, high = math.ceil(midi(LOWEST_HZ)) - min(pitches), math.floor(midi(HIGHEST_HZ)) - max(pitches)
    if low > high:
        return f"it spans {max(pitches) - min(pitches)} semitones, too many for a voice: take a part of it"
    keys = sorted((key for key in range(moved + low, moved + high + 1) if abs(key) <= MOST_KEY), key=abs)
    if not keys:
        where = "lower" if high < 0 else "higher"
        return f"no --key up to {MOST_KEY} semitones moves it there: write it some octaves {where}"
    key = next((key for key in keys if key % 12 == 0), keys[0])
    return f"move the song with --key {key}" if key else "leave --key out"


def _check_words(score: Score) -> None:
    """Raises BadInput for a score without lyrics, or with a note that nothing is sung on."""
    if not score.has_lyrics:
        raise BadInput(
            f"{score.name}: has no lyrics: give them with --lyrics, or name a part that has some with --part"
        )
    if not score.notes[0].syllable:
        raise BadInput(f"{score.name}, {score.notes[0].named}: the first note has no syllable: give it one")
    for before, after in zip(score.notes, score.notes[1:], strict=False):
        if not after.syllable and after.start_seconds > before.end_seconds + 0.01:
            raise BadInput(
                f"{score.name}, {after.named}: stands after a rest and has no syllable: give it one, or join it to the "
                "note before"
            )


def without_chords(notes: Sequence[SungNote], name: str, chords: Chords) -> list[SungNote]:
    """Notes in order, one at a time; of those that begin together the highest or lowest stays, with the syllable.

    A note that runs into the next one by less than a quarter of its length, as players do, ends where that begins.
    Raises BadInput where notes sound together and `chords` refuses that.
    """
    found: list[SungNote] = []
    for note in sorted(notes, key=lambda n: (n.start_seconds, n.pitch)):
        before = found[-1] if found else None
        if before is None or note.start_seconds >= before.end_seconds - 1e-6:
            found.append(note)
            continue
        overlap = before.end_seconds - note.start_seconds
        together = note.start_seconds - before.start_seconds < 0.03
        if not together and overlap < 0.25 * (before.end_seconds - before.start_seconds) + 0.01:
            found[-1] = replace(before, end_seconds=note.start_seconds)
            found.append(note)
            continue
        if chords == "refuse":
            raise BadInput(
                f"{name}, {before.named} and {note_name(note.pitch)} sound together, and a voice sings one note at a "
                "time: choose with --chords highest or lowest, or another --part"
            )
        if together:
            kept = max(before, note, key=lambda n: n.pitch if chords == "highest" else -n.pitch)
            syllable, ends = (before.syllable, before.ends_word) if before.syllable else (note.syllable, note.ends_word)
            found[-1] = replace(kept, syllable=syllable, ends_word=ends)
        else:
            found[-1] = replace(before, end_seconds=note.start_seconds)
            found.append(note)
    return found


def under_notes(score: Score, lyrics: str, syllables_of: Callable[[str], int]) -> Score:
    """The score with other lyrics: words, whose syllables are taken one a note.

    A word's syllables are told by hyphens, `lit-tle`, or else by `syllables_of` (how many a word has); `_` holds the
    syllable before for another note. Raises TextError where syllables and notes are not as many.
    """
    given: list[tuple[str, bool]] = []
    for word in lyrics.split():
        if set(word) == {HOLD}:
            given.extend([("", True)] * len(word))
            continue
        if not re.search(r"\w", word):
            continue
        body, held = word.rstrip(HOLD), len(word) - len(word.rstrip(HOLD))
        parts = [part for part in body.split("-") if part]
        if len(parts) == 1:
            parts += [""] * (max(syllables_of(parts[0]), 1) - 1)
        given.extend((part, place == len(parts) - 1) for place, part in enumerate(parts))
        given.extend([("", True)] * held)
    if len(given) != len(score.notes):
        raise TextError(
            f"{score.name}: the lyrics have {len(given)} syllables for {len(score.notes)} notes: write a hyphen "
            f"between syllables (lit-tle) and {HOLD} for each note on which the syllable before goes on"
        )
    if given and not given[0][0]:
        raise TextError(f"{score.name}: the lyrics begin with {HOLD}, but nothing stands before the first note")
    notes = [
        replace(note, syllable=syllable, ends_word=ends)
        for note, (syllable, ends) in zip(score.notes, given, strict=True)
    ]
    return replace(score, notes=tuple(notes))


def _one_syllable(word: str) -> int:
    return 1
