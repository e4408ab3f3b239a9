"""Adversarial losses over the score maps of one or more discriminators.

Each discriminator's score map is averaged, and the averages are summed, weighted where `weights` are given (one per
discriminator). Computed in float32.
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus


def _weights(weights: Sequence[float] | None, count: int) -> Sequence[float]:
    if weights is None:
        return [1.0] * count
    if len(weights) != count:
        raise ValueError(f"{len(weights)} weights for {count} discriminators: give one each")
    return weights


def _total(
    scores: Sequence[Tensor], weights: Sequence[float] | None, penalty: Callable[[Tensor], Tensor]
) -> Float[Tensor, ""]:
    weights = _weights(weights, len(scores))
    return torch.stack([w * penalty(score.float()).mean() for score, w in zip(scores, weights, strict=True)]).sum()


def least_squares_discriminator(
    real: Sequence[Float[Tensor, "..."]], fake: Sequence[Float[Tensor, "..."]], weights: Sequence[float] | None = None
) -> Float[Tensor, ""]:
    """mean((1 - D(x))²) + mean(D(x̂)²): 0 for scores of 1 on real and 0 on generated sound (Mao et al. 2017)."""
    return _total(real, weights, lambda s: (1 - s).square()) + _total(fake, weights, lambda s: s.square())


def least_squares_generator(
    fake: Sequence[Float[Tensor, "..."]], weights: Sequence[float] | None = None
) -> Float[Tensor, ""]:
    """mean((1 - D(x̂))²): 0 when every generated sound scores 1."""
    return _total(fake, weights, lambda s: (1 - s).square())


def hinge_discriminator(
    real: Sequence[Float[Tensor, "..."]], fake: Sequence[Float[Tensor, "..."]], weights: Sequence[float] | None = None
) -> Float[Tensor, ""]:
    """mean(max(0, 1 - D(x))) + mean(max(0, 1 + D(x̂))): 0 for scores of at least 1 and at most -1 (Lim & Ye 2017)."""
    return _total(real, weights, lambda s: (1 - s).relu()) + _total(fake, weights, lambda s: (1 + s).relu())


def hinge_generator(fake: Sequence[Float[Tensor, "..."]], weights: Sequence[float] | None = None) -> Float[Tensor, ""]:
    """-mean(D(x̂)), the generator's side of the hinge."""
    return _total(fake, weights, lambda s: -s)


def cross_entropy_discriminator(
    real: Sequence[Float[Tensor, "..."]], fake: Sequence[Float[Tensor, "..."]], weights: Sequence[float] | None = None
) -> Float[Tensor, ""]:
    """-mean ln s(D(x)) - mean ln(1 - s(D(x̂))) with the logistic s (Goodfellow et al. 2014): 2 ln 2 at chance."""
    return _total(real, weights, lambda s: softplus(-s)) + _total(fake, weights, softplus)


def cross_entropy_generator(
    fake: Sequence[Float[Tensor, "..."]], weights: Sequence[float] | None = None
) -> Float[Tensor, ""]:
    """-mean ln s(D(x̂)): the form whose gradient does not vanish where the discriminator is sure."""
    return _total(fake, weights, lambda s: softplus(-s))
