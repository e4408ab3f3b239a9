"""What a pitch looks like in a mel: an input that lets the decoder draw harmonics, not invent them.

A network that is to draw the comb of a voice from a latent learns it last: after 2,000 steps of training its mels had
formants and no harmonics. Here the pitch of every frame is predicted from the (noisy) mel, as in the homomorphic
decoder; the decoder is given the mel of a pulse train of that pitch. Conversion then moves pitch by the difference of
the speakers' means, and z_c need not hold it.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from moksori.audio.mel import MelConfig, mel_filterbank
from moksori.models.decoders.pitch import Pitch
from moksori.nn.precision import full_precision

LOWEST_LOG_F0, HIGHEST_LOG_F0 = 3.9, 6.7
"""49 and 812 Hz."""
STEPS = 281
"""Rows of the table, a sixth of a semitone apart."""
MIDDLE_LOG_F0 = 5.1
"""164 Hz: what stands for the mean where nothing is voiced."""


def pulse_train_mels(mel: MelConfig) -> Float[Tensor, "steps mels"]:
    """Log-mels of pulse trains of each pitch of the table, every row at mean 0 and deviation 1.

    A harmonic seen through a Hann window is its transform, sinc(x) / (1 - x²) at x bins away; harmonics are added as
    if they never met.
    """
    bins = np.arange(mel.n_fft // 2 + 1)
    rows = np.zeros((STEPS, len(bins)))
    for row, log_f0 in enumerate(np.linspace(LOWEST_LOG_F0, HIGHEST_LOG_F0, STEPS)):
        spacing = np.exp(log_f0) * mel.n_fft / mel.sample_rate
        harmonics = spacing * np.arange(1, int(len(bins) / spacing) + 1)
        away = np.abs(bins[:, None] - harmonics[None, :])
        lobe = np.where(away < 2.0, np.sinc(away) / np.where(np.abs(away - 1.0) < 1e-6, np.nan, 1.0 - away**2), 0.0)
        rows[row] = np.nan_to_num(lobe, nan=0.5).sum(axis=1)
    log_mel = torch.log(torch.from_numpy(rows).float() @ mel_filterbank(mel).T + 1e-5)
    return (log_mel - log_mel.mean(dim=1, keepdim=True)) / log_mel.std(dim=1, keepdim=True)


class PitchFeatures(nn.Module):
    """Pitch and voicing of each frame as the decoder is given them: `n_mels + 2` channels."""

    table: Tensor

    def __init__(self, mel: MelConfig) -> None:
        super().__init__()
        self.channels = mel.n_mels + 2
        self.register_buffer("table", pulse_train_mels(mel), persistent=False)

    def forward(self, pitch: Pitch) -> Float[Tensor, "batch frames channels"]:
        with full_precision(self.table.device.type):
            place = (pitch.log_f0 - LOWEST_LOG_F0) * ((STEPS - 1) / (HIGHEST_LOG_F0 - LOWEST_LOG_F0))
            place = place.clamp(0.0, STEPS - 1.001)
            low = place.long()
            comb = torch.lerp(self.table[low], self.table[low + 1], (place - low).unsqueeze(2))
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
