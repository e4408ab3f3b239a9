"""Gradient reversal (Ganin and Lempitsky 2015): what helps the layers behind it hinders those before it."""

import math
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * gradients[0], None


def reversed_gradient(x: Tensor, strength: float = 1.0) -> Tensor:
    """`x` itself; its gradient is multiplied by -strength on the way back."""
    found: Tensor = _Reversal.apply(x, strength)
    return found


def ramp(step: int, steps: int) -> float:
    """The strength of reversal at a step: 2 / (1 + exp(-10 p)) - 1 of the share p of `steps` (Ganin 2015)."""
    if steps <= 0:
        return 1.0
    share = min(step / steps, 1.0)
    return 2.0 / (1.0 + math.exp(-10.0 * share)) - 1.0


@torch.no_grad()
def accuracy(logits: Float[Tensor, "batch classes"], true: Int[Tensor, " batch"]) -> Float[Tensor, ""]:
    """Share of the items whose class has the highest logit: how well a reader that is resisted does."""
    return (logits.argmax(dim=1) == true).float().mean()
