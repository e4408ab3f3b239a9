"""From notes to what a model sings: phrases of tokens with the frames of each, and the F0 of every frame.

A syllable's vowel begins where its note does and takes all of it; the consonants before it come ahead of the beat and
those after it end with the note, each as long as such a consonant usually is. Where they would take more than the share
of a note that consonants may have, all of them get shorter together. Pitch is a step for each note with a glide in
between, and vibrato on what is long; consonants without voice, and rests, have none.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from moksori.corpus.melody import hertz
from moksori.errors import TextError, UnsupportedTask
from moksori.pipeline.score import Score, SungNote
from moksori.text.symbols import END, GAP, is_vowel
from moksori.text.tokenizer import Encoded, TextConfig, Word

PHRASE_REST_SECONDS = 0.4
"""A rest from which on a new phrase begins, which the model is given by itself."""
MOST_PHRASE_SECONDS = 14.0
"""Longer phrases are cut between words, at the longest rest there is; models learn from clips that are no longer."""
EDGE_SECONDS = 0.1
"""Silence that belongs to a phrase on each side, where the rest leaves room."""
CONSONANT_SHARE = 0.5
"""Of the time from a vowel to the next that the consonants between may take."""
GLIDE_SECONDS = 0.06
VIBRATO_HZ, VIBRATO_DELAY_SECONDS, VIBRATO_RISE_SECONDS = 5.5, 0.25, 0.15
DEFAULT_VIBRATO_CENTS = 25.0
"""To either side: half a semitone from the lowest to the highest."""

_UNVOICED = frozenset("ptkfθsʃhçxχcqɸʔ")
_PLOSIVES = frozenset("pbtdkɡgqʔcɟ")
_FRICATIVES = frozenset("fvθðszʃʒhçxχʝɣɕʑɸβ")
_SECONDS = {"affricate": 0.10, "plosive": 0.07, "unvoiced fricative": 0.10, "voiced fricative": 0.07, "other": 0.06}
"""Usual lengths in singing, where consonants are not stretched with the notes (Saitou et al. 2007 keep those of
speech)."""


@dataclass(frozen=True)
class Phrase:
    """What a model is asked for at once.

    start_frame: where it begins in the song. encoded: tokens with their words, ends included. durations: frames of each
    token. f0: Hz of each frame, 0 where unvoiced. text: its words.
    """

    start_frame: int
    encoded: Encoded
    durations: Int[np.ndarray, " tokens"]
    f0: Float[np.ndarray, " frames"]
    text: str

    @property
    def frames(self) -> int:
        return int(self.durations.sum())


@dataclass(frozen=True)
class _SungWord:
    """A word's notes by syllable: each with those that hold it."""

    text: str
    syllables: tuple[tuple[SungNote, ...], ...]

    @property
    def start(self) -> float:
        return self.syllables[0][0].start_seconds

    @property
    def end(self) -> float:
        return self.syllables[-1][-1].end_seconds


@dataclass
class _Slot:
    """A token on its way to be timed. beat: where a vowel has to begin, None for all others."""

    token: int
    stress: int
    symbol: str
    beat: float | None = None
    note_end: float = 0.0

    @property
    def is_gap(self) -> bool:
        return self.symbol == GAP

    @property
    def usual_seconds(self) -> float:
        return consonant_seconds(self.symbol)


def consonant_seconds(symbol: str) -> float:
    """How long a consonant usually is."""
    head = symbol[:1]
    if len(symbol) > 1 and head in _PLOSIVES and symbol[1] in _FRICATIVES:
        return _SECONDS["affricate"]
    if head in _PLOSIVES:
        return _SECONDS["plosive"]
    if head in _FRICATIVES:
        return _SECONDS["unvoiced fricative" if head in _UNVOICED else "voiced fricative"]
    return _SECONDS["other"]


def is_voiced(symbol: str) -> bool:
    """Whether a phone has a pitch; pauses, the ends of a text and the token of its language have none."""
    return symbol[:1] not in _UNVOICED and _is_phone(symbol)


def _is_phone(symbol: str) -> bool:
    return not symbol.startswith("<") and any(character.isalpha() for character in symbol)


