"""How a run is doing: readings with the range in which they are well, and what to do where they are not.

A VAE fails by saying nothing through z, or by saying who speaks through it; a game fails by a critic that knows
nothing, one that is never wrong, or a generator that makes one frame for all.
"""

import math
from collections.abc import Mapping

from moksori.errors import TrainingCollapsed
from moksori.models.health import Reading, Readings, RunningMeans

LEAST_NATS, MOST_NATS = 2.0, 120.0
LEAST_LATENT_GAIN = 2.0
LEAST_SPEAKER_GAIN = 0.05
PROBE_SHARE = 0.5
"""Of the way from chance to certainty that the speaker may be read off z."""
SPREAD = (0.3, 1.6)
MOST_CERTAIN = 0.98
COLLAPSED_NATS = 0.05
COLLAPSED_SPREAD = 0.01
RUNAWAY_DISTANCE = 1e4


def health(measures: Mapping[str, float], speakers: int, adversarial: str) -> list[Reading]:
    """The readings of what validation measured; what was not measured is not told. speakers: of the table.

    kl: nats of z a frame. latent_gain, speaker_gain: nats of L_rec a frame lost with another frame's z, with another
    speaker's y. leak_probe: how often a linear layer reads the speaker off z. spread: variance of converted frames over
    that of real ones. distance: that the critic finds between speakers' frames and what is converted to them.
    """
    readings = Readings(measures)
    read = readings.read

    leak = 1.0 / speakers + PROBE_SHARE * (1.0 - 1.0 / speakers)
    if "latent_gain" in measures:  # without an encoder there is no z to speak of
        read(
            "what goes through z", "kl", LEAST_NATS, MOST_NATS, "nats a frame",
            "what is said does not come through: lower objective.kl_weight",
            "z holds nearly everything, who speaks included: raise objective.kl_weight or narrow model.latent_channels",
        )  # fmt: skip
    read(
        "what z tells", "latent_gain", LEAST_LATENT_GAIN, math.inf, "nats a frame",
        "another frame's z does as well, so the output is one vowel: lower objective.kl_weight", "",
    )  # fmt: skip
    if speakers > 1:
        read(
            "what the speaker's vector tells", "speaker_gain", LEAST_SPEAKER_GAIN, math.inf, "nats a frame",
            "another speaker's vector does as well, so conversion changes nothing but the pitch: raise "
            "objective.kl_weight, narrow model.latent_channels, or take objective.adversarial=gp", "",
        )  # fmt: skip
        read(
            "who speaks, read off z", "leak_probe", 0.0, leak, "of the frames", "",
            "z keeps the source's voice: raise objective.kl_weight or narrow model.latent_channels",
        )  # fmt: skip
    read(
        "spread of converted frames", "spread", *SPREAD, "of the real frames'",
        "they are blurred, or all alike: take objective.adversarial=gp, raise objective.adversarial_weight, or set "
        "model.post_filter=1",
        "they move more than speech does: lower objective.adversarial_weight",
    )  # fmt: skip
    if adversarial in ("clip", "gp"):
        read(
            "critic's distance", "distance", 0.0, math.inf, "",
            "negative: the critic is untrained; raise objective.critic_steps or the critic's learning rate", "",
        )  # fmt: skip
    elif adversarial == "bce":
        read(
            "discriminator's certainty", "distance", 0.0, MOST_CERTAIN, "",
            "negative: the discriminator is untrained; raise objective.critic_steps",
            "it is never wrong, and its gradient says little: lower its learning rate or objective.critic_steps, or "
            "take objective.adversarial=gp",
        )  # fmt: skip
    return readings.found


class CollapseDetector:
    """Stops a run that has gone wrong for good, and says why; it looks at running means of the training terms."""

    def __init__(self, from_step: int, through_latent: bool, adversarial: str) -> None:
        """from_step: first step that is judged. through_latent: whether z has a weight that may close it."""
        self._from, self._latent, self._adversarial = from_step, through_latent, adversarial
        self._means = RunningMeans()

    def look(self, terms: Mapping[str, float], step: int) -> None:
        """Takes in the terms of an update. Raises TrainingCollapsed."""
        self._means.look(terms)
        if step < self._from:
            return
        means, reason = self._means.values, ""
        spread = means.get("spread_converted", 1.0) / max(means.get("spread_real", 1.0), 1e-12)
        distance = abs(means.get("distance", 0.0))
        if self._latent and means.get("kl", math.inf) < COLLAPSED_NATS:
            reason = (
                f"{means['kl']:.3f} nats a frame go through z: what is said does not reach the output. Lower "
                "objective.kl_weight"
            )
        elif spread < COLLAPSED_SPREAD:
            reason = (
                f"converted frames vary {spread:.4f} times as much as real ones: one frame is made for all. Lower "
                "objective.adversarial_weight, raise objective.adversarial_from_step"
            )
        elif self._adversarial in ("clip", "gp") and distance > RUNAWAY_DISTANCE:
            reason = (
                f"the critic's distance is {distance:.3g}: nothing holds its slope. Raise objective.penalty_weight, "
                "lower objective.clip or the critic's learning rate"
            )
        if reason:
            raise TrainingCollapsed(f"step {step}: the run was stopped: {reason}; then start it anew")
