"""The aligner: durations for a text and its recording, learnt in a minute or two from the corpus itself.

Two networks, chosen by `model.network.kind`: `mel_states` says what each token sounds like and matches mel frames to
it; `forward_sum` encodes tokens and frames into one space and sums over all paths. docs/aligner.md compares them.
"""

from moksori.models.aligner.base import Aligner
from moksori.models.aligner.config import AlignerConfig, AlignerObjectiveConfig, ForwardSum, MelStates
from moksori.models.aligner.forward_sum import ForwardSumAligner
from moksori.models.aligner.model import MelStateAligner
from moksori.models.aligner.objective import AlignerObjective, ForwardSumObjective, MelStateObjective
from moksori.models.contract import Family
from moksori.types import SpeechNeeds

__all__ = [
    "FAMILY",
    "Aligner",
    "AlignerConfig",
    "AlignerObjectiveConfig",
    "ForwardSum",
    "ForwardSumAligner",
    "ForwardSumObjective",
    "MelStateAligner",
    "MelStateObjective",
    "MelStates",
]

_NETWORKS: dict[type, type[Aligner]] = {MelStates: MelStateAligner, ForwardSum: ForwardSumAligner}
_OBJECTIVES: dict[type, type[AlignerObjective]] = {
    MelStateAligner: MelStateObjective,
    ForwardSumAligner: ForwardSumObjective,
}


def _model(config: AlignerConfig) -> Aligner:
    return _NETWORKS[type(config.network)](config)


def _objective(model: Aligner, config: AlignerObjectiveConfig) -> AlignerObjective:
    return _OBJECTIVES[type(model)](model, config)


def _needs(config: AlignerConfig, objective: AlignerObjectiveConfig) -> SpeechNeeds:
    return SpeechNeeds(config.mel.sample_rate, config.mel.hop_length)


FAMILY = Family(
    name="aligner",
    config=AlignerConfig,
    objective_config=AlignerObjectiveConfig,
    model=_model,
    objective=_objective,
    needs=_needs,
    summary="durations for a text and its recording",
)
