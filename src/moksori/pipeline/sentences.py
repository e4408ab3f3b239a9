"""Sentences of a text, plain or SSML, and the silence between them."""

import io
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TextIO

import numpy as np
from jaxtyping import Float

from moksori.text.markup import MAXIMUM_CHARACTERS, Style, is_ssml, parse_ssml
from moksori.text.sentences import split_sentences

PARAGRAPH_FACTOR = 2.5
EDGE_FACTOR = 0.5
"""Silence at the end of a paragraph and at both ends of a text, in pauses."""
_LINE_CHARACTERS = 2**16
_DETECTED_CHARACTERS = 4096


@dataclass(frozen=True)
class Word:
    """A written word and when it is heard."""

    text: str
    start_seconds: float
    end_seconds: float

    def as_json(self) -> dict[str, Any]:
        """The word with times rounded to 0.1 ms."""
        return {
            "text": self.text,
            "start_seconds": round(self.start_seconds, 4),
            "end_seconds": round(self.end_seconds, 4),
        }


@dataclass(frozen=True)
class Sentence:
    """A piece of text that is spoken in one go; `ends_paragraph` makes the pause after it longer.

    style: what differs from the rest of the text. pause_seconds: silence after it, in place of the usual one.
    """

    text: str
    ends_paragraph: bool = False
    style: Style = field(default_factory=Style)
    pause_seconds: float | None = None


@dataclass(frozen=True)
class Piece:
    """Sentence `index` as sound: the silence before it, then its speech; empty where the sentence has nothing to speak.

    words: times from the start of `samples`.
    """

    index: int
    sentence: Sentence
    samples: Float[np.ndarray, " samples"]
    words: tuple[Word, ...]
    spoken: bool


@dataclass(frozen=True)
class Gap:
    """What the silence before the next sentence depends on."""

    started: bool = False
    paragraph: bool = False
    pause_seconds: float | None = None

    def after(self, piece: Piece) -> "Gap":
        """The state once `piece` is over; an unspoken sentence can end a paragraph or add a pause, not start one."""
        sentence = piece.sentence
        if piece.spoken:
            return Gap(True, sentence.ends_paragraph, sentence.pause_seconds)
        pauses = [pause for pause in (self.pause_seconds, sentence.pause_seconds) if pause is not None]
        return Gap(self.started, self.paragraph or sentence.ends_paragraph, sum(pauses) if pauses else None)

    def seconds(self, pause: float) -> float:
        """The silence before the next sentence, where `pause` is the usual one."""
        if not self.started:
            return pause * EDGE_FACTOR + (self.pause_seconds or 0.0)
        if self.pause_seconds is not None:
            return self.pause_seconds
        return pause * (PARAGRAPH_FACTOR if self.paragraph else 1.0)

    def seconds_at_end(self, pause: float) -> float:
        """The silence after the last sentence."""
        return max(pause * EDGE_FACTOR, self.pause_seconds or 0.0)


def sentences(text: str | TextIO, language: str = "en-us") -> Iterator[Sentence]:
    """The sentences of a text or of an open text file, read as they are asked for; blank lines end paragraphs.

    language: decides which abbreviations do not end a sentence.
    """
    file = io.StringIO(text) if isinstance(text, str) else text
    lines = iter(lambda: file.readline(_LINE_CHARACTERS), "")
    for blank, paragraph in itertools.groupby(lines, key=lambda line: not line.strip()):
        if blank:
            continue
        previous: str | None = None
        for sentence in split_sentences(paragraph, language):
            if previous is not None:
                yield Sentence(previous)
            previous = sentence
        if previous is not None:
            yield Sentence(previous, ends_paragraph=True)


def readings(text: str | TextIO, language: str = "en-us", ssml: bool | None = None) -> Iterator[Sentence]:
    """The sentences of a plain text (see `sentences`) or of an SSML document, which is read whole.

    ssml: None takes a text that starts with `<speak` for SSML. Raises TextError for SSML that cannot be read.
    """
    file = io.StringIO(text) if isinstance(text, str) else text
    if ssml is None and file.seekable():
        start = file.tell()
        ssml = is_ssml(file.read(_DETECTED_CHARACTERS))
        file.seek(start)
    if not ssml:
        yield from sentences(file, language)
        return
    for segment in parse_ssml(file.read(MAXIMUM_CHARACTERS + 1), language):
        yield Sentence(segment.text, segment.ends_paragraph, segment.style, segment.pause_seconds)
