"""Sentences of a text, plain or SSML, and the silence between them."""

import io
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TextIO

import numpy as np
from jaxtyping import Float

from moksori.errors import TextError
from moksori.pipeline.speech_timings import SentenceTiming, Word
from moksori.text.markup import MAXIMUM_CHARACTERS, Style, is_ssml, parse_ssml
from moksori.text.sentences import split_paragraphs

PARAGRAPH_FACTOR = 2.5
EDGE_FACTOR = 0.5
"""Silence at the end of a paragraph and at both ends of a text, in pauses."""
_LINE_CHARACTERS = 2**16
_DETECTED_CHARACTERS = 4096


@dataclass(frozen=True)
class Sentence:
    """A piece of text that is spoken in one go; `ends_paragraph` makes the pause after it longer.

    style: what differs from the rest of the text. pause_seconds: silence after it, in place of the usual one.
    role: who speaks it, in a dialogue.
    """

    text: str
    ends_paragraph: bool = False
    style: Style = field(default_factory=Style)
    pause_seconds: float | None = None
    role: str = ""


@dataclass(frozen=True)
class Piece:
    """Sentence `index` as sound: the silence before it, then its speech; empty where the sentence has nothing to speak.

    timing: what is heard when, from the start of `samples`; None where nothing is spoken.
    """

    index: int
    sentence: Sentence
    samples: Float[np.ndarray, " samples"]
    timing: SentenceTiming | None

    @property
    def spoken(self) -> bool:
        return self.timing is not None

    @property
    def words(self) -> tuple[Word, ...]:
        """Its words, from the start of `samples`."""
        return () if self.timing is None else self.timing.words


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
    parts: str | Iterable[str] = text if isinstance(text, str) else _lines(text)
    for sentence, ends_paragraph in split_paragraphs(parts, language):
        yield Sentence(sentence, ends_paragraph)


def _lines(file: TextIO) -> Iterator[str]:
    return iter(lambda: file.readline(_LINE_CHARACTERS), "")


def arriving(parts: Iterable[str], language: str = "en-us", ssml: bool | None = None) -> Iterator[Sentence]:
    """The sentences of a text that comes in parts, each as soon as it is known to be complete.

    ssml: as for `readings`; an SSML document is waited for to its end. Raises TextError for a part that is no string.
    """
    strings = _strings(parts)
    head = ""
    if ssml is None:
        for part in strings:
            head += part
            ssml = is_ssml(head)
            if ssml or not _may_become_ssml(head):
                break
    if not ssml:
        for sentence, ends_paragraph in split_paragraphs(itertools.chain([head], strings), language):
            yield Sentence(sentence, ends_paragraph)
        return
    document, length = [head], len(head)
    for part in strings:
        document.append(part)
        length += len(part)
        if length > MAXIMUM_CHARACTERS:  # which the parser refuses
            break
    yield from readings("".join(document), language, ssml=True)


def _strings(parts: Iterable[str]) -> Iterator[str]:
    for number, part in enumerate(parts, start=1):
        if not isinstance(part, str):
            raise TextError(f"part {number} of the text: expected a string, found {type(part).__name__}")
        yield part


def _may_become_ssml(head: str) -> bool:
    """Whether the start of a text leaves it open if it is SSML."""
    start = head.lstrip("\ufeff \t\r\n")[:_DETECTED_CHARACTERS]
    return len(start) < _DETECTED_CHARACTERS and any(
        start.startswith(sign[: len(start)]) for sign in ("<speak", "<?xml", "<!--", "<!DOCTYPE", "<!doctype")
    )


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
