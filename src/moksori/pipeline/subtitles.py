"""Subtitles in: SubRip (.srt) and WebVTT (.vtt) files as cues of plain text."""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from moksori.errors import TextError
from moksori.pipeline.book_text import read_text

_TIME = r"(?:(\d{1,3}):)?(\d{1,2}):(\d{2})[,.](\d{1,3})"
_SPAN = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}(?:\s.*)?")
_MARKUP = re.compile(r"<[^<>]{0,200}>|\{\\[^{}]{0,200}\}")
_NOT_SAID = re.compile(r"\[[^\[\]]{0,200}\]|[♪♫#]")  # [door closes], and the notes around songs
_DASH = re.compile(r"^\s*[-–—]\s*")


@dataclass(frozen=True)
class Cue:
    """What is said from one second to another; line: of the file where its times stand, from 1."""

    start_seconds: float
    end_seconds: float
    text: str
    line: int


def read_subtitles(path: str | Path) -> list[Cue]:
    """The cues of a .srt or .vtt file (UTF-8) in order of their start, without markup; what has no word is left out.

    Raises TextError, with the line, for times that cannot be read or run backwards, and for a file without cues.
    """
    path = Path(path)
    found = list(_cues(read_text(path), path))
    if not found:
        raise TextError(f"{path}: holds no cue with words: expected 00:00:01,000 --> 00:00:03,500 and a text under it")
    return sorted(found, key=lambda cue: cue.start_seconds)


def _cues(text: str, path: Path) -> Iterator[Cue]:
    lines = text.splitlines()
    number = 0
    while number < len(lines):
        line = lines[number]
        number += 1
        if "-->" not in line:
            continue  # numbers, names, WEBVTT, NOTE, STYLE
        span = _SPAN.fullmatch(line)
        if span is None:
            raise TextError(f"{path}:{number}: {line.strip()[:60]!r}: expected 00:00:01,000 --> 00:00:03,500")
        start, end = _seconds(*span.groups()[:4]), _seconds(*span.groups()[4:])
        if end <= start:
            raise TextError(f"{path}:{number}: {line.strip()[:60]!r}: ends before it begins: correct the times")
        at, said = number, list[str]()
        while number < len(lines) and lines[number].strip():
            said.append(lines[number])
            number += 1
        plain = " ".join(" ".join(_plain(part) for part in said).split())
        if any(character.isalnum() for character in plain):
            yield Cue(start, end, plain, at)


def _plain(line: str) -> str:
    return _DASH.sub("", _NOT_SAID.sub(" ", html.unescape(_MARKUP.sub("", line))))


def _seconds(hours: str | None, minutes: str, seconds: str, fraction: str) -> float:
    return int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds) + int(fraction.ljust(3, "0")) / 1000.0
