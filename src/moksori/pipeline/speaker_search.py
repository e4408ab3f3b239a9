"""Looking for a speaker among a model's samples: where no table says who speaks, the latent does."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from moksori.errors import AudioError, BadInput
from moksori.evaluation.speaker_encoders import DEFAULT, VoiceEncoder, build_encoder
from moksori.pipeline.clips import style_model
from moksori.pipeline.manner import check_number
from moksori.pipeline.progress import Progress, no_progress
from moksori.pipeline.recordings import Audio, open_recording
from moksori.pipeline.speaker import Speaker
from moksori.types import Waveform

logger = logging.getLogger(__name__)

RATE = 16000
DRAWS, KEPT, VARIATION = 100, 5, 0.7
MOST_DRAWS = 10_000


@dataclass(frozen=True)
class FoundSeed:
    """A seed, and the cosine similarity of the voice that it speaks in to the one that is looked for."""

    seed: int
    similarity: float


@dataclass(frozen=True)
class Search:
    """The seeds by falling similarity; mean and deviation: over all draws, to tell luck by. notes: on the model."""

    found: tuple[FoundSeed, ...]
    mean: float
    deviation: float
    notes: tuple[str, ...] = ()


def search_speaker(
    speaker: Speaker,
    likes: Sequence[Audio],
    text: str,
    draws: int = DRAWS,
    variation: float = VARIATION,
    first_seed: int = 0,
    encoder: str = DEFAULT,
    progress: Progress = no_progress,
) -> Search:
    """Says a text with one seed after the other, and tells which sounds most like the speaker of some recordings.

    The noise of a seed is the same in other texts, and `seed:N` of a blend stands for it. variation: sigma of the
    draws; the paper's sigma² = 0.5 is 0.7. encoder: who tells voices apart, see `evaluation.speaker_encoders`.
    Raises UnsupportedTask for a model without latents, BadInput for numbers out of range, AudioError for recordings of
    no use, MissingExtra or BadInput without the encoder's package.
    """
    model = style_model(speaker.loaded.model, speaker.name, speaker.manifest.family)
    if not likes:
        raise BadInput("no recording: give at least one of who is looked for")
    if isinstance(draws, bool) or not isinstance(draws, int) or not 2 <= draws <= MOST_DRAWS:
        raise BadInput(f"draws {draws!r}: expected a whole number from 2 to {MOST_DRAWS}")
    check_number("variation", variation, 0.0, 10.0)
    if variation == 0.0:
        raise BadInput("variation 0: all draws would be the same: give one above 0, such as 0.7")
    notes = []
    if model.mixes_speakers:
        notes.append(
            f"{speaker.name}: has a table of speakers, which says who speaks; its latents hardly do. Blend speakers by "
            "their names instead"
        )
    judge = build_encoder(encoder)
    wanted = _unit(np.mean([_voice(judge, like) for like in likes], axis=0))
    found = []
    for place in range(draws):
        speech = speaker.say(text, seed=first_seed + place, variation=variation, pause=0.0)
        voice = judge.embed(Waveform(speech.samples, speech.sample_rate))
        found.append(FoundSeed(first_seed + place, float(voice @ wanted)))
        progress(place + 1, draws)
    values = np.array([item.similarity for item in found])
    order = tuple(sorted(found, key=lambda item: -item.similarity))
    return Search(order, float(values.mean()), float(values.std(ddof=1)), tuple(notes))


def _voice(judge: VoiceEncoder, like: Audio) -> np.ndarray:
    recording = open_recording(like, RATE)
    voice = judge.embed(Waveform(recording.stretch(0, recording.sound.samples), RATE))
    if not np.any(voice):
        raise AudioError(f"{recording.name}: no voice is heard in it: give a recording of speech")
    return voice


def _unit(vector: np.ndarray) -> np.ndarray:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9))
