"""The aligner: durations for a text and its recording, learnt in about a minute from the corpus itself."""

from moksori.models.aligner.config import AlignerConfig, AlignerObjectiveConfig
from moksori.models.aligner.model import Aligner
from moksori.models.aligner.objective import AlignerObjective
from moksori.models.contract import Family
from moksori.types import SpeechNeeds

__all__ = ["FAMILY", "Aligner", "AlignerConfig", "AlignerObjective", "AlignerObjectiveConfig"]


def _needs(config: AlignerConfig, objective: AlignerObjectiveConfig) -> SpeechNeeds:
    return SpeechNeeds(config.mel.sample_rate, config.mel.hop_length)


FAMILY = Family(
    name="aligner",
    config=AlignerConfig,
    objective_config=AlignerObjectiveConfig,
    model=Aligner,
    objective=AlignerObjective,
    needs=_needs,
    summary="durations for a text and its recording",
)
