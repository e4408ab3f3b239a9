"""What a pitch looks like in a mel: the comb of its harmonics, so that networks need not invent it."""

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from moksori.audio.mel import MelConfig, mel_filterbank

LOWEST_LOG_F0, HIGHEST_LOG_F0 = 3.9, 6.7
"""49 and 812 Hz."""
STEPS = 281
"""Rows of a table, a sixth of a semitone apart."""
_VALLEY = 1e-3
"""What lies between harmonics, of their height: breath, and the window."""
_SMOOTH = 4
"""Cosines over the bands that ripples are without: what is so smooth is the vowel's, not the pitch's."""


def pulse_train_mels(mel: MelConfig) -> Float[Tensor, "steps mels"]:
    """Log-mels of pulse trains of each pitch of the table, every row at mean 0 and deviation 1."""
    log_mel = torch.log(torch.from_numpy(_spectra(mel)).float() @ mel_filterbank(mel).T + 1e-5)
    return (log_mel - log_mel.mean(dim=1, keepdim=True)) / log_mel.std(dim=1, keepdim=True)


def harmonic_ripples(mel: MelConfig) -> Float[Tensor, "steps mels"]:
    """Log-mels of pulse trains of each pitch, in valleys 60 dB deep, without what is smooth over the bands, and of unit
    spread over the whole table; about 0 where bands are wider than harmonics are apart.
    """
    bank = mel_filterbank(mel).double()
    ripples = torch.log(((torch.from_numpy(_spectra(mel)) + _VALLEY) @ bank.T / bank.sum(dim=1)).clamp(min=_VALLEY))
    k, band = torch.arange(_SMOOTH).double()[:, None], torch.arange(mel.n_mels).double()
    cosines = torch.cos(math.pi * k * (band + 0.5) / mel.n_mels)[: mel.n_mels]
    cosines = cosines / cosines.norm(dim=1, keepdim=True)
    ripples = ripples - ripples @ cosines.T @ cosines
    return (ripples / ripples.std().clamp(min=1e-9)).float()


def looked_up(table: Float[Tensor, "steps mels"], log_f0: Float[Tensor, "*axes"]) -> Float[Tensor, "*axes mels"]:
    """Rows of a table at log F0 (of Hz), between two rows both by their nearness; beyond its ends the last."""
    place = (log_f0 - LOWEST_LOG_F0) * ((STEPS - 1) / (HIGHEST_LOG_F0 - LOWEST_LOG_F0))
    place = place.clamp(0.0, STEPS - 1.001)
    low = place.long()
    return torch.lerp(table[low], table[low + 1], (place - low).unsqueeze(-1))


def _spectra(mel: MelConfig) -> Float[np.ndarray, "steps bins"]:
    """Magnitudes of pulse trains. A harmonic seen through a Hann window is its transform, sinc(x) / (1 - x²) at x bins
    away; harmonics are added as if they never met."""
    bins = np.arange(mel.n_fft // 2 + 1)
    rows = np.zeros((STEPS, len(bins)))
    for row, log_f0 in enumerate(np.linspace(LOWEST_LOG_F0, HIGHEST_LOG_F0, STEPS)):
        spacing = np.exp(log_f0) * mel.n_fft / mel.sample_rate
        harmonics = spacing * np.arange(1, int(len(bins) / spacing) + 1)
        away = np.abs(bins[:, None] - harmonics[None, :])
        lobe = np.where(away < 2.0, np.sinc(away) / np.where(np.abs(away - 1.0) < 1e-6, np.nan, 1.0 - away**2), 0.0)
        rows[row] = np.nan_to_num(lobe, nan=0.5).sum(axis=1)
    return rows
