"""A loaded model that speaks texts: sentence by sentence, each with its own random numbers.

Sentence k of a text draws its noise from a generator seeded with (seed, k) alone, so a sentence sounds the same whether
it is spoken in memory, streamed to a file, or after a resumed job.
"""

import hashlib
import json
import logging
import math
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from moksori import __version__
from moksori.errors import BadInput, CheckpointError, MoksoriError, TextError, UnsupportedTask, unknown_name
from moksori.models import registry
from moksori.models.checkpoint import Loaded
from moksori.models.contract import CanSay
from moksori.pipeline.sentences import Gap, Piece, Sentence, Word, readings, sentences
from moksori.text.lexicon import Lexicon, LexiconSource
from moksori.text.tokenizer import Encoded, Tokenizer
from moksori.types import SayControls, TextBatch, Waveform

logger = logging.getLogger(__name__)

__all__ = ["Gap", "Piece", "SayOptions", "Sentence", "Speaker", "Speech", "Word", "readings", "sentences"]

DEFAULT_PAUSE_SECONDS = 0.25
MAXIMUM_CHARACTERS = 200_000
"""The longest text spoken in memory: some 4 hours and 1.2 GB of samples; longer ones go straight to a file."""
MAXIMUM_SEED = 2**63 - 1
SLOWEST, FASTEST = 0.1, 10.0


