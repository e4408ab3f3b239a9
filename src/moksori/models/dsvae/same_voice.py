"""Two stretches of one recording are one voice: z_s learns to find the second among those of other recordings.

The bound asks of z_s only that the decoder can use it, so it also holds what was said and how loudly, and two stretches
of one person lie as far apart as two people may. Here every recording of a batch gives two stretches:

    z_s of the second, not of the first, is what the decoder is given with the content of the first;
    InfoNCE (van den Oord, Li, Vinyals 2018) of the cosines c_ij of stretch i and second stretch j, both ways:
        L = -1/2 mean_i [ln softmax_j(c_ij / tau)_i + ln softmax_j(c_ji / tau)_i]

The second is clean, the first as noisy as training has it and with its spectrum bent, since stretches of one recording
have their room and microphone in common too. No label is needed; where the corpus tells speakers, other recordings of
the same one are no counterexamples.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


class Found(NamedTuple):
    """The loss, and the share of the stretches whose second is the nearest of all."""

    loss: Float[Tensor, ""]
    right: Float[Tensor, ""]


def same_voice(
    first: Float[Tensor, "batch channels"],
    second: Float[Tensor, "batch channels"],
    speaker: Int[Tensor, " batch"],
    temperature: float,
) -> Found:
    """first, second: z_s of two stretches of each recording."""
    one, two = (F.normalize(x.float(), dim=1) for x in (first, second))
    own = torch.eye(len(speaker), dtype=torch.bool, device=speaker.device)
    alike = (speaker[:, None] == speaker[None, :]) & ~own
    cosines = (one @ two.mT / temperature).masked_fill(alike, -torch.inf)
    place = torch.arange(len(speaker), device=speaker.device)
    loss = 0.5 * (F.cross_entropy(cosines, place) + F.cross_entropy(cosines.mT, place))
    return Found(loss, (cosines.argmax(dim=1) == place).float().mean())
