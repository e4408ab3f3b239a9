"""How a trained VITS goes on as somebody else: the preset for its shape, and what stays as it is with little speech.

Everything learns by default, with the discriminators of the source, as those do who fine-tune the published models.
Under a few minutes the text side sees each word once or twice and would only learn these sentences by heart; what it
knows of the language holds for any speaker of it.
"""

import torch
from torch import nn

from moksori.models.contract import Adaptation
from moksori.models.vits.config import FramePriorConfig, VitsConfig

STEPS = 500
"""With one minute of speech: 1,500 with ten, 2,750 with thirty."""
HEAD_START_STEPS = 100
"""In which new discriminators learn alone: from chance, they would teach a good decoder nothing but noise."""


def adaptation(config: VitsConfig) -> Adaptation:
    """A prior per frame takes durations from the aligner; the paper's, per token, is searched for them in each step."""
    searches = not isinstance(config.prior, FramePriorConfig)
    frozen, trained = _parts(config)
    return Adaptation(
        preset="vits/ljspeech_adapt" if searches else "vits/compact_adapt",
        full="vits/ljspeech" if searches else "vits/compact",
        steps=STEPS,
        frozen=frozen,
        freeze=(f"objective.trained_parts=[{', '.join(trained)}]",),
        fresh_discriminators=(f"objective.head_start_steps={HEAD_START_STEPS}",),
    )


def _parts(config: VitsConfig) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What is frozen and what learns with little speech.

    The pace of a new speaker comes in through the ratio of durations that goes with the deterministic predictor; where
    there is none, the stochastic predictor has to learn it.
    """
    predictors = [
        name
        for name, there in (
            ("stochastic_duration", config.duration.stochastic),
            ("deterministic_duration", config.duration.deterministic),
        )
        if there
    ]
    paced = config.duration.deterministic
    frozen = ["text_encoder", *(predictors if paced else [])]
    trained = ["posterior_encoder", "flow", "decoder", *([] if paced else predictors)]
    if isinstance(config.prior, FramePriorConfig):
        trained.insert(0, "frame_prior")
    if config.condition_channels:
        trained.insert(0, "speaker_embedding")
    return tuple(frozen), tuple(trained)


@torch.no_grad()
def without_speakers(model: nn.Module) -> None:
    """Sets the biases of all projections of the speaker vector to 0: a vector of zeros then changes nothing."""
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Conv1d) and name.removesuffix(".projection").rpartition(".")[2] == "condition":
            assert layer.bias is not None
            layer.bias.zero_()
