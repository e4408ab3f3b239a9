"""What speaks sentences, a voice or the cast of a dialogue, and what is done with texts for any of them."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

import numpy as np
from jaxtyping import Float

from moksori.errors import TextError
from moksori.pipeline.say_options import SayOptions
from moksori.pipeline.sentences import Gap, Piece, Sentence
from moksori.pipeline.speech import Speech
from moksori.pipeline.speech_timings import Durations, SentenceTiming

MAXIMUM_CHARACTERS = 200_000
"""The longest text spoken in memory: some 4 hours and 1.2 GB of samples; longer ones go straight to a file."""


class Performer(Protocol):
    """What speaks sentences: a voice, or the cast of a dialogue; see Speaker."""

    @property
    def name(self) -> str: ...

    @property
    def sample_rate(self) -> int: ...

    @property
    def identity(self) -> Mapping[str, object]: ...

    def silence(self, seconds: float) -> Float[np.ndarray, " samples"]: ...

    def check(self, texts: Iterable[Sentence], options: SayOptions | None = None) -> int: ...

    def pieces(
        self, texts: Iterable[Sentence], options: SayOptions, seed: int, first: int = 0, gap: Gap = Gap()
    ) -> Iterator[Piece]: ...


def check_length(text: str) -> None:
    """Raises TextError for a text that is too long to be spoken in memory."""
    if len(text) > MAXIMUM_CHARACTERS:
        raise TextError(
            f"text: {len(text):,} characters, {MAXIMUM_CHARACTERS:,} at most are spoken in memory: write it to "
            "a file with moksori.pipeline.say.speak_to_file, or 'moksori say --file TEXT.txt -o OUT.flac'"
        )


def check_texts(
    texts: Iterable[Sentence], check_one: Callable[[int, Sentence], bool], durations: Durations | None
) -> int:
    """Counts sentences while each is checked; raises TextError where durations are left over.

    check_one: checks a sentence by its number, and tells whether durations were given for it.
    """
    count, timed = 0, set()
    for number, sentence in enumerate(texts):
        count += 1
        if check_one(number, sentence):
            timed.add(number)
    if durations is not None and (extra := set(durations.numbers) - timed):
        raise TextError(
            f"durations: hold a sentence {min(extra) + 1}, but the text has {len(timed)} that are spoken: "
            "give the text that the timings were made of"
        )
    return count


def collected(speaker: Performer, texts: list[Sentence], options: SayOptions, seed: int, text: str) -> Speech:
    """Sentences as one Speech; raises TextError if none has anything to speak."""
    speaker.check(texts, options)
    samples: list[np.ndarray] = []
    timings: list[SentenceTiming] = []
    position, gap = 0, Gap()
    for piece in speaker.pieces(texts, options, seed):
        if piece.timing is not None:
            timings.append(piece.timing.shifted(position / speaker.sample_rate))
        samples.append(piece.samples)
        position += len(piece.samples)
        gap = gap.after(piece)
    if position == 0:
        raise nothing_to_say(text)
    samples.append(speaker.silence(gap.seconds_at_end(options.pause)))
    return Speech(np.concatenate(samples), speaker.sample_rate, timings, seed, speaker.name, text)


def nothing_to_say(text: str) -> TextError:
    """The error for a text without a word."""
    shown = " ".join(text.split())
    if not shown:
        return TextError("nothing to say: the text is empty: give some words")
    return TextError(f"nothing to say: {shown[:40]!r} holds no words: give some words")
