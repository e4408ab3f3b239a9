"""D-DSVAE: zero-shot voice conversion by a disentangled sequential VAE that was trained on noisy speech.

Lian, Zhang, Yu, "Robust disentangled variational speech representation learning for zero-shot voice conversion"
(ICASSP 2022, arXiv:2203.16705), and "Towards improved zero-shot voice conversion with conditional DSVAE" (Interspeech
2022, arXiv:2205.05227), which gives the sizes and adds units to the content prior.

    mel ─► shared encoder ─┬─► speaker posterior q(z_s | x), one a recording ─┐
                           └─► content posterior q(z_c | x), one a frame ─────┴─► decoder ─► mel

Conversion is D(z_s(target), z_c(source)). No label is needed: pooling over time lets z_s hold only what stays the same,
and the balance of the two KL terms makes it hold that. Letters: x = mel, z_s = speaker, z_c = content, alpha and beta =
weights of their KL terms.
"""

from dataclasses import replace

from moksori.errors import ConfigError
from moksori.models.contract import Family
from moksori.models.dsvae.config import DsvaeConfig, DsvaeObjectiveConfig
from moksori.models.dsvae.model import Dsvae, Latents
from moksori.models.dsvae.objective import DsvaeObjective
from moksori.types import SpeechNeeds

__all__ = ["FAMILY", "Dsvae", "DsvaeConfig", "DsvaeObjective", "DsvaeObjectiveConfig", "Latents"]


def _needs(config: DsvaeConfig, objective: DsvaeObjectiveConfig) -> SpeechNeeds:
    # Twice the crop: noise is then laid over little more than what is looked at.
    stretch = 2 * objective.crop_frames
    rate, hop, prior = config.mel.sample_rate, config.mel.hop_length, config.prior
    pitch = config.pitch is not None
    needs = SpeechNeeds(rate, hop, tokens=False, f0=pitch, f0_method="fast", noisy=True, stretch_frames=stretch)
    if prior.units == "labels":
        return replace(needs, tokens=True, durations=True, units=prior.unit_count)
    if prior.units == "units":
        if objective.unit_folder is None:
            raise ConfigError(
                "model.prior.units=units takes the ids of frames from files: set objective.unit_folder=DIR, where each "
                "recording has a NAME.npy or NAME.txt"
            )
        return replace(needs, units=prior.unit_count, unit_folder=objective.unit_folder)
    return needs


FAMILY = Family(
    name="dsvae",
    config=DsvaeConfig,
    objective_config=DsvaeObjectiveConfig,
    model=Dsvae,
    objective=DsvaeObjective,
    needs=_needs,
    summary="zero-shot voice conversion that survives noise",
)
