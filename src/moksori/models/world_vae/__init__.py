"""Voice conversion frame by frame: the conditional VAE, and the same with a critic that hears what it converts.

Hsu et al., "Voice conversion from non-parallel corpora using variational auto-encoder" (APSIPA 2016, arXiv:1610.04019);
"Voice conversion from unaligned corpora using variational autoencoding Wasserstein generative adversarial networks"
(VAW-GAN, Interspeech 2017, arXiv:1704.00849).

    recording ─► WORLD ─┬─► envelope's shape x ─► E ─► z ─┬─► G ─► shape in the voice y ─┬─► WORLD ─► recording
                        │            speaker table ─► y ──┘                              │
                        └─► ln F0, moved to the target's range; energy; aperiodicity ────┘
    critic D: is a shape one of the speaker y? G is taught by it with what it converts; E is not

Letters: x = shape of an envelope, z = what is said, y = who speaks, E = encoder, G = decoder or generator, D = critic,
W = distance that D finds, gamma = weight of W.
"""

from moksori.models.contract import Family
from moksori.models.world_vae.config import WorldVaeConfig, WorldVaeObjectiveConfig
from moksori.models.world_vae.model import WorldVae
from moksori.models.world_vae.objective import WorldVaeObjective
from moksori.types import EnvelopeNeeds, SpeechNeeds

__all__ = ["FAMILY", "WorldVae", "WorldVaeConfig", "WorldVaeObjective", "WorldVaeObjectiveConfig"]


def _needs(config: WorldVaeConfig, objective: WorldVaeObjectiveConfig) -> SpeechNeeds:
    return SpeechNeeds(
        config.sample_rate,
        config.hop_length,
        tokens=False,
        f0=True,
        f0_method="fast",
        f0_limits_hz=(config.lowest_hz, config.highest_hz),
        stretch_frames=objective.drawn_frames,
        envelopes=EnvelopeNeeds(config.n_fft, objective.every, config.context_frames, objective.gate_db),
    )


FAMILY = Family(
    name="world_vae",
    config=WorldVaeConfig,
    objective_config=WorldVaeObjectiveConfig,
    model=WorldVae,
    objective=WorldVaeObjective,
    needs=_needs,
    summary="voice conversion frame by frame, on WORLD's features",
    speaker_tables=("speaker_embedding.weight", "speaker_pitch", "own_variance", "made_variance", "made_mean"),
)
