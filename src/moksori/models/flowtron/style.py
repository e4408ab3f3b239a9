"""Choosing latents: styles of reference clips, mixtures of samples, styles that change on the way (spec section 7).

z has the shape of the mel, and holds all that text and speaker leave open: pitch, pace, energy, room. What a person may
choose is where it is drawn from,

    z_t = strength_t · style_t + variation · noise_t

with the style the mean latent of reference clips. For m clips with the mean latent z̄ and a prior N(0, I) that weighs
as much as lambda clips, the posterior's mean is mu = m z̄ / (m + lambda); `strength` is m / (m + lambda), 0 the prior
and 1 the clips alone. The noise may be that of several seeds, mixed.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from moksori.errors import BadInput
from moksori.nn.distributions import standard_normal
from moksori.types import LatentPlan, StyleMean

MODES = ("time_and_batch", "batch")
Way = Literal["slerp", "linear"]
_PARALLEL = 1e-4
"""Vectors at a smaller angle, in radians, are mixed linearly: their sine would be lost in rounding."""


def slerp(
    first: Float[Tensor, "*axes mels frames"], second: Float[Tensor, "*axes mels frames"], share: float
) -> Float[Tensor, "*axes mels frames"]:
    """Spherical interpolation, frame by frame: the angle between two frames is gone along evenly, and their lengths
    are mixed linearly. share: 0 gives the first, 1 the second.

    sin((1 - a) w) / sin w · u + sin(a w) / sin w · v of the unit vectors u and v with the angle w (Shoemake 1985).
    """
    lengths = [x.norm(dim=-2, keepdim=True) for x in (first, second)]
    u, v = (x / n.clamp(min=1e-12) for x, n in zip((first, second), lengths, strict=True))
    cosine = (u * v).sum(dim=-2, keepdim=True).clamp(-1.0, 1.0)
    angle = torch.acos(cosine)
    sine = torch.sin(angle)
    straight = sine.abs() < _PARALLEL
    sine = torch.where(straight, torch.ones_like(sine), sine)
    one = torch.where(straight, torch.full_like(sine, 1.0 - share), torch.sin((1.0 - share) * angle) / sine)
    other = torch.where(straight, torch.full_like(sine, share), torch.sin(share * angle) / sine)
    length = (1.0 - share) * lengths[0] + share * lengths[1]
    return (one * u + other * v) * length


def mixed(
    latents: Sequence[Float[Tensor, "*axes mels frames"]], weights: Sequence[float], way: Way
) -> Float[Tensor, "*axes mels frames"]:
    """Latents mixed by weights, which are brought to a sum of 1.

    linear: their mean, as in the paper; it shortens independent latents, two of them by up to 0.71. slerp: one after
    the other, each at the angle of its share of those so far, so that the length stays.
    Raises BadInput for weights that are negative, not finite, or all 0.
    """
    total = checked_weights(weights)
    if way == "linear":
        parts = [latent * (weight / total) for latent, weight in zip(latents, weights, strict=True)]
        return torch.stack(parts).sum(dim=0)
    gone, found = 0.0, None
    for latent, weight in zip(latents, weights, strict=True):
        if weight > 0.0:
            gone += weight
            found = latent if found is None else slerp(found, latent, weight / gone)
    assert found is not None
    return found


def checked_weights(weights: Sequence[float]) -> float:
    """The sum of weights; raises BadInput unless each is a number from 0 on and one is above."""
    if not all(0.0 <= weight < float("inf") for weight in weights) or not sum(weights) > 0.0:
        shown = ", ".join(f"{weight:g}" for weight in weights)
        raise BadInput(f"weights {shown}: expected numbers from 0 on, not all of them 0")
    return sum(weights)


def style_mean(latents: Sequence[Float[Tensor, "mels frames"]], mode: str) -> Float[Tensor, "mels frames"]:
    """The mean latent of clips: where a style's noise is centred.

    time_and_batch: of each clip over time, then over the clips: one frame. batch: over the clips alone, each repeated
    until it is as long as the longest, so that the course in time stays; the ends of the clips are at the style's end.
    Raises BadInput for no clip, an empty one or a mode that does not exist.
    """
    if mode not in MODES:
        raise BadInput(f"style mode {mode!r}: expected {' or '.join(MODES)}")
    if not latents or any(latent.shape[-1] == 0 for latent in latents):
        raise BadInput("a style of no frames: give at least one clip that holds speech")
    if mode == "time_and_batch":
        return torch.stack([latent.mean(dim=-1) for latent in latents]).mean(dim=0)[:, None]
    longest = max(latent.shape[-1] for latent in latents)
    return torch.stack([tiled(latent, longest) for latent in latents]).mean(dim=0)


def tiled(latent: Float[Tensor, "mels frames"], frames: int) -> Float[Tensor, "mels {frames}"]:
    """A latent repeated in time, counted from its end: utterances are anchored there (7.1)."""
    times = -(-frames // latent.shape[-1])
    return latent.repeat(1, times)[:, latent.shape[-1] * times - frames :]


def style_course(plan: LatentPlan, place: Float[Tensor, "batch frames"]) -> Float[Tensor, "batch mels frames"]:
    """strength_t · style_t for every frame.

    place: of each frame in its utterance, 0 its beginning and 1 its end; values beyond count as the nearer end.
    Where no style holds it is 0, the prior's mean.
    """
    place = place.clamp(0.0, 1.0)
    begin, end = plan.strength
    strength = begin + (end - begin) * place
    batch, frames = place.shape
    mels = plan.styles[0].mean.shape[0]
    course = place.new_zeros(batch, mels, frames)
    for together, here in style_stretches(plan.styles, place):
        means = [tiled(style.mean.to(place), frames) for style in together]
        mean = mixed(means, [style.weight for style in together], plan.style_way)
        course = torch.where(here[:, None], mean, course)
    return course * strength[:, None]


def noise_scale(plan: LatentPlan, place: Float[Tensor, "batch frames"]) -> Float[Tensor, "batch 1 frames"]:
    """What the noise is multiplied with: 1, or where styles hold and the plan says so the posterior's standard
    deviation, sqrt(1 - strength) = (1 + m / lambda)^(-1/2), so that what is drawn is as lively as the prior.

    place: as for `style_course`.
    """
    place = place.clamp(0.0, 1.0)
    scale = torch.ones_like(place)
    if plan.posterior:
        begin, end = plan.strength
        deviation = (1.0 - (begin + (end - begin) * place)).clamp(min=0.0).sqrt()
        for _, here in style_stretches(plan.styles, place):
            scale = torch.where(here, deviation, scale)
    return scale[:, None]


def style_stretches(
    styles: Sequence[StyleMean], place: Float[Tensor, "batch frames"]
) -> list[tuple[list[StyleMean], Tensor]]:
    """Which styles hold together where: stretches between all their borders, with masks `[batch, frames]`."""
    borders = sorted({0.0, 1.0, *(style.start for style in styles), *(style.stop for style in styles)})
    found = []
    for low, high in pairwise(borders):
        together = [style for style in styles if style.start <= low and style.stop >= high and style.weight > 0.0]
        if together:
            found.append((together, (place >= low) & ((place < high) | (high == 1.0))))
    return found


def planned_noise(
    plan: LatentPlan | None, like: Float[Tensor, "batch mels frames"], generator: Generator | None = None
) -> Float[Tensor, "batch mels frames"]:
    """Standard normal noise of the shape of `like`: the generator's, or that of the plan's seeds, mixed.

    Each item of a batch has the same noise of a seed as it has alone. Mixed linearly, noise of several seeds is quieter
    than N(0, 1); by slerp its frames keep their lengths, but for the spread that these have.
    """
    if plan is None or not plan.samples:
        return standard_normal(like, generator)
    draws = [standard_normal(like[:1], torch.Generator().manual_seed(seed)) for seed, _ in plan.samples]
    return mixed(draws, [weight for _, weight in plan.samples], plan.sample_way).expand_as(like)


def places(frames: int, expected: Float[Tensor, " batch"], from_the_end: bool) -> Float[Tensor, "batch frames"]:
    """Where the frames of a latent lie in utterances that are expected to have so many frames, 0 to 1.

    from_the_end: whether an utterance takes the latent's last frames (the flow nearest z runs backward) or its first.
    """
    index = torch.arange(frames, device=expected.device, dtype=torch.float32)[None] + 0.5
    first = frames - expected[:, None] if from_the_end else torch.zeros_like(expected[:, None])
    return (index - first) / expected[:, None].clamp(min=1.0)
