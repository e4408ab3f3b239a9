"""Length regulation: how long each token is, in whole frames that add up."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from moksori.text.symbols import END, GAP, PAD, PUNCTUATION, START

_SILENT = frozenset((PAD, GAP, START, END, *PUNCTUATION))


def sounding_symbols(symbols: Sequence[str], rows: int) -> Bool[Tensor, " rows"]:
    """For each row of a symbol table whether it is a sound, which takes a frame at least. Others may take none: gaps,
    punctuation, the ends and `<de>`, which names a language."""
    silent = [symbol in _SILENT or (symbol.startswith("<") and symbol.endswith(">")) for symbol in symbols[:rows]]
    return torch.tensor([not quiet for quiet in silent] + [True] * (rows - len(silent)))


def whole_frames(
    frames: Float[Tensor, "batch tokens"],
    sounding: Bool[Tensor, "batch tokens"],
    mask: Bool[Tensor, "batch 1 tokens"],
    longest: int,
) -> Int[Tensor, "batch tokens"]:
    """Durations in whole frames: the ends of the tokens are rounded, so that what is cut off one is given to the next.

    frames: wanted, of any sign. A sound takes one frame at least, and nothing more than `longest`; padding takes none.
    """
    wanted = frames.double().clamp(min=0.0, max=float(longest))
    wanted = torch.where(sounding, wanted.clamp(min=1.0), wanted) * mask[:, 0]
    # floor(x + 1/2): half-to-even rounding may move two ends that are one frame apart onto one.
    ends = torch.floor(wanted.cumsum(dim=1) + 0.5)
    found = ends - torch.cat([torch.zeros_like(ends[:, :1]), ends[:, :-1]], dim=1)
    return torch.where(sounding & mask[:, 0], found.clamp(min=1.0), found).long()
