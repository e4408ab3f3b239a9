"""Flowtron: speech from a flow that is autoregressive over mel frames, with all that the text leaves open in a latent.

Valle, Shih, Prenger, Catanzaro, "Flowtron: an autoregressive flow-based generative network for text-to-speech
synthesis" (ICLR 2021, arXiv:2005.05957).

    latent z ~ N(0, sigma²) ─► flow 2, backward in time ─► flow 1, forward in time ─► mel ─► vocoder
                                     text and speaker, by attention, at each step of both

Training turns it round: mel to latent, all frames at once, under one exact likelihood. Letters as in `model`.
"""

from moksori.models.contract import Family
from moksori.models.flowtron.adaptation import adaptation
from moksori.models.flowtron.config import FlowtronConfig, FlowtronObjectiveConfig
from moksori.models.flowtron.model import Encoded, Flowtron, Memory
from moksori.models.flowtron.objective import FlowtronObjective
from moksori.types import SpeechNeeds

__all__ = ["FAMILY", "Encoded", "Flowtron", "FlowtronConfig", "FlowtronObjective", "FlowtronObjectiveConfig", "Memory"]


def _needs(config: FlowtronConfig, objective: FlowtronObjectiveConfig) -> SpeechNeeds:
    given = objective.alignment == "given"
    return SpeechNeeds(config.mel.sample_rate, config.mel.hop_length, durations=given, f0=config.pitch)


FAMILY = Family(
    name="flowtron",
    config=FlowtronConfig,
    objective_config=FlowtronObjectiveConfig,
    model=Flowtron,
    objective=FlowtronObjective,
    needs=_needs,
    summary="text-to-speech whose variation, style and speaker are in your hands",
    adaptation=adaptation,
    speaker_tables=("speaker_embedding.weight",),
    speaker_readers=("attention.key.weight", "attention.value.weight"),
)
