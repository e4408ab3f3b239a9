"""VITS (Kim, Kong, Son 2021): text-to-speech by a conditional VAE with a flow prior and adversarial learning."""

from moksori.models.contract import Family
from moksori.models.vits.adaptation import adaptation, without_speakers
from moksori.models.vits.config import VitsConfig, VitsObjectiveConfig
from moksori.models.vits.model import Vits
from moksori.models.vits.objective import VitsObjective
from moksori.types import SpeechNeeds

__all__ = ["FAMILY", "Vits", "VitsConfig", "VitsObjective", "VitsObjectiveConfig"]


def _needs(config: VitsConfig, objective: VitsObjectiveConfig) -> SpeechNeeds:
    return SpeechNeeds(
        config.mel.sample_rate,
        config.mel.hop_length,
        durations=objective.alignment == "given",
        f0=config.decoder.kind == "homomorphic",
    )


FAMILY = Family(
    name="vits",
    config=VitsConfig,
    objective_config=VitsObjectiveConfig,
    model=Vits,
    objective=VitsObjective,
    needs=_needs,
    summary="text-to-speech; conversion between its speakers",
    adaptation=adaptation,
    speaker_tables=("speaker_embedding.weight",),
    without_speakers=without_speakers,
)
