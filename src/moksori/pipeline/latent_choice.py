"""What a person chose of a voice's latents, resolved: means of styles, seeds, rows of speakers, a take's prosody.

`styles.choose` makes it of clips and names; for each sentence it becomes the controls that the model is given.
"""

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import astuple, dataclass, field, replace
from typing import Any, Literal

import torch
from jaxtyping import Float

from moksori.errors import AudioError, BadInput
from moksori.models.contract import CanTakeStyle
from moksori.types import LatentPlan, MixtureChoice, ReadLatents, SayControls, StyleMean, TextBatch

logger = logging.getLogger(__name__)

Way = Literal["slerp", "linear"]
DEFAULT_STRENGTH = 0.9


@dataclass(frozen=True)
class Take:
    """A recording whose prosody is to be kept, frame for frame. row: of the speaker table, who speaks in it; None: the
    one who fits it best."""

    name: str
    frames: Float[torch.Tensor, "1 bands frames"]
    row: int | None = None


@dataclass(frozen=True)
class LatentChoice:
    """Resolved; see LatentPlan and SayControls for the meaning. samples: seeds as a person gave them: sentence k of a
    text takes, of each, what that seed gives sentence k."""

    styles: tuple[StyleMean, ...] = ()
    strength: tuple[float, float] = (DEFAULT_STRENGTH, DEFAULT_STRENGTH)
    style_way: Way = "linear"
    samples: tuple[tuple[int, float], ...] = ()
    speakers: tuple[tuple[int, float], ...] = ()
    way: Way = "slerp"
    mixture: MixtureChoice = field(default_factory=MixtureChoice)
    take: Take | None = None

    def controls(
        self, own: SayControls, model: CanTakeStyle, text: TextBatch, number: int, seed_of: Callable[[int, int], int]
    ) -> SayControls:
        """`own` with all of this, for sentence `number`. seed_of: a seed and a number -> the sentence's own seed.

        Raises AudioError where a take does not hold this text, BadInput where another speed is asked of it.
        """
        if self.take is not None:
            if number > 0:
                raise BadInput(
                    f"{self.take.name}: its prosody is that of one sentence, and the text has several: give one at a "
                    "time, with what is said in the recording"
                )
            if own.speed != 1.0:
                raise BadInput(f"{self.take.name}: decides the speed and pitch: leave both out")
            read = read_take(self.take, model, text)
            doubt = doubt_of(read, self.take.name, "")
            if doubt is not None:
                logger.warning("%s", doubt)
            plan = LatentPlan(
                given=read.latent[0], given_frames=self.take.frames.shape[2], given_attention=read.attention
            )
            return replace(own, latent=plan)
        samples = tuple((seed_of(seed, number), weight) for seed, weight in self.samples)
        # A course is as lively as the prior by itself; a mean over time is not, and needs all of the noise.
        posterior = any(style.mean.shape[1] > 1 for style in self.styles)
        plan = LatentPlan(self.styles, self.strength, samples, self.style_way, self.way, posterior, self.mixture)
        return replace(own, latent=plan, speakers=self.speakers, speaker_way=self.way)

    @property
    def digest(self) -> str:
        """Tells other choices apart, for the header of a job."""
        digest = hashlib.sha256(json.dumps(self._plain(), sort_keys=True).encode())
        tensors = [style.mean for style in self.styles] + ([] if self.take is None else [self.take.frames])
        for tensor in tensors:
            digest.update(tensor.detach().float().cpu().numpy().tobytes())
        return digest.hexdigest()[:16]

    def _plain(self) -> dict[str, Any]:
        return {
            "places": [(style.weight, style.start, style.stop) for style in self.styles],
            "measures": [None if style.measure is None else astuple(style.measure) for style in self.styles],
            "strength": self.strength,
            "ways": [self.style_way, self.way],
            "samples": self.samples,
            "speakers": self.speakers,
            "mixture": [self.mixture.weights, self.mixture.shifts],
            "take": None if self.take is None else [self.take.row],
        }


LEAST_TOKEN_FRAMES, MOST_TOKEN_FRAMES = 1.5, 60.0
"""A text and its recording have so many frames a token: 17 ms to 0.7 s at 22.05 kHz and hop 256."""


def check_length(name: str, frames: int, tokens: int) -> None:
    """Raises AudioError where a text cannot be what is said in a recording of so many frames."""
    if not LEAST_TOKEN_FRAMES * tokens <= frames <= MOST_TOKEN_FRAMES * max(tokens, 1):
        raise AudioError(
            f"{name}: {frames} frames for a text of {tokens} phonemes, which nobody says so "
            f"{'fast' if frames < tokens * MOST_TOKEN_FRAMES else 'slowly'}: give the text that is said in it"
        )


LEAST_ALIGNMENT = 0.45
"""Below this the text is doubted."""


def doubt_of(reading: ReadLatents, name: str, text: str) -> str | None:
    """Why a text may not be what is said in a recording; None where nothing speaks against it."""
    sure = float(reading.alignment[0])
    if sure >= LEAST_ALIGNMENT:
        return None
    said = f"is {text[:40]!r} what is said in it" if text else "is what is to be said what is said in it"
    return (
        f"{name}: its text hardly fits (alignment {sure:.2f}; from {LEAST_ALIGNMENT:g} on it usually does): {said}, in "
        "the language of the voice?"
    )


def read_take(take: Take, model: CanTakeStyle, text: TextBatch) -> ReadLatents:
    """The reading of a recording of this text, by the speaker of the take, or by whoever makes it likeliest."""
    count = take.frames.shape[2]
    check_length(take.name, count, int(text.token_lengths[0]))
    frames, lengths = take.frames.to(text.tokens.device), torch.tensor([count], device=text.tokens.device)
    if take.row is not None or not model.mixes_speakers:
        row = int(text.speaker[0]) if take.row is None else take.row
        return model.read_latents(frames, lengths, replace(text, speaker=torch.full_like(text.speaker, row)))
    found = [
        model.read_latents(frames, lengths, replace(text, speaker=torch.full_like(text.speaker, row)))
        for row in range(model.num_speakers)
    ]
    return max(found, key=lambda reading: float(reading.log_likelihood[0]))
