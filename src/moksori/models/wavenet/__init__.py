"""WaveNet: sound drawn sample by sample, from mels (a vocoder) or freely.

Van den Oord et al., "WaveNet: a generative model for raw audio" (2016, arXiv:1609.03499). Mixtures of logistics after
van den Oord et al., "Parallel WaveNet" (2017, arXiv:1711.10433). The network is nn.wavenet_network's.
"""

from moksori.models.contract import Family
from moksori.models.wavenet.config import WavenetConfig, WavenetObjectiveConfig
from moksori.models.wavenet.model import FREE_HOP, Wavenet
from moksori.models.wavenet.objective import WavenetObjective
from moksori.types import SpeechNeeds

__all__ = ["FAMILY", "Wavenet", "WavenetConfig", "WavenetObjective", "WavenetObjectiveConfig"]


def _needs(config: WavenetConfig, objective: WavenetObjectiveConfig) -> SpeechNeeds:
    hop = FREE_HOP if config.mel is None else config.mel.hop_length
    # Eight times the crop: its mels seldom reach a cut.
    stretch = 8 * (objective.crop_frames + objective.context_frames)
    return SpeechNeeds(config.sample_rate, hop, tokens=False, stretch_frames=stretch)


FAMILY = Family(
    name="wavenet",
    config=WavenetConfig,
    objective_config=WavenetObjectiveConfig,
    model=Wavenet,
    objective=WavenetObjective,
    needs=_needs,
    summary="mels to sound, sample by sample",
)
