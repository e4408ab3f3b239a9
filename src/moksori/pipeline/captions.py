"""Sentences as captions: the text as it was written, in cues of at most two lines of 42 characters.

Speech is timed in spoken words, "five dollars", captions show what was written, "$5.": the two are aligned, and a
written word that was said as several takes the time of them all.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise

from moksori.pipeline.speech_timings import SentenceTiming

LINE_CHARACTERS = 42
LINES = 2
_NOT_COMPARED = re.compile(r"[^\w]+")


@dataclass(frozen=True)
class CueWord:
    """A written word with its punctuation, and when it is heard."""

    text: str
    start_seconds: float
    end_seconds: float


@dataclass(frozen=True)
class Cue:
    """One or two lines that are shown together."""

    lines: tuple[tuple[CueWord, ...], ...]

    @property
    def start_seconds(self) -> float:
        return self.lines[0][0].start_seconds

    @property
    def end_seconds(self) -> float:
        return self.lines[-1][-1].end_seconds


def cues(sentence: SentenceTiming) -> Iterator[Cue]:
    """The cues of a sentence, from its first word to its last, each as long as its words are heard."""
    lines = _lines(written_words(sentence))
    for first in range(0, len(lines), LINES):
        yield Cue(tuple(lines[first : first + LINES]))


def written_words(sentence: SentenceTiming) -> list[CueWord]:
    """The words of the text as it was written, with the times of what was said for them."""
    written = _with_marks(sentence.text.split())
    spoken = [word for word in sentence.words if word.end_seconds > word.start_seconds]
    if not spoken:
        return []
    said = [_compared(word.text) for word in spoken]
    matcher = SequenceMatcher(None, [_compared(text) for text in written], said, autojunk=False)
    found: list[CueWord] = []
    unheard: list[str] = []
    """Written before the first word that is heard: a dash or a quotation mark."""
    for _, first, last, start, end in matcher.get_opcodes():
        texts = written[first:last]
        if start < end and texts:
            texts, unheard = [" ".join([*unheard, texts[0]]), *texts[1:]], []
            for text, (low, high) in zip(texts, _shares(texts, start, end), strict=True):
                found.append(CueWord(text, spoken[low].start_seconds, spoken[high - 1].end_seconds))
        elif not found:
            unheard += texts
        else:  # written and not said, or said and not written: it joins the word before
            until = spoken[end - 1].end_seconds if start < end else found[-1].end_seconds
            found[-1] = CueWord(" ".join([found[-1].text, *texts]), found[-1].start_seconds, until)
    return found or [CueWord(" ".join(written), spoken[0].start_seconds, spoken[-1].end_seconds)]


def _with_marks(texts: Sequence[str]) -> list[str]:
    """Marks that stand alone, a dash or an ampersand, go with the word before them."""
    found: list[str] = []
    for text in texts:
        if found and not (_NOT_COMPARED.sub("", text) and _NOT_COMPARED.sub("", found[0])):
            found[-1] += f" {text}"
        else:
            found.append(text)
    return found


def _compared(text: str) -> str:
    return _NOT_COMPARED.sub("", text).casefold() or text


def _shares(written: Sequence[str], start: int, end: int) -> list[tuple[int, int]]:
    """Spoken words `[start, end)` dealt out to written ones by their length in characters, at least one to each."""
    if len(written) == end - start:
        return [(place, place + 1) for place in range(start, end)]
    count, total, borders, seen = end - start, sum(map(len, written)), [0], 0
    for text in written:
        seen += len(text)
        borders.append(round(count * seen / total))
    return [
        (start + min(low, count - 1), start + max(min(low, count - 1) + 1, high)) for low, high in pairwise(borders)
    ]


def _lines(words: Sequence[CueWord]) -> list[tuple[CueWord, ...]]:
    """Lines of at most 42 characters, as few as can be and then as even as can be; a longer word stands alone."""
    fewest = len(_filled(words, LINE_CHARACTERS))
    width = next(w for w in range(1, LINE_CHARACTERS + 1) if len(_filled(words, w)) == fewest) if words else 1
    return _filled(words, width)


def _filled(words: Sequence[CueWord], width: int) -> list[tuple[CueWord, ...]]:
    lines: list[list[CueWord]] = []
    room = 0
    for word in words:
        if lines and len(word.text) + 1 <= room:
            lines[-1].append(word)
            room -= len(word.text) + 1
        else:
            lines.append([word])
            room = width - len(word.text)
    return [tuple(line) for line in lines]