def phrases(
    score: Score,
    encode: Callable[[str], Encoded],
    config: TextConfig,
    frame_seconds: float,
    vibrato_cents: float = DEFAULT_VIBRATO_CENTS,
) -> list[Phrase]:
    """The phrases of a score that has lyrics, in order; none reaches into the next.

    encode: words as tokens with `config`'s ends. The song begins a little before its first note, with the consonants
    that lead to it: frames count from there. Raises TextError for a word that cannot be sung, UnsupportedTask for
    a model whose tokens are no phones.
    """
    if config.mode != "phones" or config.blanks or not config.ends:
        raise UnsupportedTask("singing needs a model whose tokens are phones with ends and without blanks")
    groups = _groups(_words(score.notes))
    drafts = [_Draft(group, encode, config) for group in groups]
    # What leads to the first beat lies before it, and so the song may begin before its first note.
    offset = max(EDGE_SECONDS + drafts[0].onset_seconds - groups[0][0].start, 0.0)
    found: list[Phrase] = []
    for place, draft in enumerate(drafts):
        before = drafts[place - 1].end + offset if place else None
        after = drafts[place + 1].start - drafts[place + 1].onset_seconds + offset if place + 1 < len(drafts) else None
        earliest = found[-1].start_frame + found[-1].frames if found else 0
        found.append(draft.timed(offset, before, after, earliest, frame_seconds, vibrato_cents))
    return found


def _words(notes: Sequence[SungNote]) -> list[_SungWord]:
    words: list[_SungWord] = []
    syllables: list[list[SungNote]] = []
    texts: list[str] = []
    for note in notes:
        if not note.syllable:
            if syllables:
                syllables[-1].append(note)
            else:  # it holds the last syllable of a word that is over
                last = words[-1]
                words[-1] = _SungWord(last.text, (*last.syllables[:-1], (*last.syllables[-1], note)))
            continue
        syllables.append([note])
        texts.append(note.syllable)
        if note.ends_word:
            words.append(_SungWord("".join(texts), tuple(tuple(s) for s in syllables)))
            syllables, texts = [], []
    if syllables:
        words.append(_SungWord("".join(texts), tuple(tuple(s) for s in syllables)))
    return words


def _groups(words: Sequence[_SungWord]) -> list[list[_SungWord]]:
    """Words between rests; what is still too long is cut at its longest rest, or near its middle."""
    groups = [[words[0]]]
    for word in words[1:]:
        if word.start - groups[-1][-1].end >= PHRASE_REST_SECONDS:
            groups.append([])
        groups[-1].append(word)
    return [short for group in groups for short in _cut(group)]


def _cut(group: list[_SungWord]) -> list[list[_SungWord]]:
    if len(group) < 2 or group[-1].end - group[0].start <= MOST_PHRASE_SECONDS:
        return [group]
    middle = 0.5 * (group[0].start + group[-1].end)

    def merit(place: int) -> tuple[float, float]:
        rest = round(group[place].start - group[place - 1].end, 2)
        return rest, -abs(group[place].start - middle)

    place = max(range(1, len(group)), key=merit)
    return [*_cut(group[:place]), *_cut(group[place:])]


