"""What conversions are trained on: heard by the encoders, they have the voice and the content they were made of.

The bound of the VAE makes every recording of its own voice and content; how two recordings' latents go together it
never sees, and content that still tells who speaks costs it little. Here each recording of a batch is converted to the
next one's voice, and the encoders, held still, are asked what they hear. The gradient reaches the decoder, which learns
to follow the voice where both latents speak of it, and the content, which learns to leave it out.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from moksori.models.decoders.pitch import Pitch
from moksori.models.dsvae.harmonics import mean_pitch
from moksori.models.dsvae.model import Dsvae, Latents


def conversion_terms(
    model: Dsvae, latents: Latents, content: Float[Tensor, "batch frames content"], pitch: Pitch | None
) -> dict[str, Float[Tensor, ""]]:
    """Error of the voice and of the content of conversions, as shares of the variance within the batch: 0 is what was
    given, 1 is what tells nothing.

    latents: of the recordings. content: drawn from their posteriors. pitch: of the recordings, where the model takes
    one; it is moved to the target's mean.
    """
    voice = latents.speaker.mean.roll(1, dims=0).detach()
    if pitch is not None:
        content = model.with_pitch(content, _moved(pitch))
    converted = model.decoder(voice, content).after
    features = _held_still(model.shared_encoder, converted)
    heard_voice = _held_still(model.speaker_posterior, features).mean
    heard_content = _held_still(model.content_posterior, features).mean
    return {
        "conversion_speaker": _unexplained(heard_voice, voice),
        "conversion_content": _unexplained(heard_content.flatten(0, 1), latents.content.mean.detach().flatten(0, 1)),
    }


def _moved(pitch: Pitch) -> Pitch:
    """Each recording's pitch at the mean height of the one before it in the batch."""
    mask = torch.ones_like(pitch.log_f0, dtype=torch.bool)[:, None]
    height = mean_pitch(pitch, mask)
    return Pitch(pitch.log_f0 - height + height.roll(1, dims=0), pitch.voicing)


def _held_still(module: nn.Module, value: Tensor) -> Any:
    """A module's answer, whose gradient reaches the value and not the weights."""
    weights = {name: weight.detach() for name, weight in module.named_parameters()}
    return functional_call(module, weights, (value,))


def _unexplained(found: Float[Tensor, "rows channels"], wanted: Float[Tensor, "rows channels"]) -> Float[Tensor, ""]:
    spread = (wanted - wanted.mean(dim=0)).square().sum()
    return (found.float() - wanted.float()).square().sum() / (spread.float() + 1e-6)
