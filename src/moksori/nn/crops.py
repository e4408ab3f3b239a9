"""Where a training step looks: the same number of frames of every item, at random places."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor


def random_starts(room: Int[Tensor, " batch"], generator: Generator | None = None) -> Int[Tensor, " batch"]:
    """A start from 0 to `room` for each item, all alike probable; room: frames of the item beyond those of the crop."""
    return (torch.rand(len(room), generator=generator, device=room.device) * (room + 1)).long()


def stretches(
    waveform: Float[Tensor, "batch samples"], lengths: Int[Tensor, " batch"], start: Int[Tensor, " batch"], size: int
) -> tuple[Float[Tensor, "batch size"], Bool[Tensor, "batch size"]]:
    """`size` samples of each item from `start` on, which may lie before 0, and which of them lie within the item.

    The others are 0.
    """
    place = start.unsqueeze(1) + torch.arange(size, device=start.device)
    inside = (place >= 0) & (place < lengths.unsqueeze(1))
    return waveform.gather(1, place.clamp(min=0, max=waveform.shape[1] - 1)) * inside, inside
