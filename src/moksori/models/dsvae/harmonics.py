"""What a pitch looks like in a mel: an input that lets the decoder draw harmonics, not invent them.

A network that is to draw the comb of a voice from a latent learns it last: after 2,000 steps of training its mels had
formants and no harmonics. Here the pitch of every frame is predicted from the (noisy) mel, as in the homomorphic
decoder; the decoder is given the mel of a pulse train of that pitch. Conversion then moves pitch by the difference of
the speakers' means, and z_c need not hold it.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from moksori.audio.harmonics import looked_up, pulse_train_mels
from moksori.audio.mel import MelConfig
from moksori.models.decoders.pitch import Pitch
from moksori.nn.precision import full_precision

MIDDLE_LOG_F0 = 5.1
"""164 Hz: what stands for the mean where nothing is voiced."""


class PitchFeatures(nn.Module):
    """Pitch and voicing of each frame as the decoder is given them: `n_mels + 2` channels."""

    table: Tensor

    def __init__(self, mel: MelConfig) -> None:
        super().__init__()
        self.channels = mel.n_mels + 2
        self.register_buffer("table", pulse_train_mels(mel), persistent=False)

    def forward(self, pitch: Pitch) -> Float[Tensor, "batch frames channels"]:
        with full_precision(self.table.device.type):
            comb = looked_up(self.table, pitch.log_f0)
            voicing = pitch.voicing.unsqueeze(2)
            height = (pitch.log_f0 - MIDDLE_LOG_F0).unsqueeze(2) * voicing
            return torch.cat([comb * voicing, height, voicing], dim=2)


def mean_pitch(pitch: Pitch, mask: Bool[Tensor, "batch 1 frames"] | None = None) -> Float[Tensor, "batch 1"]:
    """The mean log F0 of voiced frames."""
    weight = (pitch.voicing > 0.5).to(pitch.log_f0.dtype)
    if mask is not None:
        weight = weight * mask[:, 0]
    count = weight.sum(dim=1, keepdim=True)
    mean = (pitch.log_f0 * weight).sum(dim=1, keepdim=True) / count.clamp(min=1.0)
    return torch.where(count > 0, mean, torch.full_like(mean, MIDDLE_LOG_F0))
