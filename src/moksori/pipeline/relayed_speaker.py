"""A voice that cannot speak itself: one model speaks each sentence, another one gives it the voice."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from moksori.models.checkpoint import fingerprint
from moksori.pipeline.convert import Converter
from moksori.pipeline.recordings import LEAST_SECONDS
from moksori.pipeline.say_options import SayOptions
from moksori.pipeline.sentences import Gap, Piece, Sentence
from moksori.pipeline.speaker import Speaker
from moksori.types import Voice


class RelayedSpeaker:
    """A Performer whose sentences `speaker` says and `converter` makes sound like `voice`, each when it is whole."""

    def __init__(self, speaker: Speaker, converter: Converter, voice: Voice) -> None:
        self.speaker, self.converter, self.voice = speaker, converter, voice

    @property
    def name(self) -> str:
        """Both models, in the order of their work."""
        return f"{self.speaker.name}+{self.converter.name}"

    @property
    def sample_rate(self) -> int:
        return self.converter.sample_rate

    @property
    def identity(self) -> Mapping[str, object]:
        """What decides how it sounds."""
        mine = {"converter": fingerprint(self.converter.loaded.folder), "voice": self.voice.name}
        return {**self.speaker.identity, **mine}

    def silence(self, seconds: float) -> Float[np.ndarray, " samples"]:
        """Zeros."""
        return np.zeros(round(seconds * self.sample_rate), np.float32)

    def check(self, texts: Iterable[Sentence], options: SayOptions | None = None) -> int:
        """As `Speaker.check`."""
        return self.speaker.check(texts, options)

    def language_of(self, voice: str | None = None) -> str:
        """The language that is spoken where none is asked for."""
        return self.speaker.language_of(voice)

    def pieces(
        self, texts: Iterable[Sentence], options: SayOptions, seed: int, first: int = 0, gap: Gap = Gap()
    ) -> Iterator[Piece]:
        """As `Speaker.pieces`; raises what `Converter.convert` does too."""
        plain = replace(options, volume_db=0.0)  # the converter brings what it hears to one level
        gain = np.float32(10.0 ** (options.volume_db / 20.0))
        for piece in self.speaker.pieces(texts, plain, seed, first, gap):
            before = gap.seconds(options.pause)
            gap = gap.after(piece)
            if piece.timing is None:
                yield piece
                continue
            made = self._converted(piece.samples[len(self.speaker.silence(before)) :], seed)
            ahead = self.silence(before)
            timing = piece.timing.shifted(len(ahead) / self.sample_rate - piece.timing.start_seconds)
            samples = np.concatenate([ahead, np.clip(made * gain, -1.0, 1.0)])
            yield replace(piece, samples=samples, timing=timing)

    def _converted(self, said: Float[np.ndarray, " said"], seed: int) -> Float[np.ndarray, " made"]:
        rate = self.speaker.sample_rate
        short = max(round(2 * LEAST_SECONDS * rate) - len(said), 0)  # a converter hears nothing in less
        made = self.converter.convert((np.pad(said, (0, short)), rate), like=[self.voice], seed=seed).samples
        return made[: round(len(said) * self.sample_rate / rate)]
