"""Exponential moving average of a model's weights."""

from copy import deepcopy

import torch
from torch import nn


class AveragedModel:
    """A copy of a model whose weights follow the original's: w' = decay * w' + (1 - decay) * w.

    The decay is ramped, min(decay, (1 + step) / (10 + step)), so that early steps are not remembered.
    Buffers are copied as they are.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = deepcopy(model).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Takes in the weights after `step` steps."""
        decay = min(self.decay, (1 + step) / (10 + step))
        averaged = [p.data for p in self.model.parameters()]
        current = [p.data for p in model.parameters()]
        torch._foreach_lerp_(averaged, current, 1.0 - decay)
        for mine, theirs in zip(self.model.buffers(), model.buffers(), strict=True):
            mine.copy_(theirs)