class _Draft:
    """The tokens of a phrase, each vowel with its beat."""

    def __init__(self, words: Sequence[_SungWord], encode: Callable[[str], Encoded], config: TextConfig) -> None:
        self.words, self.config = words, config
        self.text = " ".join(word.text for word in words)
        self.notes = [note for word in words for syllable in word.syllables for note in syllable]
        self.start, self.end = words[0].start, words[-1].end
        self.slots: list[_Slot] = []
        self.spans: list[Word] = []
        self.unknown: dict[str, None] = {}
        whole = encode(self.text)
        self._lay(self._words_in(whole, encode), self._ends_of(whole))

    @property
    def onset_seconds(self) -> float:
        """What comes before the first beat."""
        before = itertools.takewhile(lambda slot: slot.beat is None, self.slots)
        return sum((slot.usual_seconds for slot in before if _is_phone(slot.symbol)), 0.0)

    def _ends_of(self, whole: Encoded) -> tuple[list[_Slot], list[_Slot]]:
        """What stands before the first and after the last sound: the ends, and the language where models are told."""
        slots = [self._slot(whole, place) for place in range(len(whole.tokens))]
        sounds = [place for place, slot in enumerate(slots) if _is_phone(slot.symbol)]
        if not sounds:
            return slots[:-1], slots[-1:]
        after = [slot for slot in slots[sounds[-1] + 1 :] if slot.symbol == END]
        return slots[: sounds[0]], after

    def _slot(self, encoded: Encoded, place: int) -> _Slot:
        token = int(encoded.tokens[place])
        return _Slot(token, int(encoded.stress[place]), self.config.symbols[token])

    def _words_in(self, whole: Encoded, encode: Callable[[str], Encoded]) -> list[tuple[list[_Slot], str]]:
        """The phones of each word, as they are said in the phrase where its words can be told apart there."""
        if len(whole.words) != len(self.words):
            return [(self._phones(encode(word.text), None), word.text) for word in self.words]
        self.unknown.update(dict.fromkeys(whole.unknown))
        return [(self._phones(whole, span), word.text) for span, word in zip(whole.words, self.words, strict=True)]

    def _phones(self, encoded: Encoded, span: Word | None) -> list[_Slot]:
        spans = encoded.words if span is None else (span,)
        slots = [self._slot(encoded, place) for s in spans for place in range(s.start_token, s.end_token)]
        return [slot for slot in slots if _is_phone(slot.symbol)]

    def _lay(self, encoded: list[tuple[list[_Slot], str]], ends: tuple[list[_Slot], list[_Slot]]) -> None:
        gap = self.config.symbols.index(GAP)
        self.slots.extend(ends[0])
        self.leading, self.trailing = len(ends[0]), len(ends[1])
        for word, (phones, text) in zip(self.words, encoded, strict=True):
            if len(self.slots) > self.leading:
                self.slots.append(_Slot(gap, 0, GAP))
            if not phones:
                raise TextError(
                    f"{word.syllables[0][0].place}: {text!r} holds nothing to sing: write the word as it is said"
                )
            _give_beats(word, phones)
            first = len(self.slots)
            self.slots.extend(phones)
            self.spans.append(Word(text, first, len(self.slots)))
        self.slots.extend(ends[1])

    def timed(
        self,
        offset: float,
        before: float | None,
        after: float | None,
        earliest: int,
        frame_seconds: float,
        vibrato_cents: float,
    ) -> Phrase:
        """The phrase in frames.

        offset: seconds by which the whole song is moved. before, after: seconds between which it may lie, None: there
        is nothing. earliest: the frame from which on it may begin.
        """
        begin, end = self.start + offset, self.end + offset
        lead = EDGE_SECONDS
        if before is not None:
            lead = min(EDGE_SECONDS, 0.5 * max(begin - self.onset_seconds - before, 0.0))
        start = max(begin - self.onset_seconds - lead, before or 0.0)
        tail = EDGE_SECONDS if after is None else min(EDGE_SECONDS, 0.5 * max(after - end, 0.0))
        # What leads in and out is shared by the tokens at the ends: a frame for each, and the rest for the outermost.
        edge = [frame_seconds * place for place in range(self.leading, 0, -1)]
        inside = self._borders(offset, start + lead, end)
        before_it = [start, *(max(inside[0] - seconds, start) for seconds in edge[1:])]
        borders = [*before_it, *inside, *([end + tail] * self.trailing)]
        first = max(round(start / frame_seconds), earliest)
        frames = _frames(borders, first, frame_seconds)
        tokens = np.array([slot.token for slot in self.slots], dtype=np.int64)
        stress = np.array([slot.stress for slot in self.slots], dtype=np.int64)
        encoded = Encoded(tokens, stress, tuple(self.spans), tuple(self.unknown), self.text)
        times = (first + np.arange(int(frames.sum())) + 0.5) * frame_seconds - offset
        voiced = np.repeat([is_voiced(slot.symbol) for slot in self.slots], frames)
        f0 = np.where(voiced, sung_pitch(self.notes, times, vibrato_cents), 0.0).astype(np.float32)
        return Phrase(first, encoded, frames, f0, self.text)

    def _borders(self, offset: float, start: float, end: float) -> list[float]:
        """Where every token between the ends begins, in seconds, and where the last of them ends."""
        inner = self.slots[self.leading : len(self.slots) - self.trailing]
        beats = [place for place, slot in enumerate(inner) if slot.beat is not None]
        found = self._spread(inner[: beats[0]], start, (inner[beats[0]].beat or 0.0) + offset, None)
        for place, following in zip(beats, [*beats[1:], None], strict=True):
            slot = inner[place]
            beat = (slot.beat or 0.0) + offset
            rest = inner[place + 1 :] if following is None else inner[place + 1 : following]
            stop = end if following is None else (inner[following].beat or 0.0) + offset
            found.append(beat)
            found.extend(self._spread(rest, beat, stop, slot.note_end + offset))
        return [*found, end]

    @staticmethod
    def _spread(slots: Sequence[_Slot], start: float, stop: float, note_end: float | None) -> list[float]:
        """Where consonants between a vowel at `start` and the next at `stop` begin; the vowel has what they leave.

        note_end: where the vowel's note ends: what of the word comes after it ends there too, and the gap between two
        words takes the rest that follows.
        """
        if not slots:
            return []
        gap = next((place for place, slot in enumerate(slots) if slot.is_gap), None)
        usual = [0.0 if slot.is_gap else slot.usual_seconds for slot in slots]
        total = max(sum(usual), 1e-9)
        if note_end is None:
            factors, gap_seconds = [min(1.0, (stop - start) / total)] * len(slots), 0.0
        elif gap is None:
            factors, gap_seconds = [min(1.0, CONSONANT_SHARE * (stop - start) / total)] * len(slots), 0.0
        else:
            note, rest = max(min(note_end, stop) - start, 0.0), max(stop - note_end, 0.0)
            onset = sum(usual[gap + 1 :])
            if onset <= rest:  # what leads to the next word lies in the rest, and the gap takes what is left of it
                ending = min(1.0, CONSONANT_SHARE * note / max(sum(usual[:gap]), 1e-9))
                factors, gap_seconds = [ending] * gap + [1.0] * (len(slots) - gap), rest - onset
            else:
                factors, gap_seconds = [min(1.0, (rest + CONSONANT_SHARE * note) / total)] * len(slots), 0.0
        lengths = [length * factor for length, factor in zip(usual, factors, strict=True)]
        if gap is not None:
            lengths[gap] = gap_seconds
        found, place = [], stop
        for length in reversed(lengths):
            place -= length
            found.append(place)
        return found[::-1]


