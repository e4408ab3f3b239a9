"""How a VQ-VAE's run is doing, and when it is stopped.

It fails quietly in two ways. The codebook collapses: a few codes are left, and what comes out is a hum in the target's
voice. Or the codes tell who speaks, and conversion changes nothing. A decoder may also learn not to listen to codes.
"""

import math
from collections.abc import Mapping

from moksori.errors import TrainingCollapsed
from moksori.models.health import Reading, Readings, RunningMeans

COLLAPSED_SHARE = 1 / 20
"""Of K: with a lower perplexity the codebook has collapsed."""
WELL_PERPLEXITY_SHARE = 1 / 4
"""A public speech model of 512 codes ends near 240 (bshall/VectorQuantizedVAE#3)."""
WELL_USED_SHARE = 1 / 2
PROBE_TIMES_CHANCE = 1.5
LEAST_CODE_GAIN, LEAST_SPEAKER_GAIN = 0.02, 0.002
"""Of the reconstruction's own value: what must be lost with another recording's codes, another speaker's vector."""
FAR_TIMES = 10.0
"""States whose length is more than so many times their codes' run away."""
RUNAWAY_TIMES = 100.0


def health(measures: Mapping[str, float], codes: int, speakers: int) -> list[Reading]:
    """The readings of what validation measured; what was not measured is not told.

    codes: K. speakers: of the table. perplexity, codes_used: of the running counts. speaker_probe: how often the
    classifier knows from a recording's codes who speaks. code_gain, speaker_gain: what reconstruction loses, as a share
    of itself, with another recording's codes and another speaker's vector. state_norm, code_norm: mean lengths.
    """
    readings = Readings(measures)
    read = readings.read

    remedy = (
        "model.encoder.state_norm=layer, objective.start=kmeans, model.quantizer.decay=0.99, objective.pass_steps=1000,"
        " then model.quantizer.look_up_channels=8 with normalised=true, or model.quantizer.kind=scalars"
    )
    read(
        "perplexity of the codes", "perplexity", WELL_PERPLEXITY_SHARE * codes, float(codes), f"of {codes}",
        f"few codes do most of the work: {remedy}",
    )  # fmt: skip
    read(
        "codes in use", "codes_used", WELL_USED_SHARE * codes, float(codes), f"of {codes}",
        f"codes lie idle: train on, or {remedy}",
    )  # fmt: skip
    read(
        "what the codes tell", "code_gain", LEAST_CODE_GAIN, math.inf, "of the reconstruction",
        "the decoder does as well with another recording's codes: lower model.jitter, raise "
        "model.decoder.input_dropout where it makes samples, lower objective.scrubbing.weight",
    )  # fmt: skip
    if "state_norm" in measures and "code_norm" in measures:
        times = measures["state_norm"] / max(measures["code_norm"], 1e-9)
        advice = "" if times <= FAR_TIMES else "states run away from their codes: raise model.quantizer.commitment"
        readings.found.append(Reading("length of states", times, 0.0, FAR_TIMES, "times their codes'", advice))
    if speakers > 1:
        read(
            "what the speaker's vector tells", "speaker_gain", LEAST_SPEAKER_GAIN, math.inf, "of the reconstruction",
            "the decoder does as well with another speaker's vector, so conversion would change nothing: take fewer "
            "codes, raise model.encoder.stride or objective.scrubbing.weight",
        )  # fmt: skip
        read(
            "who speaks, read off the codes", "speaker_probe", 0.0, max(PROBE_TIMES_CHANCE / speakers, 0.0),
            "of the recordings",
            "the codes keep the source's voice: raise objective.scrubbing.weight, set model.encoder.instance_frames, "
            "take fewer codes",
        )  # fmt: skip
    return readings.found


class CollapseDetector:
    """Stops a run that has gone wrong for good, and says why; it looks at running means of the training terms."""

    def __init__(self, codes: int, from_step: int) -> None:
        """codes: K. from_step: first step that is judged."""
        self._codes, self._from = codes, from_step
        self._means = RunningMeans()

    def look(self, terms: Mapping[str, float], step: int) -> None:
        """Takes in the terms of a step. Raises TrainingCollapsed."""
        self._means.look(terms)
        if step >= self._from:
            # Perplexity is of counts that are running means themselves.
            self._judge(step, terms.get("perplexity", math.inf))

    def _judge(self, step: int, perplexity: float) -> None:
        means = self._means.values
        limit = max(COLLAPSED_SHARE * self._codes, 1.5)
        reason = ""
        if perplexity < limit:
            reason = (
                f"the codebook has collapsed: perplexity {perplexity:.1f} of {self._codes} codes, under "
                f"{limit:.1f}; what comes out would be a hum. In this order: model.encoder.state_norm=layer, "
                "objective.start=kmeans, model.quantizer.restart_after=100, model.quantizer.decay=0.99, "
                "objective.pass_steps=1000, or model.quantizer.kind=scalars, which cannot collapse"
            )
        elif means.get("state_norm", 0.0) > RUNAWAY_TIMES * max(means.get("code_norm", math.inf), 1e-3):
            reason = (
                f"states are {means['state_norm']:.3g} long and codes {means['code_norm']:.3g}: they run away. Raise "
                "model.quantizer.commitment, or lower the learning rate"
            )
        if reason:
            raise TrainingCollapsed(f"step {step}: the run was stopped: {reason}; then start it anew")
