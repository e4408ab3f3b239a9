"""Recordings in disguise: the same words as if another throat had said them through another microphone.

The bound alone takes who speaks out of z_c slowly. A content posterior that hears each recording with its frequencies
stretched and its spectrum bent, differently every time, cannot tell the decoder what the speaker's throat is like; z_s,
which hears the recording as it is, has to (as in NANSY, Choi et al. 2021, and ContentVec, Qian et al. 2022).
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from moksori.audio.mel import MelConfig, mel_filterbank

CURVES = 4
"""Cosines over the bands that the spectrum is bent by."""
BEND_NATS = 4.0
"""Deviation of each cosine's height, in ln magnitude, for a stretch of 1."""


class Disguise(nn.Module):
    """Log-mels with frequencies stretched by up to `share`, and bent in proportion. No weights.

    bend: deviation of each cosine's height, in ln magnitude, whatever the stretch; None: BEND_NATS times the share.
    """

    centres: Tensor
    curves: Tensor

    def __init__(self, mel: MelConfig, share: float, bend: float | None = None) -> None:
        super().__init__()
        self.share, self.bend = share, BEND_NATS * share if bend is None else bend
        hertz = np.linspace(0.0, mel.sample_rate / 2, mel.n_fft // 2 + 1)
        weights = mel_filterbank(mel).numpy()
        centres = (weights @ hertz) / weights.sum(axis=1)
        self.register_buffer("centres", torch.from_numpy(centres).float(), persistent=False)
        place = (torch.arange(mel.n_mels) + 0.5) / mel.n_mels
        curves = torch.stack([torch.cos(torch.pi * count * place) for count in range(CURVES)])
        self.register_buffer("curves", curves, persistent=False)

    def forward(
        self, mel: Float[Tensor, "batch mels frames"], generator: Generator | None = None
    ) -> Float[Tensor, "batch mels frames"]:
        """Each item in its own way."""
        batch, bands = mel.shape[:2]
        drawn = torch.rand(batch, 1, generator=generator, device=mel.device) * 2.0 - 1.0
        heights = torch.randn(batch, CURVES, generator=generator, device=mel.device)
        # Band b of the disguise is what the recording has at the band's frequency times the factor.
        wanted = self.centres * torch.exp(self.share * drawn)
        above = torch.searchsorted(self.centres, wanted.contiguous()).clamp(1, bands - 1)
        low, high = self.centres[above - 1], self.centres[above]
        weight = ((wanted - low) / (high - low)).clamp(0.0, 1.0).unsqueeze(2)
        index = above.unsqueeze(2).expand(-1, -1, mel.shape[2])
        stretched = torch.lerp(mel.gather(1, index - 1), mel.gather(1, index), weight.to(mel.dtype))
        return stretched + (self.bend * heights @ self.curves).unsqueeze(2)
