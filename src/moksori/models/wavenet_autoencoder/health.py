"""How a run is doing: readings with the range in which they are well, and what to do where they are not.

A WaveNet autoencoder fails quietly. Teacher-forced, the decoder sees every sample before the one it makes, so its loss
looks well with codes that carry nothing, and with a singer's vector that it never reads. So validation also asks what
is lost with the codes of another recording, and with another singer's vector. Who sings must not be read off a code.
"""

import math
from collections.abc import Mapping

from moksori.errors import TrainingCollapsed
from moksori.models.health import Reading, Readings, RunningMeans

__all__ = ["CollapseDetector", "Reading", "health"]

WELL_BITS = 3.5
"""Of 8 a sample; 1.0 to 1.5 nats, or 1.4 to 2.2 bits, is good for speech (ibab/tensorflow-wavenet#193)."""
NOISE_BITS = 5.3
"""3.7 nats: what comes out is noise (music-translation#16)."""
LEAST_CODE_GAIN_BITS = 0.02
LEAST_SINGER_GAIN_BITS = 0.002
PROBE_TIMES_CHANCE = 1.5
LEAST_CODE_SPREAD = 1e-3
MOST_CONFUSION = 2.0
"""Times ln K: beyond it the negative cross-entropy runs away."""
LEARNS_NOTHING_BITS = 7.8
MOST_LEFT_BY_PARTIALS = 0.4
"""Of voiced energy: `nine-singers` leaves 0.28 of held-out recordings and keeps the tune; with more it is breath."""


def health(measures: Mapping[str, float], singers: int) -> list[Reading]:
    """The readings of what validation measured; what was not measured is not told. singers: of the table.

    bits: a sample, teacher-forced. code_gain, singer_gain: bits a sample lost with another recording's codes, another
    singer's vector. confusion: the confusion network's cross-entropy in nats. code_probe: how often it is right.
    code_spread: standard deviation of the codes over time. partials: share of voiced energy that the partials leave.
    """
    readings = Readings(measures)
    read = readings.read

    read(
        "reconstruction", "bits", 0.0, WELL_BITS, "bits a sample",
        "what it sings is noise yet: train on" if measures.get("bits", 0.0) > NOISE_BITS
        else "rough yet: train on, or lower the learning rate if it has stopped falling",
    )  # fmt: skip
    read(
        "what the codes tell", "code_gain", LEAST_CODE_GAIN_BITS, math.inf, "bits a sample",
        "the decoder does as well with another recording's codes, so it would babble: lower "
        "objective.confusion.weight, or shorten model.encoder.pool",
    )  # fmt: skip
    read(
        "spread of the codes", "code_spread", LEAST_CODE_SPREAD, math.inf, "",
        "the codes hardly change: lower objective.confusion.weight",
    )  # fmt: skip
    read(
        "what the partials leave", "partials", 0.0, MOST_LEFT_BY_PARTIALS, "of voiced energy",
        "what is sung is half breath yet: train on; if it has stopped falling, look at the pitch of the corpus "
        "(moksori corpus stats), or raise model.pitch.partials or objective.partials_weight",
    )  # fmt: skip
    if singers > 1:
        read(
            "what the singer's vector tells", "singer_gain", LEAST_SINGER_GAIN_BITS, math.inf, "bits a sample",
            "the decoder does as well with another singer's vector, so conversion would change nothing: raise "
            "objective.confusion.weight or objective.speed, or go on with objective.back_translation",
        )  # fmt: skip
        read(
            "who sings, read off a code", "code_probe", 0.0, PROBE_TIMES_CHANCE / singers, "of the recordings",
            "the codes keep the source's voice: raise objective.confusion.weight or objective.speed, narrow "
            "model.encoder.code_channels",
        )  # fmt: skip
        read(
            "confusion", "confusion", 0.8 * math.log(singers), MOST_CONFUSION * math.log(singers), "nats",
            "the codes run away from the confusion network: take objective.confusion.resistance=uniform"
            if measures.get("confusion", 0.0) > math.log(singers)
            else "the confusion network tells the singers apart: raise objective.confusion.weight",
        )  # fmt: skip
    return readings.found


class CollapseDetector:
    """Stops a run that has gone wrong for good, and says why; it looks at running means of the training terms."""

    def __init__(self, singers: int, from_step: int, bits_of_noise: float) -> None:
        """from_step: first step that is judged. bits_of_noise: a sample, of a decoder that knows nothing."""
        self._singers, self._from, self._noise = singers, from_step, bits_of_noise
        self._means = RunningMeans()

    def look(self, terms: Mapping[str, float], step: int) -> None:
        """Takes in the terms of a step. Raises TrainingCollapsed."""
        self._means.look(terms)
        if step >= self._from:
            self._judge(step)

    def _judge(self, step: int) -> None:
        means = self._means.values
        limit = MOST_CONFUSION * math.log(max(self._singers, 2))
        reason = ""
        if means.get("confusion", 0.0) > limit:
            reason = (
                f"the confusion network's loss is {means['confusion']:.2f} nats, over 2 ln {self._singers} = "
                f"{limit:.2f}: the codes run away from it. Take objective.confusion.resistance=uniform, or lower "
                "objective.confusion.weight"
            )
        elif means.get("code_spread", math.inf) < LEAST_CODE_SPREAD:
            reason = (
                f"the codes' spread is {means['code_spread']:.1e}: they carry nothing, so the decoder would babble. "
                "Lower objective.confusion.weight"
            )
        elif means.get("bits", 0.0) > LEARNS_NOTHING_BITS / 8.0 * self._noise:
            reason = (
                f"reconstruction takes {means['bits']:.2f} bits a sample after {step} steps, as much as noise: the "
                "decoder learns nothing. Lower the learning rate, and look at the recordings with "
                "'moksori corpus check'"
            )
        if reason:
            raise TrainingCollapsed(f"step {step}: the run was stopped: {reason}; then start it anew")
