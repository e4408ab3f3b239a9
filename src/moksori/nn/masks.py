"""Masks: bool `[batch, 1, time]`, True where a position is real and False where it is padding."""

import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor


def sequence_mask(lengths: Int[Tensor, " batch"], max_length: int | None = None) -> Bool[Tensor, "batch 1 time"]:
    """True at the first `lengths[b]` positions of item b.

    max_length: size of the time axis; None takes the longest item, which waits for the device, so pass the padded
    size where it is known (always inside an exported graph).
    """
    if max_length is None:
        max_length = int(lengths.max())
    positions = torch.arange(max_length, device=lengths.device)
    return positions[None, None, :] < lengths[:, None, None]


def masked(x: Shaped[Tensor, "batch channels time"], mask: Bool[Tensor, "batch 1 time"] | None) -> Tensor:
    """`x` with zeros where the mask is False; None: there is no padding, and nothing to do."""
    return x if mask is None else x * mask


def repeated_mask(mask: Bool[Tensor, "batch 1 time"], rate: int) -> Bool[Tensor, "batch 1 finer"]:
    """The mask `rate` times as fine: `repeat_interleave` along time, but by operators that exported graphs have."""
    return mask.unsqueeze(3).expand(-1, -1, -1, rate).flatten(2)
