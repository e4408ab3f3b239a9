"""A loaded model that speaks texts: sentence by sentence, each with its own random numbers.

Sentence k of a text draws its noise from a generator seeded with (seed, k) alone, so a sentence sounds the same whether
it is spoken in memory, streamed to a file, or after a resumed job.
"""

import hashlib
import io
import itertools
import json
import logging
import math
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch
from jaxtyping import Float

from moksori import __version__
from moksori.errors import BadInput, CheckpointError, MoksoriError, TextError, UnsupportedTask, unknown_name
from moksori.models import registry
from moksori.models.checkpoint import Loaded
from moksori.models.contract import CanSay
from moksori.text.sentences import split_sentences
from moksori.text.tokenizer import Encoded, Tokenizer
from moksori.types import SayControls, TextBatch, Waveform

logger = logging.getLogger(__name__)

DEFAULT_PAUSE_SECONDS = 0.25
PARAGRAPH_FACTOR = 2.5
EDGE_FACTOR = 0.5
"""Silence at the end of a paragraph and at both ends of a text, in pauses."""
MAXIMUM_CHARACTERS = 200_000
"""The longest text spoken in memory: some 4 hours and 1.2 GB of samples; longer ones go straight to a file."""
MAXIMUM_SEED = 2**63 - 1
_LINE_CHARACTERS = 2**16


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
class SayOptions:
    """How a text is spoken; out-of-range values raise BadInput.

    speed: 2 = half as long, 0.1 to 10. variation: standard deviation of the prior's noise, 0 to 10; None = the model's.
    pause_seconds: silence between sentences, 2.5 times that between paragraphs, half of it at both ends; None = 0.25.
    speaker: a name of the model's speaker table; None = the first. language: None = the model's own.
    volume_db: gain; what it lifts beyond full scale is clipped. lexicon: word -> IPA, used instead of espeak.
    """

    speed: float = 1.0
    variation: float | None = None
    pause_seconds: float | None = None
    speaker: str | None = None
    language: str | None = None
    volume_db: float = 0.0
    lexicon: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _within("speed", self.speed, 0.1, 10.0)
        _within("volume", self.volume_db, -80.0, 40.0)
        if self.variation is not None:
            _within("variation", self.variation, 0.0, 10.0)
        if self.pause_seconds is not None:
            _within("pause", self.pause_seconds, 0.0, 60.0)

    @property
    def pause(self) -> float:
        """Seconds between two sentences."""
        return DEFAULT_PAUSE_SECONDS if self.pause_seconds is None else self.pause_seconds


@dataclass(frozen=True)
class Sentence:
    """A piece of text that is spoken in one go; `ends_paragraph` makes the pause after it longer."""

    text: str
    ends_paragraph: bool = False


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

    def after(self, piece: Piece) -> "Gap":
        """The state once `piece` is over; an unspoken sentence can end a paragraph, but starts nothing."""
        carried = False if piece.spoken else self.paragraph
        return Gap(self.started or piece.spoken, carried or piece.sentence.ends_paragraph)


@dataclass(frozen=True)
class Speech:
    """A spoken text: float32 samples in [-1, 1], their rate in Hz, and when each word is heard.

    seed: with it the same model says the text with the same samples again.
    """

    samples: Float[np.ndarray, " samples"]
    sample_rate: int
    timings: list[Word]
    seed: int
    model: str
    text: str = ""

    @property
    def duration_seconds(self) -> float:
        return len(self.samples) / self.sample_rate

    @property
    def waveform(self) -> Waveform:
        return Waveform(self.samples, self.sample_rate)

    def save(self, path: str | Path, timings: str | Path | None = None) -> Path:
        """Writes a wav, flac, ogg, opus or mp3 file (by its suffix) whose metadata says that it is synthetic.

        timings: also writes the word times there, as JSON. Raises AudioError for another suffix or a folder that is
        missing, and MoksoriError when the disk is full; nothing is left half written.
        """
        from moksori.audio.stream import write_blocks

        path = Path(path)
        blocks = (self.samples[start : start + 2**16] for start in range(0, len(self.samples), 2**16))
        write_blocks(
            path, blocks, self.sample_rate, len(self.samples), synthetic_metadata(self.model, self.seed, self.text)
        )
        if timings is not None:
            write_timings(Path(timings), self.timings, self.sample_rate, self.model, self.seed)
        return path


