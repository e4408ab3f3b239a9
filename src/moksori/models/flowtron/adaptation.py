"""How a trained Flowtron goes on as somebody else: the preset for its shape, and what is frozen with little speech.

All of it learns by default, at a fraction of the first learning rate and without prior, since its attention is aligned.
"""

from moksori.models.contract import Adaptation
from moksori.models.flowtron.config import FlowtronConfig

STEPS = 200
"""With one minute of speech: 750 with ten, 1,000 with thirty."""


def adaptation(config: FlowtronConfig) -> Adaptation:
    """Under a few minutes the text encoder would only learn the sentences by heart; what it knows of the language holds
    for any speaker of it."""
    trained = ["flows", *(["speaker_embedding"] if config.has_speaker_table else [])]
    trained += ["prior"] if config.prior.kind == "mixture" else []
    compact = config.decorrelate
    return Adaptation(
        preset="flowtron/compact_adapt" if compact else "flowtron/ljspeech_adapt",
        full="flowtron/compact" if compact else "flowtron/ljspeech",
        steps=STEPS,
        frozen=("text_encoder",),
        freeze=(f"objective.trained_parts=[{', '.join(trained)}]",),
    )
