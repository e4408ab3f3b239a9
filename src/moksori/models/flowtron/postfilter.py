"""What makes spoken mels look like recordings: a small network that learns it against a discriminator.

A flow's mels are averages where the text leaves something open: their likelihood hardly minds, and ears do. So a last
network, to which the flows and the text are nothing, moves each mel to where a discriminator takes it for a recording's
(Kaneko, Kameoka, Hojo, Ijima, Hiramatsu, Kashino, "Generative adversarial network-based postfilter for statistical
parametric speech synthesis", ICASSP 2017). Mels of given latents do not go through it: they stay exact.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from moksori.audio.harmonics import harmonic_ripples, looked_up
from moksori.audio.mel import MelConfig
from moksori.models.flowtron.config import PostfilterConfig
from moksori.nn.conv import ProductConv1d, zero_initialised
from moksori.nn.convnext import ConvNeXtStack
from moksori.nn.precision import full_precision


class Postfilter(nn.Module):
    """Standardised frames -> standardised mels; the identity at first.

    Where a frame holds a pitch, its harmonics are drawn band by band beside it (`audio.harmonics`).
    """

    ripples: Tensor

    def __init__(self, config: PostfilterConfig, mel: MelConfig, pitch: bool) -> None:
        super().__init__()
        self.mels, self.pitch, self.strength = mel.n_mels, pitch, config.strength
        inputs = 2 * mel.n_mels + 1 if pitch else mel.n_mels
        self.body = ConvNeXtStack(inputs, config.channels, config.inner_channels, config.num_layers, config.kernel_size)
        self.out = zero_initialised(ProductConv1d(config.channels, mel.n_mels, 1))
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
            mels: Tensor = frames[:, : self.mels] + self.strength * self.out(self.body(seen, mask))
            return mels
