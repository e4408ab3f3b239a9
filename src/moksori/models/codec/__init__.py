"""A neural codec: sound as the codes of a few codebooks for each frame, or as the sum of their vectors.

Shen et al. 2023 ("NaturalSpeech 2", arXiv:2304.09116, section 3.1), after Zeghidour et al. 2021 (SoundStream,
arXiv:2107.03312), Défossez et al. 2022 (EnCodec, arXiv:2210.13438) and Kumar et al. 2023 (DAC, arXiv:2306.06546).

    sound ─► encoder ─► h ─► residual codebooks ─┬─► codes, 10 bits a stage and frame
                                                 └─► z = sum of their vectors ─► [restorer ─► mels ─►] decoder ─► sound

Letters: h = states, z = latents, what NaturalSpeech 2's diffusion learns.
"""

from moksori.models.codec.config import CodecConfig, CodecObjectiveConfig, RestoredConfig
from moksori.models.codec.model import Codec
from moksori.models.codec.objective import CodecObjective
from moksori.models.contract import Family
from moksori.models.decoders.config import SourcedConfig
from moksori.types import SpeechNeeds

__all__ = ["FAMILY", "Codec", "CodecConfig", "CodecObjective", "CodecObjectiveConfig"]


def _needs(config: CodecConfig, objective: CodecObjectiveConfig) -> SpeechNeeds:
    # Eight times the slice: what it hears seldom reaches a cut.
    stretch = 8 * objective.slice_frames
    source = isinstance(config.decoder, RestoredConfig) and isinstance(config.decoder.sound, SourcedConfig)
    return SpeechNeeds(
        config.mel.sample_rate,
        config.mel.hop_length,
        tokens=False,
        f0=source,
        f0_method=objective.pitch_method if source else "auto",
        f0_limits_hz=objective.pitch_limits_hz if source else None,
        stretch_frames=stretch,
    )


FAMILY = Family(
    name="codec",
    config=CodecConfig,
    objective_config=CodecObjectiveConfig,
    model=Codec,
    objective=CodecObjective,
    needs=_needs,
    summary="sound to few bits and back",
)
