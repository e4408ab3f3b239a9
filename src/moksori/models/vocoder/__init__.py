"""Mel vocoders: what turns the mels of all mel-making families into sound, one for each of the house's two rates.

Kong, Kim, Bae, "HiFi-GAN" (2020, arXiv:2010.05646): transposed convolutions, and discriminators of periods and scales.
Siuzdak, "Vocos" (2023, arXiv:2306.00814): ConvNeXt blocks at frame rate and an inverse STFT. Liu, Chen, Yu, "Neural
homomorphic vocoder" (2020): pulses and noise through filters that the network gives. The networks are
models.decoders', which VITS has as its decoder too.
"""

from moksori.models.contract import Family
from moksori.models.decoders.config import HomomorphicConfig, SourcedConfig
from moksori.models.vocoder.config import VocoderConfig, VocoderObjectiveConfig
from moksori.models.vocoder.model import Vocoder
from moksori.models.vocoder.objective import VocoderObjective
from moksori.types import SpeechNeeds

__all__ = ["FAMILY", "Vocoder", "VocoderConfig", "VocoderObjective", "VocoderObjectiveConfig"]


def _needs(config: VocoderConfig, objective: VocoderObjectiveConfig) -> SpeechNeeds:
    source = isinstance(config.decoder, HomomorphicConfig | SourcedConfig)
    # Eight times the slice: its mels seldom reach a cut.
    stretch = 8 * objective.slice_frames
    return SpeechNeeds(
        config.mel.sample_rate,
        config.mel.hop_length,
        tokens=False,
        f0=source,
        f0_method=objective.pitch_method if source else "auto",
        f0_limits_hz=objective.pitch_limits_hz if source else None,
        stretch_frames=stretch,
        mels_of=objective.mels_of,
    )


FAMILY = Family(
    name="vocoder",
    config=VocoderConfig,
    objective_config=VocoderObjectiveConfig,
    model=Vocoder,
    objective=VocoderObjective,
    needs=_needs,
    summary="mels to sound",
)