class Speaker:
    """A model that speaks: `say` for texts in memory, `pieces` for texts of any length.

    Raises UnsupportedTask if the model cannot speak, CheckpointError if the folder names two different text settings.
    """

    def __init__(self, loaded: Loaded) -> None:
        if not isinstance(loaded.model, CanSay) or loaded.manifest.text is None:
            able = [name for name in registry.family_names() if hasattr(registry.family(name).model, "say")]
            raise UnsupportedTask(
                f"{loaded.manifest.name}: a {loaded.manifest.family!r} model cannot speak: use one of {', '.join(able)}"
            )
        own = getattr(getattr(loaded.model, "config", None), "text", None)
        if own is not None and own != loaded.manifest.text:  # other ids than those it was trained with would be babble
            raise CheckpointError(f"{loaded.folder}: config.json's text and model.text differ: copy the model again")
        self.loaded = loaded
        self.manifest = loaded.manifest
        self._model: CanSay = loaded.model
        self._text = loaded.manifest.text
        self._tokenizers: dict[tuple[tuple[str, str], ...], Tokenizer] = {}
        parameter = next(loaded.model.parameters(), None)
        self._device = parameter.device if parameter is not None else torch.device("cpu")

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def sample_rate(self) -> int:
        return self.manifest.sample_rate

    @property
    def speakers(self) -> tuple[str, ...]:
        """The names that `speaker=` takes."""
        return self.manifest.speakers or (self.manifest.name,)

    def say(
        self,
        text: str,
        speed: float = 1.0,
        variation: float | None = None,
        pause: float | None = None,
        seed: int | None = None,
        speaker: str | None = None,
        language: str | None = None,
        volume: float = 0.0,
        lexicon: Mapping[str, str] | None = None,
    ) -> Speech:
        """The text as speech; the same seed gives the same samples, None draws one.

        speed: factor, 2 = half as long. variation: 0 = the same sound every time, None = the model's own.
        pause: seconds between sentences. volume: dB. lexicon: word -> IPA. Ranges: see SayOptions.
        Raises TextError for a text with nothing to speak or of more than 200,000 characters, BadInput for a value out
        of range, UnknownName for a speaker or language that does not exist.
        """
        if not isinstance(text, str):
            raise TextError(f"text: expected a string, found {type(text).__name__}")
        if len(text) > MAXIMUM_CHARACTERS:
            raise TextError(
                f"text: {len(text):,} characters, {MAXIMUM_CHARACTERS:,} at most are spoken in memory: write it to "
                "a file with moksori.pipeline.say.speak_to_file, or 'moksori say --file TEXT.txt -o OUT.flac'"
            )
        options = SayOptions(speed, variation, pause, speaker, language, volume, lexicon or {})
        seed = chosen_seed(seed)
        samples: list[np.ndarray] = []
        words: list[Word] = []
        position = 0
        for piece in self.pieces(sentences(text, language or self.manifest.language), options, seed):
            start = position / self.sample_rate
            words += (Word(w.text, start + w.start_seconds, start + w.end_seconds) for w in piece.words)
            samples.append(piece.samples)
            position += len(piece.samples)
        if position == 0:
            raise nothing_to_say(text)
        samples.append(self.silence(options.pause * EDGE_FACTOR))
        return Speech(np.concatenate(samples), self.sample_rate, words, seed, self.name, text)

    def pieces(
        self, texts: Iterable[Sentence], options: SayOptions, seed: int, first: int = 0, gap: Gap = Gap()
    ) -> Iterator[Piece]:
        """Sentence after sentence as sound, in bounded memory; the silence at the end of the text is the caller's.

        first: the number of the first of these sentences in the whole text; gap: the state before it.
        """
        table = self.manifest.speakers
        if options.speaker is not None and options.speaker not in self.speakers:
            raise unknown_name("speaker", options.speaker, self.speakers)
        index = table.index(options.speaker) if options.speaker in table else 0
        tokenizer = self._tokenizer(options.lexicon)
        told: set[str] = set()
        for number, sentence in enumerate(texts, start=first):
            encoded = tokenizer.encode(sentence.text, options.language)
            for symbol in encoded.unknown:
                if symbol not in told:
                    told.add(symbol)
                    logger.warning("%s does not know the symbol %r and leaves it out", self.name, symbol)
            if any(word.end_token > word.start_token for word in encoded.words):
                silence = options.pause * (
                    EDGE_FACTOR if not gap.started else PARAGRAPH_FACTOR if gap.paragraph else 1.0
                )
                piece = self._piece(number, sentence, encoded, index, silence, options, seed)
            else:
                piece = Piece(number, sentence, np.zeros(0, np.float32), (), spoken=False)
            yield piece
            gap = gap.after(piece)

    def silence(self, seconds: float) -> Float[np.ndarray, " samples"]:
        """Zeros."""
        return np.zeros(round(seconds * self.sample_rate), np.float32)

    def _tokenizer(self, lexicon: Mapping[str, str]) -> Tokenizer:
        key = tuple(sorted(lexicon.items()))
        if key not in self._tokenizers:
            self._tokenizers[key] = Tokenizer(self._text, lexicon)
        return self._tokenizers[key]

    def _piece(
        self,
        number: int,
        sentence: Sentence,
        encoded: Encoded,
        speaker: int,
        silence: float,
        options: SayOptions,
        seed: int,
    ) -> Piece:
        batch = TextBatch(
            tokens=torch.from_numpy(encoded.tokens)[None].to(self._device),
            stress=torch.from_numpy(encoded.stress)[None].to(self._device),
            token_lengths=torch.tensor([len(encoded.tokens)], device=self._device),
            speaker=torch.tensor([speaker], device=self._device),
        )
        generator = sentence_generator(seed, number, self._device)
        with torch.inference_mode():
            spoken = self._model.say(batch, SayControls(options.variation, options.speed), generator)
        length = int(spoken.waveform_lengths[0])
        samples = spoken.waveform[0, :length].float().cpu().numpy()
        if not np.isfinite(samples).all():
            raise MoksoriError(
                f"{self.name}: made NaN or infinity of {sentence.text[:60]!r}: try another seed or a lower variation"
            )
        frames = spoken.durations[0, : len(encoded.tokens)].cpu().numpy().astype(np.int64)
        borders = np.concatenate([[0], np.cumsum(frames)]) * (length / max(int(frames.sum()), 1) / self.sample_rate)
        before = self.silence(silence)
        offset = len(before) / self.sample_rate
        words = tuple(
            Word(w.text, offset + float(borders[w.start_token]), offset + float(borders[w.end_token]))
            for w in encoded.words
        )
        if options.volume_db != 0.0:
            samples = samples * np.float32(10.0 ** (options.volume_db / 20.0))
        samples = np.clip(samples, -1.0, 1.0).astype(np.float32)
        return Piece(number, sentence, np.concatenate([before, samples]), words, spoken=True)


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


