"""Distance between the feature maps that discriminators compute of real and of generated sound."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor


def feature_matching(
    real: Sequence[Sequence[Float[Tensor, "..."]]],
    fake: Sequence[Sequence[Float[Tensor, "..."]]],
    weights: Sequence[float] | None = None,
    relative: bool = False,
) -> Float[Tensor, ""]:
    """2 · sum over discriminators and layers of mean |F(x) - F(x̂)| (Kong et al. 2020, Eq. 6, with its factor of 2).

    real, fake: feature maps per discriminator, then per layer. Real maps are targets: no gradient flows into them.
    weights: one per discriminator. relative: each distance is divided by the mean of |F(x)|, and all are averaged, as
    in EnCodec (Défossez et al. 2022, Eq. 3). Computed in float32.
    """
    if weights is None:
        weights = [1.0] * len(real)
    if not len(real) == len(fake) == len(weights):
        raise ValueError(f"{len(real)} real, {len(fake)} generated sets of features and {len(weights)} weights differ")
    distances = [
        weight * _distance(target.detach().float(), map_.float(), relative)
        for targets, maps, weight in zip(real, fake, weights, strict=True)
        for target, map_ in zip(targets, maps, strict=True)
    ]
    return torch.stack(distances).mean() if relative else 2 * torch.stack(distances).sum()


def _distance(real: Tensor, fake: Tensor, relative: bool) -> Tensor:
    distance = (real - fake).abs().mean()
    return distance / real.abs().mean().clamp(min=1e-5) if relative else distance