def _give_beats(word: _SungWord, phones: Sequence[_Slot]) -> None:
    """Lays a word's vowels on its notes: one a syllable, where there are as many.

    Several vowels of one syllable share its time; a syllable that has none is held by the vowel before. A word without
    vowels is sung on its first phone that has a voice, or its first.
    """
    vowels = [slot for slot in phones if is_vowel(slot.symbol)]
    if not vowels:
        vowels = [next((slot for slot in phones if is_voiced(slot.symbol)), phones[0])]
    count, given = len(vowels), len(word.syllables)
    owners = [min(place * given // count, given - 1) for place in range(count)]
    for syllable in sorted(set(owners)):
        own = [vowel for vowel, owner in zip(vowels, owners, strict=True) if owner == syllable]
        following = min((owner for owner in owners if owner > syllable), default=given)
        start = word.syllables[syllable][0].start_seconds
        stop = word.syllables[following - 1][-1].end_seconds
        for place, vowel in enumerate(own):
            vowel.beat = start + (stop - start) * place / len(own)
            vowel.note_end = start + (stop - start) * (place + 1) / len(own)


def _frames(borders: Sequence[float], first: int, frame_seconds: float) -> Int[np.ndarray, " tokens"]:
    """Frames of each token, at least one: a border that gives way is made up for as soon as there is room."""
    places = [first]
    for border in borders[1:]:
        places.append(max(round(border / frame_seconds), places[-1] + 1))
    return np.diff(np.array(places, dtype=np.int64))


def sung_pitch(
    notes: Sequence[SungNote], times: Float[np.ndarray, " frames"], vibrato_cents: float = DEFAULT_VIBRATO_CENTS
) -> Float[np.ndarray, " frames"]:
    """Hz at `times` of somebody who sings the notes; what lies between or beyond them has the nearest one's pitch.

    A glide takes 60 ms, half of it before its note begins. Vibrato of 5.5 Hz begins 250 ms after a note does.
    """
    pitches = np.array([float(note.pitch) for note in notes])
    borders = np.array([note.start_seconds for note in notes[1:]])
    curve = np.full(len(times), pitches[0])
    for border, step in zip(borders, np.diff(pitches), strict=True):
        part = np.clip((times - border) / GLIDE_SECONDS + 0.5, 0.0, 1.0)
        curve += step * (0.5 - 0.5 * np.cos(math.pi * part))
    for note in notes:
        since, left = times - note.start_seconds - VIBRATO_DELAY_SECONDS, note.end_seconds - times
        strength = np.clip(since / VIBRATO_RISE_SECONDS, 0.0, 1.0) * np.clip(left / GLIDE_SECONDS, 0.0, 1.0)
        curve += vibrato_cents / 100.0 * strength * np.sin(2.0 * math.pi * VIBRATO_HZ * since)
    return np.array([hertz(pitch) for pitch in curve])
