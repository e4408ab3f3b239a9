"""Where a training step looks: the same number of frames of every item, at random places."""

import torch
from jaxtyping import Int
from torch import Generator, Tensor


def random_starts(room: Int[Tensor, " batch"], generator: Generator | None = None) -> Int[Tensor, " batch"]:
    """A start from 0 to `room` for each item, all alike probable; room: frames of the item beyond those of the crop."""
    return (torch.rand(len(room), generator=generator, device=room.device) * (room + 1)).long()
