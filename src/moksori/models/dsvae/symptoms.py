"""What goes wrong with a D-DSVAE without an error: a latent that is not used, or one that holds what it should not.

All of it is read off what validation measures; `DsvaeObjective.symptoms` and `moksori study balance` say it in words.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn

from moksori.models.dsvae.convolutional import ConvolutionalDecoder
from moksori.models.dsvae.model import Dsvae

CONTENT_COLLAPSE_NATS = 0.1
"""A frame: with less, what is said does not reach the decoder."""
SPEAKER_COLLAPSE_NATS = 0.5
"""A recording: telling women from men alone takes 0.7."""
LEAKING_SHARE = 0.4
"""Of z_c's variance, between recordings. Some of it is honest, since no two crops hold the same sounds."""
DELETED_SHARE = 1e-3
"""Of a signal's energy, in its means over time. A norm per channel leaves none of it, whatever has been learnt."""


def symptoms(measures: Mapping[str, float]) -> dict[str, str]:
    """A line for each symptom of a run's measures, by its name; what was not measured is not judged.

    measures: `speaker_nats` (a recording), `content_nats` (a frame), `content_constant` (see there), and
    `encoder_constants`, `decoder_constants` (`constants_kept`).
    """
    found: dict[str, str] = {}
    if (nats := measures.get("content_nats", CONTENT_COLLAPSE_NATS)) < CONTENT_COLLAPSE_NATS:
        found["content collapse"] = (
            f"{nats:.3f} nats a frame go through z_c, so the output is a hum in the target's voice: lower "
            "objective.beta, raise objective.beta_warmup_steps, set objective.free_nats=0.02 or "
            "model.prior.feed=posterior"
        )
    if (nats := measures.get("speaker_nats", SPEAKER_COLLAPSE_NATS)) < SPEAKER_COLLAPSE_NATS:
        found["speaker collapse"] = (
            f"{nats:.3f} nats a recording go through z_s, so conversion changes nothing: lower objective.alpha, raise "
            "objective.beta or narrow model.content_channels"
        )
    for part in ("encoder", "decoder"):
        if (share := measures.get(f"{part}_constants", 1.0)) < DELETED_SHARE:
            found[f"deaf {part}"] = (
                f"its norm leaves {share:.1e} of the energy in what is constant in time, and so deletes the speaker: "
                "normalise channels and frames together (nn.joint_norm), not channel by channel"
            )
    if (share := measures.get("content_constant", 0.0)) > LEAKING_SHARE:
        found["leak"] = (
            f"{share:.0%} of the variance of z_c stays the same over a whole recording, as a speaker does: raise "
            "objective.beta or narrow model.content_channels"
        )
    return found


@torch.no_grad()
def content_constant(content: Float[Tensor, "batch frames channels"]) -> Float[Tensor, ""]:
    """The share of z_c's variance that lies between recordings of equal length, 0 to 1; 0 where z_c never changes."""
    values = content.float()
    total = values.flatten(0, 1).var(dim=0, correction=0).sum()
    return values.mean(dim=1).var(dim=0, correction=0).sum() / total.clamp(min=1e-12)


@torch.no_grad()
def constants_kept(model: Dsvae, mel: Float[Tensor, "batch mels frames"]) -> dict[str, float]:
    """How much of what the norms give out is constant in time: `encoder_constants`, `decoder_constants`, 0 to 1.

    The speaker is constant in time, and so are z_s and all that the decoder makes of it; 0 means that it is deleted.
    """
    decoder = model.decoder
    blocks = isinstance(decoder, ConvolutionalDecoder)
    inside = decoder.body.norm if isinstance(decoder, ConvolutionalDecoder) else decoder.pre_net.norm
    with _outputs(model.shared_encoder.norm) as heard, _outputs(inside) as found:
        model.decode(model.voice(mel).mean, model.content(mel).mean)
    said = [x.transpose(1, 2) for x in found] if blocks else found  # blocks have their channels last
    return {"encoder_constants": min(map(_constant, heard)), "decoder_constants": min(map(_constant, said))}


@contextmanager
def _outputs(module: nn.Module) -> Iterator[list[Tensor]]:
    """What a module gives out while this is entered, call by call."""
    found: list[Tensor] = []
    handle = module.register_forward_hook(lambda _, given, result: found.append(result))
    try:
        yield found
    finally:
        handle.remove()


def _constant(x: Float[Tensor, "batch channels frames"]) -> float:
    values = x.float()
    energy = values.square().mean()
    return float(values.mean(dim=2).square().mean() / energy.clamp(min=1e-12))
