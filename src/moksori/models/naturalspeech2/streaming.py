"""Speaking stretch by stretch, so that the first sound of a long sentence need not wait for the last.

How long everything is, its pitch and its noise are found for the whole at once, which costs little. The diffusion then
runs on one stretch after the other, each with frames on both sides that are thrown away: those that one guess depends
on, and over which guidance is levelled. In each step what comes from further away comes through guesses, and next to
nothing of it is left: stretches come out as the whole does, to 1e-5 of its scale (docs/families/naturalspeech2.md).
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from moksori.models.naturalspeech2.speaking import LEVEL_FRAMES, Plan, corrected, drawn, planned, sampled
from moksori.nn.diffusion_samplers import DRAWING
from moksori.types import LatentBatch, SayControls, SpokenLatentBlocks, TextBatch

if TYPE_CHECKING:
    from moksori.models.naturalspeech2.model import Naturalspeech2


@torch.no_grad()
def stream_latents_like(
    model: "Naturalspeech2",
    text: TextBatch,
    prompt: LatentBatch,
    controls: SayControls,
    chunk_frames: Sequence[int],
    f0: Float[Tensor, "batch frames"] | None = None,
    prosody: LatentBatch | None = None,
    generator: Generator | None = None,
) -> SpokenLatentBlocks:
    """See `models.contract_latents.CanStreamLatents`. A sampler that draws noise on its way makes all in one block.

    Raises BadInput for what does not fit together, ValueError for a stretch of no frames.
    """
    if not chunk_frames or min(chunk_frames) < 1:
        raise ValueError(f"chunk_frames {tuple(chunk_frames)}: expected numbers of at least 1")
    plan = corrected(model, planned(model, text, prompt, controls, f0, prosody), prompt)
    start, noise = drawn(model, plan, controls, generator)
    if model.config.sampling.sampler in DRAWING:
        blocks = iter((sampled(model, plan, start, noise),))
    else:
        blocks = _stretches(model, plan, start, chunk_frames)
    return SpokenLatentBlocks(blocks, plan.frame_lengths, plan.durations)


@torch.no_grad()
def _stretches(
    model: "Naturalspeech2", plan: Plan, start: Float[Tensor, "batch latent frames"], sizes: Sequence[int]
) -> Iterator[Float[Tensor, "batch latent part"]]:
    context = model.denoiser.context_frames + (LEVEL_FRAMES if model.config.sampling.guidance != 1.0 else 0)
    context += 0 if model.postfilter is None else model.postfilter.context_frames
    frames, done, following = start.shape[2], 0, iter(sizes)
    size = next(following)
    while done < frames:
        stop = min(done + size, frames)
        first, last = max(done - context, 0), min(stop + context, frames)
        made = sampled(model, plan.stretch(first, last), start[:, :, first:last])
        yield made[:, :, done - first : stop - first]
        done, size = stop, next(following, size)
