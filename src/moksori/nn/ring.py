"""Rows of which the oldest give way to new ones."""

import torch
from jaxtyping import Int
from torch import Tensor, nn


class Ring(nn.Module):
    """Where the next rows go of some that are kept, and how many are: in buffers, so that a resumed run goes on.

    What is kept, `size` rows of it, is registered by the class that inherits.
    """

    place: Tensor
    count: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("place", torch.zeros((), dtype=torch.int64))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def take(self, rows: int) -> Int[Tensor, " rows"]:
        """The places of so many new rows, at most `size`: free ones, then those of the oldest."""
        slots = (self.place + torch.arange(rows, device=self.place.device)) % self.size
        self.place.copy_((self.place + rows) % self.size)
        self.count.copy_((self.count + rows).clamp(max=self.size))
        return slots
