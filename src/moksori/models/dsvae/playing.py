"""Recordings played slower or faster: pitch and throat change together, and a recording becomes another person's."""

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor


def random_rates(
    items: int, share: float, device: torch.device, generator: Generator | None = None
) -> Float[Tensor, " batch"]:
    """How much faster each item is played: exp(share * u), u uniform in [-1, 1]; ones, and nothing drawn, for 0."""
    if not share:
        return torch.ones(items, device=device)
    return torch.exp(share * (2.0 * torch.rand(items, generator=generator, device=device) - 1.0))


def played(
    waveform: Float[Tensor, "batch samples"], lengths: Int[Tensor, " batch"], place: Float[Tensor, "batch wanted"]
) -> Float[Tensor, "batch wanted"]:
    """The recordings between their samples, which are repeated end to end.

    Catmull and Rom's cubic through four samples: exact where a place is a whole number, and within 1 dB up to half the
    highest frequency elsewhere.
    """
    before = place.floor()
    t = (place - before).to(waveform.dtype)
    index, length = before.long(), lengths.unsqueeze(1)
    if not t.any():
        return waveform.gather(1, index % length)
    a, b, c, d = (waveform.gather(1, (index + shift) % length) for shift in (-1, 0, 1, 2))
    return b + 0.5 * t * (c - a + t * (2.0 * a - 5.0 * b + 4.0 * c - d + t * (3.0 * (b - c) + d - a)))
