"""VQ-VAE conversion: what is said as a sequence of codes, who speaks as a row of a table.

Van den Oord, Vinyals, Kavukcuoglu, "Neural discrete representation learning" (2017, arXiv:1711.00937); Chorowski,
Weiss, Bengio, van den Oord, "Unsupervised speech representation learning using WaveNet autoencoders" (2019,
arXiv:1901.08810); van Niekerk, Nortje, Kamper, "Vector-quantized neural networks for acoustic unit discovery in the
ZeroSpeech 2020 challenge" (2020, arXiv:2005.09409), whose sizes are the defaults.

    sound ─► encoder ─► z ─► nearest code e ─► jitter ─┬─► decoder ─► mels ─► vocoder, or samples
    speaker table ─► v ────────────────────────────────┘

The encoder may not tell who speaks: of each frame only the number of a code is left, and the decoder, which is told who
speaks, need not learn it from codes. Conversion keeps the codes and takes another row. Letters: z = states, e =
codebook, K = its size, D = code_channels, beta = weight of the commitment, v = a speaker's vector.
"""

from moksori.models.contract import Family
from moksori.models.vqvae.config import VqvaeConfig, VqvaeObjectiveConfig
from moksori.models.vqvae.model import Vqvae
from moksori.models.vqvae.objective import VqvaeObjective
from moksori.types import SpeechNeeds

__all__ = ["FAMILY", "Vqvae", "VqvaeConfig", "VqvaeObjective", "VqvaeObjectiveConfig"]

_MELODY_SECONDS = 4.0
"""At least so much of a recording: what a melody's mean is taken over."""


def _needs(config: VqvaeConfig, objective: VqvaeObjectiveConfig) -> SpeechNeeds:
    pitch, hop = config.pitch, config.condition_samples
    stretch = 2 * objective.crop_codes * config.frames_per_code
    if pitch is not None:
        stretch = max(stretch, round(_MELODY_SECONDS * config.sample_rate / hop))
    return SpeechNeeds(
        config.sample_rate,
        hop,
        tokens=False,
        f0=pitch is not None,
        f0_method="fast" if pitch is None else pitch.method,
        f0_limits_hz=None if pitch is None else (pitch.lowest_hz, pitch.highest_hz),
        stretch_frames=stretch,
    )


FAMILY = Family(
    name="vqvae",
    config=VqvaeConfig,
    objective_config=VqvaeObjectiveConfig,
    model=Vqvae,
    objective=VqvaeObjective,
    needs=_needs,
    summary="conversion between its speakers, through codes",
    speaker_tables=("speaker_embedding.weight",),
)
