"""NaturalSpeech 2: speech and song in a voice that is heard for the first time, by diffusion over a codec's latents.

Shen, Ju, Tan et al., "NaturalSpeech 2: latent diffusion models are natural and zero-shot speech and singing
synthesizers" (2023, arXiv:2304.09116).

    text ─► phoneme encoder ─► durations, pitch ─► condition c ─┐
    prompt ─► prompt encoder ─► predictors; m tokens ───────────┤
    noise ─────────────────────────────────────────────────► denoiser, step by step ─► latents ─► codec ─► sound

Training noises the latents that the codec makes of a recording, from which a piece, the prompt, was cut out. Nothing is
autoregressive: durations say how long it will be, so that no word is left out or said twice. Letters as in `model`.
"""

from moksori.models.contract import Family
from moksori.models.naturalspeech2.config import Naturalspeech2Config, Naturalspeech2ObjectiveConfig
from moksori.models.naturalspeech2.model import Naturalspeech2
from moksori.models.naturalspeech2.objective import Naturalspeech2Objective
from moksori.types import SpeechNeeds

__all__ = [
    "FAMILY",
    "Naturalspeech2",
    "Naturalspeech2Config",
    "Naturalspeech2Objective",
    "Naturalspeech2ObjectiveConfig",
]


def _needs(config: Naturalspeech2Config, objective: Naturalspeech2ObjectiveConfig) -> SpeechNeeds:
    return SpeechNeeds(
        config.sample_rate,
        config.hop_length,
        durations=True,
        f0=True,
        f0_method=config.pitch.method,
        f0_limits_hz=config.pitch.tracked_hz,
        codes_of=config.codec,
    )


FAMILY = Family(
    name="naturalspeech2",
    config=Naturalspeech2Config,
    objective_config=Naturalspeech2ObjectiveConfig,
    model=Naturalspeech2,
    objective=Naturalspeech2Objective,
    needs=_needs,
    summary="text-to-speech and singing in any voice, from some seconds of it",
)
