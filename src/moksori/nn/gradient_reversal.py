"""Gradient reversal (Ganin and Lempitsky 2015): what helps the layers behind it hinders those before it."""

from typing import Any

import torch
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
