"""NaturalSpeech 2's postfilter (`models.postfilter`): it sees latents, what is said in them, and in which voice.

A few steps of a solver leave noise in the latents, and guesses of voices that are new lean to the usual: what comes out
is hoarse. The paper has no such network.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from moksori.models import postfilter
from moksori.nn.masks import masked
from moksori.nn.precision import full_precision


class Postfilter(postfilter.Postfilter):
    """Standardised latents -> standardised latents; the identity at first. hidden: channels of condition and voice."""

    def __init__(self, config: postfilter.PostfilterConfig, latent_channels: int, hidden: int) -> None:
        super().__init__(config, latent_channels + hidden, latent_channels, hidden)

    def forward(
        self,
        latent: Float[Tensor, "batch latent frames"],
        condition: Float[Tensor, "batch hidden frames"],
        voice: Float[Tensor, "batch hidden 1"],
        mask: Bool[Tensor, "batch 1 frames"],
    ) -> Float[Tensor, "batch latent frames"]:
        """condition: c, what is said in each frame. voice: the mean of the prompt's states. 0 at padding."""
        with full_precision(latent.device.type):
            latent = latent.float()
            seen = torch.cat([latent, condition.float()], dim=1)
            return masked(self.moved(latent, seen, mask, voice.float()), mask)
