"""The earth mover's distance as a critic estimates it, and what holds the critic's gradient (Arjovsky et al. 2017)."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from moksori.nn.precision import full_precision


def wasserstein_distance(real: Float[Tensor, " scores"], fake: Float[Tensor, " scores"]) -> Float[Tensor, ""]:
    """mean D(x) - mean D(x̂): what a critic of slope 1 makes as large as it can, and a generator small."""
    return real.float().mean() - fake.float().mean()


def gradient_penalty(
    critic: Callable[[Tensor], Tensor],
    real: Float[Tensor, "batch *shape"],
    fake: Float[Tensor, "batch *shape"],
    share: Float[Tensor, " batch"],
) -> Float[Tensor, ""]:
    """mean (|grad D(xi)| - 1)², xi = share · x + (1 - share) · x̂ (Gulrajani et al. 2017).

    share: 0 to 1, uniform, an own one for each. critic: scores of a batch, each from its own item alone.
    """
    with full_precision(real.device.type):
        shape = (-1, *[1] * (real.dim() - 1))
        between = torch.lerp(fake.detach().float(), real.detach().float(), share.float().reshape(shape))
        between.requires_grad_(True)
        (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
        return ((slope.flatten(1).square().sum(dim=1) + 1e-12).sqrt() - 1.0).square().mean()
