"""How a run of NaturalSpeech 2 is doing.

It fails quietly. The denoiser may learn not to listen to the text, and babbles; not to the prompt, and all voices are
one; or the latents are of a kind that it cannot learn, and nothing but noise comes out after any number of steps.
"""

import math
from collections.abc import Mapping

from moksori.models.health import Reading, Readings

LEAST_FIRST_CODES = 0.1
"""Of the frames, whose first code is read off an early guess; chance is one in a thousand."""
LEAST_CONDITION_GAIN, LEAST_PROMPT_GAIN = 0.05, 0.002
"""What the data loss rises by, as a share of itself, without the text and without the prompt."""
WELL_DURATION_ERROR = 0.6
"""Mean absolute difference of ln(1 + frames): beyond, durations are off by a factor of 1.8."""


def health(measures: Mapping[str, float]) -> list[Reading]:
    """The readings of what validation measured, see `objective.Naturalspeech2Objective.validate`."""
    readings = Readings(measures)
    readings.read(
        "first codes that an early guess holds", "codes_1", LEAST_FIRST_CODES, 1.0, "of the frames",
        "what comes out is noise: look whether the codec makes good sound of its own codes, then whether a run on "
        "eight clips learns them by heart; train on with objective.cross_entropy_weight=0.1",
    )  # fmt: skip
    readings.read(
        "what the text tells", "condition_gain", LEAST_CONDITION_GAIN, math.inf, "of the data loss",
        "the denoiser does as well without the text: look at the alignment, lower objective.drop_condition",
    )  # fmt: skip
    readings.read(
        "what the prompt tells", "prompt_gain", LEAST_PROMPT_GAIN, math.inf, "of the data loss",
        "the denoiser does as well without the prompt, so all voices would be one: take more speakers, lower "
        "objective.drop_prompt",
    )  # fmt: skip
    readings.read(
        "durations", "duration", 0.0, WELL_DURATION_ERROR, "mean difference of ln(1 + frames)",
        "look at the alignment of the corpus; train on",
    )  # fmt: skip
    return readings.found