@dataclass(frozen=True)
class SayOptions:
    """How a text is spoken; out-of-range values raise BadInput.

    speed: 2 = half as long, 0.1 to 10. variation: standard deviation of the prior's noise, 0 to 10; None = the model's.
    pause_seconds: silence between sentences, 2.5 times that between paragraphs, half of it at both ends; None = 0.25.
    speaker: a name of the model's speaker table; None = the first. language: None = the speaker's own.
    volume_db: gain; what it lifts beyond full scale is clipped. lexicon: pronunciations that come before all rules.
    """

    speed: float = 1.0
    variation: float | None = None
    pause_seconds: float | None = None
    speaker: str | None = None
    language: str | None = None
    volume_db: float = 0.0
    lexicon: Lexicon = field(default_factory=Lexicon)

    def __post_init__(self) -> None:
        _within("speed", self.speed, SLOWEST, FASTEST)
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

    lexicon: pronunciations for all that it says. A model's attribute `takes_pitch`, where it has one, tells whether it
    can shift the pitch.
    Raises UnsupportedTask if the model cannot speak, CheckpointError if the folder names two different text settings.
    """

    def __init__(self, loaded: Loaded, lexicon: LexiconSource | None = None) -> None:
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
        self.lexicon = Lexicon.of(lexicon)
        self._tokenizers: dict[Lexicon, Tokenizer] = {}
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
        lexicon: LexiconSource | None = None,
        ssml: bool | None = None,
    ) -> Speech:
        """The text as speech; the same seed gives the same samples, None draws one.

        speed: factor, 2 = half as long. variation: 0 = the same sound every time, None = the model's own.
        pause: seconds between sentences. volume: dB. Ranges: see SayOptions. lexicon: a mapping of word to IPA or
        respelling, or lexicon files. ssml: whether the text is SSML; None = where it starts with `<speak`.
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
        options = SayOptions(speed, variation, pause, speaker, language, volume, Lexicon.of(lexicon))
        seed = chosen_seed(seed)
        texts = list(readings(text, language or self.language_of(speaker), ssml))
        self.check(texts)
        samples: list[np.ndarray] = []
        words: list[Word] = []
        position, gap = 0, Gap()
        for piece in self.pieces(texts, options, seed):
            start = position / self.sample_rate
            words += (Word(w.text, start + w.start_seconds, start + w.end_seconds) for w in piece.words)
            samples.append(piece.samples)
            position += len(piece.samples)
            gap = gap.after(piece)
        if position == 0:
            raise nothing_to_say(text)
        samples.append(self.silence(gap.seconds_at_end(options.pause)))
        return Speech(np.concatenate(samples), self.sample_rate, words, seed, self.name, text)

    def pieces(
        self, texts: Iterable[Sentence], options: SayOptions, seed: int, first: int = 0, gap: Gap = Gap()
    ) -> Iterator[Piece]:
        """Sentence after sentence as sound, in bounded memory; the silence at the end of the text is the caller's.

        first: the number of the first of these sentences in the whole text; gap: the state before it.
        """
        told: set[str] = set()
        tokenizers: dict[str | None, Tokenizer] = {}
        for number, sentence in enumerate(texts, start=first):
            voice = sentence.style.voice or options.speaker
            if voice not in tokenizers:
                tokenizers[voice] = self._tokenizer(options.lexicon, voice)
            tokenizer = tokenizers[voice]
            language = sentence.style.language or options.language or self.language_of(voice)
            tokenizer.check_sounds(sentence.text, language)
            encoded = tokenizer.encode(sentence.text, language)
            for symbol in encoded.unknown:
                if symbol not in told:
                    told.add(symbol)
                    logger.warning("%s does not know the symbol %r and leaves it out", self.name, symbol)
            if any(word.end_token > word.start_token for word in encoded.words):
                piece = self._piece(number, sentence, encoded, voice, gap.seconds(options.pause), options, seed)
            else:
                piece = Piece(number, sentence, np.zeros(0, np.float32), (), spoken=False)
            yield piece
            gap = gap.after(piece)

    def check(self, texts: Iterable[Sentence]) -> int:
        """Reads texts through before anything is spoken; returns how many sentences they have.

        Raises UnknownName for a voice that the model lacks; warns where the pitch is to shift and the model cannot.
        """
        shifted, count = False, 0
        for sentence in texts:
            count += 1
            if sentence.style.voice is not None:
                self._speaker_index(sentence.style.voice)
            shifted = shifted or sentence.style.shift_semitones != 0.0
        if shifted and not getattr(self._model, "takes_pitch", True):
            logger.warning("%s cannot shift its pitch: <prosody pitch> has no effect", self.name)
        return count

    def silence(self, seconds: float) -> Float[np.ndarray, " samples"]:
        """Zeros."""
        return np.zeros(round(seconds * self.sample_rate), np.float32)

    def _tokenizer(self, lexicon: Lexicon, voice: str | None) -> Tokenizer:
        """A tokenizer with the entries that hold for a voice."""
        self._speaker_index(voice)
        lexicon = (self.lexicon + lexicon).for_voice(self.name, voice or self.speakers[0])
        if lexicon not in self._tokenizers:
            self._tokenizers[lexicon] = Tokenizer(self._text, lexicon)
        return self._tokenizers[lexicon]

    def language_of(self, voice: str | None = None) -> str:
        """The language a speaker of the model speaks where none is asked for; None is the first speaker."""
        return self.manifest.speaker_languages.get(voice or self.speakers[0], self._text.language)

    def _speaker_index(self, voice: str | None) -> int:
        if voice is not None and voice not in self.speakers:
            raise unknown_name("speaker", voice, self.speakers)
        return self.manifest.speakers.index(voice) if voice in self.manifest.speakers else 0

    def _piece(
        self,
        number: int,
        sentence: Sentence,
        encoded: Encoded,
        voice: str | None,
        silence: float,
        options: SayOptions,
        seed: int,
    ) -> Piece:
        batch = TextBatch(
            tokens=torch.from_numpy(encoded.tokens)[None].to(self._device),
            stress=torch.from_numpy(encoded.stress)[None].to(self._device),
            token_lengths=torch.tensor([len(encoded.tokens)], device=self._device),
            speaker=torch.tensor([self._speaker_index(voice)], device=self._device),
        )
        style = sentence.style
        speed = min(max(options.speed * style.rate, SLOWEST), FASTEST)
        generator = sentence_generator(seed, number, self._device)
        with torch.inference_mode():
            spoken = self._model.say(batch, SayControls(options.variation, speed, style.shift_semitones), generator)
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
        if (volume_db := options.volume_db + style.volume_db) != 0.0:
            samples = samples * np.float32(10.0 ** (volume_db / 20.0))
        samples = np.clip(samples, -1.0, 1.0).astype(np.float32)
        return Piece(number, sentence, np.concatenate([before, samples]), words, spoken=True)


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
