"""Timings as files, by the suffix: JSON, SubRip (.srt), WebVTT (.vtt), Praat's TextGrid; long ones in bounded memory.

Sentences are read as often as a format needs (a TextGrid counts its intervals before it lists them), so they come from
a function that starts anew. Times are the model's own token durations: JSON and TextGrid tell them to 0.1 ms and finer,
subtitles to the millisecond that their formats have.
"""

import io
import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from moksori.errors import BadInput
from moksori.pipeline.captions import Cue, cues
from moksori.pipeline.speech_timings import SentenceTiming
from moksori.pipeline.whole_files import written_whole

Sentences = Callable[[], Iterable[SentenceTiming]]
Interval = tuple[float, float, str]


@dataclass(frozen=True)
class TimingHeader:
    """What the timings belong to: the model, the seed, and the sound's rate and length."""

    model: str
    seed: int
    sample_rate: int
    duration_seconds: float


def check_timings_path(path: Path) -> None:
    """Raises BadInput, naming the four suffixes, unless `path` ends in one of them."""
    if path.suffix.lower() not in _WRITERS:
        found = f"the suffix {path.suffix!r}" if path.suffix else "no suffix"
        raise BadInput(f"{path}: has {found}, which names no form of timings: use .json, .srt, .vtt or .TextGrid")


def write_timings(path: Path, sentences: Sentences, header: TimingHeader) -> None:
    """Writes the timings in the form that the suffix names, whole or not at all.

    Raises BadInput for another suffix, MoksoriError if the disk refuses.
    """
    check_timings_path(path)
    with written_whole(path) as part, part.open("x", encoding="utf-8", newline="\n") as file:
        _WRITERS[path.suffix.lower()](file, sentences, header)


def timings_text(sentences: Sentences, header: TimingHeader, form: str) -> str:
    """The timings as text. form: json, srt, vtt or TextGrid; raises BadInput for another."""
    writer = _WRITERS.get(f".{form.lower()}")
    if writer is None:
        raise BadInput(f"timings as {form!r}: use json, srt, vtt or TextGrid")
    text = io.StringIO()
    writer(text, sentences, header)
    return text.getvalue()


def _write_json(file: TextIO, sentences: Sentences, header: TimingHeader) -> None:
    """A word a line, then a sentence a line with its tokens and their frames."""
    head = {"model": header.model, "seed": header.seed, "sample_rate": header.sample_rate}
    file.write(json.dumps(head, ensure_ascii=False)[:-1] + ', "words": [')
    _write_items(file, (word.as_json() for sentence in sentences() for word in sentence.words))
    file.write('], "sentences": [')
    _write_items(file, (sentence.as_json() for sentence in sentences()))
    file.write("]}\n")


def _write_items(file: TextIO, items: Iterable[object]) -> None:
    for index, item in enumerate(items):
        file.write((",\n  " if index else "\n  ") + json.dumps(item, ensure_ascii=False))
    file.write("\n")


def _write_srt(file: TextIO, sentences: Sentences, header: TimingHeader) -> None:
    number = 0
    for sentence in sentences():
        for cue in cues(sentence):
            number += 1
            span = f"{_clock(cue.start_seconds, ',')} --> {_clock(cue.end_seconds, ',')}"
            name = f"{sentence.speaker}: " if sentence.speaker else ""
            text = "\n".join(" ".join(word.text for word in line) for line in cue.lines)
            file.write(f"{number}\n{span}\n{name}{text}\n\n")


def _write_vtt(file: TextIO, sentences: Sentences, header: TimingHeader) -> None:
    """Cues whose words carry their own times, so that a player can light them up one by one."""
    file.write("WEBVTT\n\n")
    for sentence in sentences():
        for cue in cues(sentence):
            voice = f"<v {_vtt_text(sentence.speaker)}>" if sentence.speaker else ""
            span = f"{_clock(cue.start_seconds, '.')} --> {_clock(cue.end_seconds, '.')}"
            file.write(f"{span}\n{voice}{_stamped(cue)}\n\n")


