"""Dropout whose masks cost little on a processor."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

_LEVELS = 1 << 16


class Dropout(nn.Dropout):
    """torch's layer; on a processor four elements of an item share one drawn word of 64 bits.

    There torch draws a number for each element, which takes a model of convolutions a tenth of its time. The
    probability is rounded to a multiple of 2^-16, and what is kept is scaled by what it then is. Never in place. Words
    are drawn item by item, the first axis, so that who shares a batch can share what is drawn.
    """

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or self.p in (0.0, 1.0) or not input.is_cpu or not _is_item_by_item(input):
            return super().forward(input)
        return input * _mask(input, self.p)


def _is_item_by_item(x: Tensor) -> bool:
    """Whether one item's elements follow the other's in memory, or would in a tensor like it."""
    strides = torch.empty_like(x, device="meta").stride()
    return x.dim() > 1 and x.numel() > 0 and (strides[0] == x[0].numel() or x.shape[0] == 1)


@torch.no_grad()
def _mask(x: Float[Tensor, "items *shape"], p: float) -> Float[Tensor, "items *shape"]:
    """0 with probability p, else 1 / (1 - p), in the shape, precision and memory order of x."""
    dropped = min(round(p * _LEVELS), _LEVELS - 1)
    items, count = len(x), x[0].numel()
    bounds = torch.iinfo(torch.int64)  # without them the highest bit is always 0
    words = torch.randint(bounds.min, bounds.max, (items, -(-count // 4)), dtype=torch.int64, device=x.device)
    mask = torch.empty_like(x, requires_grad=False)
    flat = mask.as_strided((items, count), (count, 1))  # empty_like leaves no gaps
    torch.ge(words.view(torch.int16)[:, :count], dropped - _LEVELS // 2, out=flat)
    return mask.mul_(_LEVELS / (_LEVELS - dropped))
