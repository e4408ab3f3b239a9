"""A discriminator for D-DSVAE's mels: they shall look like recordings, and conversions like the person asked for.

What the bound teaches alone are averages: a copy in its own voice has lost a third of the way to a stranger's already.
The discriminator sees a mel with the voice that it is said to have, z_s of another stretch of that person's recording:

    real: a recording with its own voice         fake: a copy with its own voice
                                                       a conversion with the voice that was asked for
                                                       a recording with another's voice (Reed et al. 2016)

Conversions have no recording to be compared with: this is all that they learn from.
"""

from collections.abc import Generator as Steps
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from moksori.losses.adversarial import hinge_discriminator
from moksori.losses.mel_adversary import mel_generator_terms
from moksori.models.contract import Update
from moksori.models.dsvae.config import AdversaryConfig
from moksori.nn.discriminators import MelDiscriminator


@dataclass(frozen=True)
class Judged:
    """Standardised log-mels `[batch, bands, frames]` and z_s `[batch, channels]`.

    recording: of the same words as both others. voice: the recording's, of another stretch of it. asked: the voice that
    the conversion should have.
    """

    recording: Tensor
    copy: Tensor
    conversion: Tensor
    voice: Float[Tensor, "batch speaker"]
    asked: Float[Tensor, "batch speaker"]


def game(
    discriminator: MelDiscriminator, config: AdversaryConfig, step: int, judged: Judged
) -> Steps[Update, None, dict[str, Tensor]]:
    """The discriminator's update; returns the model's terms, once its head start is over."""
    yield discriminator_update(discriminator, config, judged)
    if step < config.start_step + config.head_start_steps:
        return {}
    return model_terms(discriminator, judged)


def discriminator_update(discriminator: MelDiscriminator, config: AdversaryConfig, judged: Judged) -> Update:
    """No gradient reaches what made the mels."""
    count = len(judged.recording)
    mels = torch.cat([judged.recording, judged.copy.detach(), judged.conversion.detach(), judged.recording])
    voices = torch.cat([judged.voice, judged.voice, judged.asked, judged.asked])
    real, copy, conversion, mismatch = discriminator(mels, voices).score.split(count)
    weights = (0.5, 0.5, config.mismatch_weight)
    # A loss has as many real scores as false ones; the real ones are the same each time.
    loss = hinge_discriminator([real] * 3, [copy, conversion, mismatch], weights)
    told = {
        name: (real.mean() - score.mean()).detach()
        for name, score in (("copies_told", copy), ("conversions_told", conversion), ("voices_told", mismatch))
    }
    return Update("discriminator", {"discriminator": loss, **told}, {"discriminator": 1.0})


def model_terms(discriminator: MelDiscriminator, judged: Judged) -> dict[str, Tensor]:
    """What the decoder shall make smaller."""
    made = torch.cat([judged.copy, judged.conversion])
    return mel_generator_terms(
        discriminator, judged.recording, made, judged.voice, torch.cat([judged.voice, judged.asked])
    )
