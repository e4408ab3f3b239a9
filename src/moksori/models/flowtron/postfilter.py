"""Flowtron's postfilter (`models.postfilter`): it sees a frame, and its pitch's harmonics.

To it the flows and the text are nothing. Mels of given latents do not go through it: they stay exact.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from moksori.audio.harmonics import harmonic_ripples, looked_up
from moksori.audio.mel import MelConfig
from moksori.models import postfilter
from moksori.nn.precision import full_precision


class Postfilter(postfilter.Postfilter):
    """Standardised frames -> standardised mels; the identity at first.

    Where a frame holds a pitch, its harmonics are drawn band by band beside it (`audio.harmonics`).
    """

    ripples: Tensor

    def __init__(self, config: postfilter.PostfilterConfig, mel: MelConfig, pitch: bool) -> None:
        super().__init__(config, 2 * mel.n_mels + 1 if pitch else mel.n_mels, mel.n_mels)
        self.mels, self.pitch = mel.n_mels, pitch
        if pitch:
            self.register_buffer("ripples", harmonic_ripples(mel), persistent=False)

    def forward(
        self,
        frames: Float[Tensor, "batch bands frames"],
        log_f0: Float[Tensor, "batch frames"] | None = None,
        mask: Bool[Tensor, "batch 1 frames"] | None = None,
    ) -> Float[Tensor, "batch mels frames"]:
        """frames: standardised, their pitch in the last band. log_f0: the same pitch in ln Hz. mask: of real frames."""
        with full_precision(frames.device.type):
            seen = frames
            if self.pitch:
                assert log_f0 is not None
                seen = torch.cat([frames, looked_up(self.ripples, log_f0).transpose(1, 2)], dim=1)
            return self.moved(frames[:, : self.mels], seen, mask)
