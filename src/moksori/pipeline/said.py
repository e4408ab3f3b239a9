"""What is said in a recording, laid onto its samples: for models that make a recording anew from its text."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int

from moksori.audio.resample import resample
from moksori.errors import BadInput, CheckpointError, TextError, UnsupportedTask
from moksori.models.checkpoint import Loaded, load_model
from moksori.models.contract import CanAlign
from moksori.nn.alignment import AlignmentError
from moksori.pipeline.models import family_default, only_model
from moksori.pipeline.sentences import readings
from moksori.pipeline.text_batches import text_batch
from moksori.text.inline import as_written
from moksori.text.tokenizer import Encoded, TextConfig, Tokenizer
from moksori.types import SpeechBatch, TextBatch, Waveform

FAMILY = "aligner"
MOST_SECONDS = 120.0
"""Of a recording: the path through all of its frames and states is searched at once."""
POOR_FIT = 0.5
"""Mean squared error of the standardised mel along the path: of 60 recordings of strangers none with its own text lies
above (5 % above 0.40), with texts of others three quarters do. Hoarse synthetic speech comes to 0.48."""
DITHER = 3e-4
"""Noise that is laid under what is searched: pauses without any sound, as machines make them, fit no pause that was
recorded."""


@dataclass(frozen=True)
class SaidSentence:
    """A sentence and where it is: frames of each token, `start` to `stop` in frames of who asked."""

    text: str
    encoded: Encoded
    frames: Int[np.ndarray, " tokens"]
    start: int
    stop: int

    def batch(self, device: torch.device | str = "cpu") -> TextBatch:
        """As a model is asked for it."""
        return text_batch(self.encoded, 0, device, self.frames)


@dataclass(frozen=True)
class Said:
    """All sentences, one after the other without a gap. misfit: how badly the text fits, see POOR_FIT."""

    sentences: tuple[SaidSentence, ...]
    misfit: float


class TextFinder:
    """Finds a text in recordings. aligner: loaded; None: the default one, when it is first needed."""

    def __init__(self, aligner: Loaded | None = None) -> None:
        self._given = aligner

    @cached_property
    def _loaded(self) -> tuple[CanAlign, TextConfig]:
        loaded = self._given or load_model(_default_folder())
        if not isinstance(loaded.model, CanAlign) or loaded.manifest.text is None:
            raise UnsupportedTask(f"{loaded.manifest.name}: a {loaded.manifest.family!r} model finds no text")
        return loaded.model, loaded.manifest.text

    def find(
        self,
        text: str,
        language: str,
        samples: Float[np.ndarray, " samples"],
        sample_rate: int,
        hop_length: int,
        wanted: TextConfig,
    ) -> Said:
        """Where each token of a text is, in whole frames of `hop_length` samples.

        wanted: how who asks reads texts, which must be how the aligner does. Raises BadInput for a recording that is
        too long, or too short for the text, TextError for a text without a word, CheckpointError where no aligner is
        here or it reads texts otherwise.
        """
        model, config = self._loaded
        if config.model_copy(update={"language": wanted.language}) != wanted:
            raise CheckpointError("the aligner here reads texts with other symbols than this model does")
        if len(samples) > MOST_SECONDS * sample_rate:
            raise BadInput(
                f"a text is searched in at most {MOST_SECONDS:g} s of sound: cut the recording, and the text"
            )
        tokenizer = Tokenizer(config)
        texts = [sentence.text for sentence in readings(text, language)]
        read = [(as_written(one), tokenizer.encode(one, language)) for one in texts]
        read = [(one, found) for one, found in read if any(w.end_token > w.start_token for w in found.words)]
        if not read:
            raise TextError("the text of the recording holds no words: give what is said in it")
        frames, misfit = self._aligned(model, [encoded for _, encoded in read], samples, sample_rate)
        # Ends of tokens in frames of who asks; the last one is the recording's.
        ends = np.cumsum(frames) * model.hop_length / model.sample_rate * sample_rate / hop_length
        whole = np.minimum(np.round(ends).astype(np.int64), len(samples) // hop_length)
        whole[-1] = len(samples) // hop_length
        return Said(tuple(_cut(read, np.diff(whole, prepend=0))), misfit)

    def _aligned(
        self, model: CanAlign, read: list[Encoded], samples: Float[np.ndarray, " samples"], sample_rate: int
    ) -> tuple[Int[np.ndarray, " tokens"], float]:
        heard = resample(Waveform(samples, sample_rate), model.sample_rate).samples
        heard = heard[: len(heard) // model.hop_length * model.hop_length]
        heard = heard + DITHER * np.random.default_rng(0).standard_normal(len(heard)).astype(np.float32)
        tokens = torch.from_numpy(np.concatenate([encoded.tokens for encoded in read]))[None]
        batch = SpeechBatch(
            names=("recording",),
            waveform=torch.from_numpy(np.ascontiguousarray(heard))[None],
            waveform_lengths=torch.tensor([len(heard)]),
            speaker=torch.zeros(1, dtype=torch.int64),
            tokens=tokens,
            stress=torch.from_numpy(np.concatenate([encoded.stress for encoded in read]))[None],
            token_lengths=torch.tensor([tokens.shape[1]]),
        )
        try:
            return model.align(batch)[0].numpy(), float(model.misfit(batch)[0])
        except AlignmentError as error:
            raise BadInput(
                f"the recording lasts {len(samples) / sample_rate:.1f} s, too short for its text: give what is said"
            ) from error


def _cut(read: list[tuple[str, Encoded]], frames: Int[np.ndarray, " tokens"]) -> Iterator[SaidSentence]:
    token, place = 0, 0
    for written, encoded in read:
        own = frames[token : token + len(encoded.tokens)]
        token += len(own)
        stop = place + int(own.sum())
        yield SaidSentence(written, encoded, own, place, stop)
        place = stop


def _default_folder() -> Path:
    folder = family_default(FAMILY) or only_model((FAMILY,), "find texts in recordings")
    if folder is None:
        raise CheckpointError(
            "no aligner is installed or bundled here, which finds the text in the recording: 'moksori train "
            "aligner/compact' makes one"
        )
    return folder