def _stamped(cue: Cue) -> str:
    """The cue's lines, each word after the first with its start; a stamp must lie inside the cue, after the last."""
    latest, end = _milliseconds(cue.start_seconds), _milliseconds(cue.end_seconds)
    lines = []
    for line in cue.lines:
        said = []
        for word in line:
            start = _milliseconds(word.start_seconds)
            stamp = ""
            if latest < start < end:
                stamp, latest = f"<{_clock(word.start_seconds, '.')}>", start
            said.append(stamp + _vtt_text(word.text))
        lines.append(" ".join(said))
    return "\n".join(lines)


def _vtt_text(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _clock(seconds: float, point: str) -> str:
    """00:00:01.000; hours grow beyond two digits."""
    minutes, milliseconds = divmod(_milliseconds(seconds), 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{milliseconds // 1000:02d}{point}{milliseconds % 1000:03d}"


def _write_textgrid(file: TextIO, sentences: Sentences, header: TimingHeader) -> None:
    """Praat's long text form: tiers sentences, words and phones, in a dialogue three for each speaker.

    The intervals of a tier fill it from 0 to the end: between what is said stand empty ones.
    """
    speakers = list(dict.fromkeys(sentence.speaker for sentence in sentences())) or [""]
    tiers = [(speaker, kind) for speaker in speakers for kind in _TIERS]
    end = max(header.duration_seconds, max((sentence.end_seconds for sentence in sentences()), default=0.0))
    file.write('File type = "ooTextFile"\nObject class = "TextGrid"\n\n')
    file.write(f"xmin = 0\nxmax = {_number(end)}\ntiers? <exists>\nsize = {len(tiers)}\nitem []:\n")
    for index, (speaker, kind) in enumerate(tiers, start=1):

        def intervals(speaker: str = speaker, kind: str = kind) -> Iterator[Interval]:
            chosen = (sentence for sentence in sentences() if sentence.speaker == speaker)
            return _filled((item for sentence in chosen for item in _TIERS[kind](sentence)), end)

        name = f"{speaker} - {kind}" if speaker else kind
        file.write(f'    item [{index}]:\n        class = "IntervalTier"\n        name = "{_quoted(name)}"\n')
        file.write(f"        xmin = 0\n        xmax = {_number(end)}\n")
        file.write(f"        intervals: size = {sum(1 for _ in intervals())}\n")
        for place, (start, stop, text) in enumerate(intervals(), start=1):
            file.write(f"        intervals [{place}]:\n            xmin = {_number(start)}\n")
            file.write(f'            xmax = {_number(stop)}\n            text = "{_quoted(text)}"\n')


def _filled(items: Iterable[Interval], end: float) -> Iterator[Interval]:
    """Intervals with empty ones between them, so that there are neither gaps nor ones without length."""
    position = 0.0
    for start, stop, text in items:
        start, stop = max(round(start, 6), position), min(round(stop, 6), end)
        if stop <= start:
            continue
        if start > position:
            yield position, start, ""
        yield start, stop, text
        position = stop
    if position < end or position == 0.0:
        yield position, end, ""


def _sentence_intervals(sentence: SentenceTiming) -> Iterator[Interval]:
    heard = [word for word in sentence.words if word.phonemes]
    yield heard[0].start_seconds, heard[-1].end_seconds, sentence.text


def _word_intervals(sentence: SentenceTiming) -> Iterator[Interval]:
    return ((word.start_seconds, word.end_seconds, word.text) for word in sentence.words)


def _phone_intervals(sentence: SentenceTiming) -> Iterator[Interval]:
    return ((p.start_seconds, p.end_seconds, p.symbol) for word in sentence.words for p in word.phonemes)


def _quoted(text: str) -> str:
    return text.replace('"', '""')


def _number(seconds: float) -> str:
    return f"{seconds:.6f}".rstrip("0").rstrip(".") if math.isfinite(seconds) else "0"


_TIERS = {"sentences": _sentence_intervals, "words": _word_intervals, "phones": _phone_intervals}
_WRITERS = {".json": _write_json, ".srt": _write_srt, ".vtt": _write_vtt, ".textgrid": _write_textgrid}
