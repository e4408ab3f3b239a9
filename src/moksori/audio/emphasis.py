"""Pre-emphasis: a high-pass before coding, undone after, so that the noise of coding is faint where ears are keen."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

_SMALLEST = 1e-8


def emphasised(sound: Float[Tensor, "batch samples"], factor: float) -> Float[Tensor, "batch samples"]:
    """x_t - factor · x_(t-1), with silence before the first sample."""
    return sound if factor == 0.0 else sound - factor * F.pad(sound, (1, 0))[:, :-1]


def deemphasised(
    sound: Float[Tensor, "batch samples"], factor: float, before: Float[Tensor, "batch 1"] | None = None
) -> Float[Tensor, "batch samples"]:
    """The inverse of `emphasised`: y_t = x_t + factor · y_(t-1), up to a remainder of 1e-8.

    before: y at the sample before the first, where the sound goes on; silence without it.
    """
    if factor == 0.0 or sound.shape[1] == 0:
        return sound
    if before is not None:
        sound = torch.cat([sound[:, :1] + factor * before, sound[:, 1:]], dim=1)
    # sum_k (a z)^k = (1 + a z)(1 + a^2 z^2)(1 + a^4 z^4) ...: each factor is one addition over the whole.
    power, shift = factor, 1
    while shift < sound.shape[1] and power > _SMALLEST:
        sound = sound + power * F.pad(sound, (shift, 0))[:, :-shift]
        power, shift = power * power, 2 * shift
    return sound
