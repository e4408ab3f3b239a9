"""When what was spoken is heard: sentences, words and phonemes, to the frame, out of the model's own durations.

The same table, tokens and their frames, is what a person edits and gives back as `durations`.
"""

import hashlib
import json
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any, Self

import numpy as np
from jaxtyping import Int

from moksori.errors import BadInput, TextError
from moksori.text.tokenizer import Encoded, TextConfig
from moksori.types import SpokenFlags

LEAST_COVERAGE = 0.9
"""Of the tokens that a model looks at; with less something may be missing, and that is told."""
MAXIMUM_FRAMES = 10_000
"""Of one token whose duration is given: two minutes at 22.05 kHz and hop 256."""
_STRESS_MARKS = ("", "ˈ", "ˌ")
_LENGTH_MARKS = "ːˑ"


@dataclass(frozen=True)
class Phoneme:
    """A phone with its stress mark, or a letter where the voice reads letters, and when it is heard."""

    symbol: str
    start_seconds: float
    end_seconds: float


@dataclass(frozen=True)
class Word:
    """A written word, when it is heard, and what it is made of; times are those of the sound it belongs to."""

    text: str
    start_seconds: float
    end_seconds: float
    phonemes: tuple[Phoneme, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The word with times rounded to 0.1 ms."""
        phonemes = [
            {"symbol": p.symbol, "start_seconds": round(p.start_seconds, 4), "end_seconds": round(p.end_seconds, 4)}
            for p in self.phonemes
        ]
        return {
            "text": self.text,
            "start_seconds": round(self.start_seconds, 4),
            "end_seconds": round(self.end_seconds, 4),
            "phonemes": phonemes,
        }


@dataclass(frozen=True)
class Span:
    """A written word and its tokens `[first, end)`; phones: symbol and tokens of each phone in it."""

    text: str
    first: int
    end: int
    phones: tuple[tuple[str, int, int], ...] = ()


@dataclass(frozen=True)
class SentenceTiming:
    """What was spoken for one sentence, token by token.

    number: of the sentence in its text, from 0. start_seconds: when its first frame is heard. frame_seconds: the length
    of a frame. tokens: the symbol of each token, with its stress mark, and its frames; silence before and after, pauses
    and blanks are tokens too. speaker: who speaks in a dialogue, else "". flags: how well the model kept to the text,
    from models that may leave something out.
    """

    number: int
    text: str
    start_seconds: float
    frame_seconds: float
    tokens: tuple[tuple[str, int], ...]
    spans: tuple[Span, ...]
    speaker: str = ""
    flags: SpokenFlags | None = None

    @property
    def doubts(self) -> tuple[str, ...]:
        """What a person should know of how well the text was kept to; empty where nothing is amiss."""
        if self.flags is None:
            return ()
        found = []
        if self.flags.truncated:
            found.append("the end never came and the sound was cut: try another seed, a lower variation or less text")
        if self.flags.coverage < LEAST_COVERAGE:
            left = 100.0 * (1.0 - self.flags.coverage)
            found.append(f"{left:.0f} % of the phonemes may be missing: try another seed or a lower variation")
        return tuple(found)

    @property
    def frames(self) -> int:
        """All frames of the sentence."""
        return sum(frames for _, frames in self.tokens)

    @property
    def end_seconds(self) -> float:
        return self.start_seconds + self.frames * self.frame_seconds

    @property
    def words(self) -> tuple[Word, ...]:
        """Its words; one for which nothing is said has no length and no phonemes."""
        borders = list(accumulate((frames for _, frames in self.tokens), initial=0))

        def at(token: int) -> float:
            return self.start_seconds + borders[token] * self.frame_seconds

        return tuple(
            Word(
                span.text,
                at(span.first),
                at(span.end),
                tuple(Phoneme(symbol, at(first), at(end)) for symbol, first, end in span.phones),
            )
            for span in self.spans
        )

    def shifted(self, seconds: float) -> Self:
        """The same, heard later."""
        return replace(self, start_seconds=self.start_seconds + seconds)

    def as_json(self) -> dict[str, Any]:
        """For people and programs: times in seconds, durations in frames."""
        speaker = {"speaker": self.speaker} if self.speaker else {}
        flags = {} if self.flags is None else {"flags": asdict(self.flags)}
        return {
            "number": self.number,
            "text": self.text,
            **speaker,
            **flags,
            "start_seconds": round(self.start_seconds, 4),
            "end_seconds": round(self.end_seconds, 4),
            "frame_seconds": round(self.frame_seconds, 9),
            "durations": [list(token) for token in self.tokens],
        }

    def packed(self) -> dict[str, Any]:
        """All of it, exactly; `unpacked` reads it back."""
        return asdict(self)

    @classmethod
    def unpacked(cls, packed: Mapping[str, Any]) -> Self:
        spans = tuple(
            Span(span["text"], span["first"], span["end"], tuple((s, a, b) for s, a, b in span["phones"]))
            for span in packed["spans"]
        )
        tokens = tuple((symbol, frames) for symbol, frames in packed["tokens"])
        flags = None if packed.get("flags") is None else SpokenFlags(**packed["flags"])
        return cls(**{**packed, "tokens": tokens, "spans": spans, "flags": flags})


def token_symbols(encoded: Encoded, config: TextConfig) -> tuple[str, ...]:
    """The symbol of each token, with its stress mark where stress stands beside the tokens."""
    return tuple(
        _STRESS_MARKS[stress] + config.symbols[token]
        for token, stress in zip(encoded.tokens.tolist(), encoded.stress.tolist(), strict=True)
    )


def word_spans(encoded: Encoded, config: TextConfig) -> tuple[Span, ...]:
    """The words of a text with their phones: blanks and length marks belong to the phone before, stress to the next."""
    symbols = token_symbols(encoded, config)
    blank = config.blank if config.blanks else None
    return tuple(
        Span(w.text, w.start_token, w.end_token, _phones(symbols, w.start_token, w.end_token, blank))
        for w in encoded.words
    )


def _phones(symbols: Sequence[str], first: int, end: int, blank: str | None) -> tuple[tuple[str, int, int], ...]:
    phones: list[tuple[str, int, int]] = []
    for index in range(first, end):
        symbol = symbols[index]
        if not phones:
            phones.append((symbol, index, index + 1))
            continue
        before, start, _ = phones[-1]
        if symbol == blank:
            phones[-1] = (before, start, index + 1)
        elif symbol in _LENGTH_MARKS or unicodedata.combining(symbol[0]) or before in _STRESS_MARKS:
            phones[-1] = (before + symbol, start, index + 1)
        else:
            phones.append((symbol, index, index + 1))
    return tuple(phones)


@dataclass(frozen=True)
class GivenSentence:
    """Durations of one sentence as they are given: symbol and frames of each token.

    frame_seconds: length of the frames they count, None if it is not told.
    """

    tokens: tuple[tuple[str, int], ...]
    frame_seconds: float | None = None

    def frames_for(self, symbols: Sequence[str], sentence: str) -> Int[np.ndarray, " tokens"]:
        """The frames of each token; raises TextError saying where the tokens are not those of the text."""
        given = [symbol for symbol, _ in self.tokens]
        if given != list(symbols):
            place = next((i for i, (a, b) in enumerate(zip(given, symbols, strict=False)) if a != b), None)
            place = min(len(given), len(symbols)) if place is None else place
            found = f"{given[place]!r}" if place < len(given) else "their end"
            wanted = f"{symbols[place]!r}" if place < len(symbols) else "its end"
            context = " ".join(symbols[max(place - 4, 0) : place]) or "its start"
            raise TextError(
                f"durations of {sentence[:40]!r}: token {place + 1} is {found}, but the text has {wanted} there "
                f"(after {context}): keep the tokens of --timings, or make the timings of this text anew"
            )
        return np.array([frames for _, frames in self.tokens], dtype=np.int64)


@dataclass(frozen=True)
class Durations:
    """Frames of each token of a text, by the number of the sentence; what `--durations` and `durations=` take.

    Hashable, so that it can stand among the options of a job.
    """

    sentences: tuple[tuple[int, GivenSentence], ...]

    @classmethod
    def of(cls, source: "DurationSource") -> "Durations | None":
        """From a JSON file that `--timings` wrote, what it holds, or the sentences of a Speech.

        Raises TextError or BadInput naming the file and the entry that cannot be used.
        """
        if source is None or isinstance(source, Durations):
            return source
        if isinstance(source, str | Path):
            return cls._read(Path(source))
        if isinstance(source, Mapping):
            return cls._parsed(source, "durations")
        return cls._parsed({"sentences": [timing.as_json() for timing in source]}, "durations")

    def __getitem__(self, number: int) -> GivenSentence | None:
        """Those of sentence `number`, None if it has none."""
        index = bisect_right(self.sentences, number, key=lambda item: item[0]) - 1
        return self.sentences[index][1] if index >= 0 and self.sentences[index][0] == number else None

    @property
    def digest(self) -> str:
        """Tells other durations apart."""
        return hashlib.sha256(repr(self.sentences).encode("utf-8", "surrogatepass")).hexdigest()[:16]

    @property
    def numbers(self) -> list[int]:
        """The sentences that have durations, in order."""
        return [number for number, _ in self.sentences]

    @classmethod
    def _read(cls, path: Path) -> "Durations":
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise BadInput(f"{path}: cannot be read: {reason}: check the name") from error
        except ValueError as error:
            raise BadInput(f"{path}: no JSON ({error}): give the file that --timings x.json wrote") from error
        return cls._parsed(content, str(path))

    @classmethod
    def _parsed(cls, content: Any, where: str) -> "Durations":
        entries = content.get("sentences") if isinstance(content, Mapping) else None
        if not isinstance(entries, list):
            raise BadInput(f"{where}: has no list 'sentences': give what --timings x.json wrote")
        found: dict[int, GivenSentence] = {}
        for place, entry in enumerate(entries):
            name = f"{where}: sentence {place + 1}"
            number = entry.get("number", place) if isinstance(entry, Mapping) else None
            if not isinstance(number, int) or isinstance(number, bool) or number < 0 or number in found:
                raise BadInput(f"{name}: its number {number!r}: expected 0, 1, 2, ..., each once")
            frame_seconds = entry.get("frame_seconds")
            if frame_seconds is not None and not (isinstance(frame_seconds, int | float) and frame_seconds > 0):
                raise BadInput(f"{name}: frame_seconds {frame_seconds!r}: expected a number above 0")
            found[number] = GivenSentence(tuple(_tokens(entry.get("durations"), name)), frame_seconds)
        return cls(tuple(sorted(found.items(), key=lambda item: item[0])))


DurationSource = Durations | str | Path | Mapping[str, Any] | Iterable[SentenceTiming] | None
"""A JSON file of `--timings`, what it holds, or `speech.sentences`."""


def _tokens(entries: Any, name: str) -> Iterator[tuple[str, int]]:
    if not isinstance(entries, list):
        raise BadInput(f"{name}: has no list 'durations': expected pairs of symbol and frames")
    for place, entry in enumerate(entries):
        if not isinstance(entry, list | tuple) or len(entry) != 2 or not isinstance(entry[0], str):
            raise BadInput(f"{name}, token {place + 1}: {str(entry)[:40]!r}: expected a pair of symbol and frames")
        symbol, frames = entry
        least = 1 if any(c.isalpha() for c in symbol) and not symbol.startswith("<") else 0  # what is no sound may go
        if isinstance(frames, bool) or not isinstance(frames, int) or not least <= frames <= MAXIMUM_FRAMES:
            raise BadInput(
                f"{name}, token {place + 1} ({symbol!r}): {frames!r} frames: expected a whole number from {least} to "
                f"{MAXIMUM_FRAMES}"
            )
        yield symbol, frames