def sentence_generator(seed: int, index: int, device: torch.device | str = "cpu") -> torch.Generator:
    """The random numbers of sentence `index`: seeded by a hash, since neighbouring seeds would give related streams."""
    digest = hashlib.sha256(f"{seed}/{index}".encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def chosen_seed(seed: int | None) -> int:
    """`seed`, or a fresh one; raises BadInput beyond 0 to 2^63 - 1."""
    if seed is None:
        return secrets.randbelow(2**31)
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= MAXIMUM_SEED:
        raise BadInput(f"seed {seed!r}: expected a whole number from 0 to {MAXIMUM_SEED}")
    return seed


def nothing_to_say(text: str) -> TextError:
    """The error for a text without a word."""
    shown = " ".join(text.split())
    if not shown:
        return TextError("nothing to say: the text is empty: give some words")
    return TextError(f"nothing to say: {shown[:40]!r} holds no words: give some words")


def synthetic_metadata(model: str, seed: int, text: str = "") -> dict[str, str]:
    """Tags of a file: that a machine spoke, which model, with which seed."""
    tags = {
        "artist": f"moksori {model}",
        "synthetic": "true",
        "software": f"moksori {__version__}",
        "model": model,
        "seed": str(seed),
    }
    title = " ".join(text.split())
    return {**tags, "title": title[:80]} if title else tags


def write_timings(path: Path, words: Iterable[Word], sample_rate: int, model: str, seed: int) -> None:
    """Word times as JSON, a word a line, written whole or not at all; raises MoksoriError if the disk refuses."""
    part = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.part")
    head = {"model": model, "seed": seed, "sample_rate": sample_rate}
    try:
        with part.open("x", encoding="utf-8") as file:
            file.write(json.dumps(head, ensure_ascii=False)[:-1] + ', "words": [')
            for index, word in enumerate(words):
                file.write((",\n  " if index else "\n  ") + json.dumps(word.as_json(), ensure_ascii=False))
            file.write("\n]}\n")
        part.replace(path)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise MoksoriError(f"{path}: cannot be written: {reason}: free space or choose another folder") from error
    finally:
        part.unlink(missing_ok=True)


def _within(name: str, value: float, low: float, high: float) -> None:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not math.isfinite(value)
        or not low <= value <= high
    ):
        raise BadInput(f"{name} {value!r}: expected a number from {low:g} to {high:g}")
