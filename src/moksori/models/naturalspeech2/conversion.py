"""Conversion and cleaning: what is said goes to noise along the ODE, and comes back in another voice.

The noise at which the source arrives, under its own prompt, holds what is left to chance once that voice is known;
under another prompt the same network makes that voice of it (the paper on zero-shot conversion and enhancement). Both
ways are solved by the same second-order steps, so that the one undoes the other.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from moksori.errors import BadInput
from moksori.models.naturalspeech2.speaking import Plan, alike, guided, heard_prompt, planned, raw
from moksori.nn.diffusion_samplers import backward_ode, forward_ode, item_noise
from moksori.nn.masks import masked, sequence_mask
from moksori.types import ConvertControls, LatentBatch, SayControls, TextBatch

if TYPE_CHECKING:
    from moksori.models.naturalspeech2.model import Naturalspeech2

STEPS = 25
"""Each way; with an exact network, and with one that errs, a source comes back to within 0.01 of its own scale."""
START = 0.05
"""Where the way to noise begins and the way back ends: sigma is 0.17 there. Nearer to the data the score divides what a
network's guess lacks by next to nothing, and what it does not know would fill the noise."""


def convert_latents(
    model: "Naturalspeech2",
    source: LatentBatch,
    target: LatentBatch | None,
    own: LatentBatch | None,
    controls: ConvertControls,
    text: TextBatch | None = None,
    f0: Float[Tensor, "batch frames"] | None = None,
    generator: Generator | None = None,
) -> LatentBatch:
    """See `models.contract_latents.CanConvertLatents`. Raises BadInput for what does not fit together."""
    if source.latent.shape[1] != model.latent_channels:
        raise BadInput(
            f"latents have {source.latent.shape[1]} channels, this model converts {model.latent_channels}: take those "
            "of its codec"
        )
    mask = sequence_mask(source.frame_lengths, source.latent.shape[2])
    start = masked(model.standardize(source.latent), mask)
    here = _plan(model, source if own is None else own, mask, text, f0)
    there = _plan(model, source if target is None else target, mask, text, f0)
    if target is None:
        null = model.prompt_tokens.none.expand_as(there.prompt.tokens)
        there = replace(there, prompt=replace(there.prompt, tokens=null))
    own_voice, other_voice = guided(model, here), guided(model, there)

    def between(zt: Tensor, t: float) -> Tensor:
        if controls.strength == 1.0:
            return other_voice(zt, t)
        return torch.lerp(own_voice(zt, t), other_voice(zt, t), controls.strength)

    noise = masked(forward_ode(own_voice, start, model.process, STEPS, START), mask)
    variation = min(controls.variation or 0.0, 1.0)
    if variation > 0.0:
        drawn = item_noise(alike(len(noise), generator))(noise)
        noise = (1.0 - variation**2) ** 0.5 * noise + variation * masked(drawn, mask)
    made = backward_ode(between, noise, model.process, STEPS, START)
    latent = made.float()
    # A postfilter has learnt to hear what is said: without a text it is not asked.
    found = masked(model.standardize.inverse(latent), mask) if text is None else raw(model, there, latent)
    return LatentBatch(found, source.frame_lengths)


def _plan(
    model: "Naturalspeech2",
    prompt: LatentBatch,
    mask: Bool[Tensor, "batch 1 frames"],
    text: TextBatch | None,
    f0: Float[Tensor, "batch frames"] | None,
) -> Plan:
    """What is said, in the voice of a prompt; without a text the learnt condition that stands for none."""
    if text is not None:
        if text.durations is None:
            raise BadInput("a text to convert with, without durations: give the frames of each of its tokens")
        plan = planned(model, text, prompt, SayControls(), f0)
        if plan.mask.shape != mask.shape or bool((plan.mask != mask).any()):
            raise BadInput(
                f"the text's durations add up to {plan.frame_lengths.tolist()} frames, the recording has "
                f"{mask.sum(dim=(1, 2)).tolist()}: give durations of this recording"
            )
        return plan
    heard = heard_prompt(model, prompt)
    return Plan.of(masked(model.null_condition.expand(len(mask), -1, mask.shape[2]), mask), heard, mask)
