"""The WaveNet autoencoder: a song sung in another's voice, without a text, a score or a pair of recordings.

van den Oord et al., "WaveNet" (2016); Engel et al., "Neural audio synthesis" (NSynth, 2017); Mor, Wolf, Polyak,
Taigman, "A universal music translation network" (UMTN, ICLR 2019); Nachmani, Wolf, "Unsupervised singing voice
conversion" (Interspeech 2019, arXiv:1904.06590), which the defaults are; Deng et al., "PitchNet" (ICASSP 2020).

    song ─► E ─► codes ─┬─► WaveNet decoder D ─► the song in the voice v_j
    singer table ─► v_j ┘        C reads the singer off the codes, and E resists

Letters: x = samples, E = encoder, D = decoder, C = confusion network, v_j = vector of singer j, lambda = weight of the
resistance, y = what a virtual singer makes of x.
"""

from moksori.models.contract import Family
from moksori.models.wavenet_autoencoder.config import WavenetAutoencoderConfig, WavenetAutoencoderObjectiveConfig
from moksori.models.wavenet_autoencoder.model import WavenetAutoencoder
from moksori.models.wavenet_autoencoder.objective import WavenetAutoencoderObjective
from moksori.types import SpeechNeeds

__all__ = [
    "FAMILY",
    "WavenetAutoencoder",
    "WavenetAutoencoderConfig",
    "WavenetAutoencoderObjective",
    "WavenetAutoencoderObjectiveConfig",
]


def _needs(config: WavenetAutoencoderConfig, objective: WavenetAutoencoderObjectiveConfig) -> SpeechNeeds:
    pitch = config.pitch
    return SpeechNeeds(
        config.sample_rate,
        config.condition_hop,
        tokens=False,
        f0=pitch is not None,
        f0_method="fast" if pitch is None else pitch.method,
        f0_limits_hz=None if pitch is None else (pitch.lowest_hz, pitch.highest_hz),
        stretch_frames=-(-objective.crop_samples // config.condition_hop),
    )


FAMILY = Family(
    name="wavenet_autoencoder",
    config=WavenetAutoencoderConfig,
    objective_config=WavenetAutoencoderObjectiveConfig,
    model=WavenetAutoencoder,
    objective=WavenetAutoencoderObjective,
    needs=_needs,
    summary="a song in another's voice",
    speaker_tables=("speaker_embedding.weight",),
)
