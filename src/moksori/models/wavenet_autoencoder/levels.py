"""How loud what a decoder draws may be: as faint as noise should be beside a voice, and in pauses as the source is.

A small D whose harmonic part is made for it draws the rest as noise, too loud where the source breathes or is silent:
codes tell the level of a pause badly. The source is at hand, and its level where nothing is voiced is what was sung.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from moksori.models.wavenet_autoencoder.config import PitchConfig

SIDE_FRAMES = 2
"""The loudest of so many frames on each side counts: what is drawn need not start with the source to the sample."""
_SMOOTHED = 4
"""Frames over which what is drawn is measured, up to the one at hand."""
_FAINTEST = 1e-6


def source_levels(
    samples: Float[np.ndarray, " samples"], start: int, frames: int, hop_length: int, pre_emphasis: float
) -> Float[np.ndarray, " frames"]:
    """Root mean square of `frames` frames from sample `start` on, pre-emphasised: of the loudest one near each.

    Nothing lies before the first sample or after the last.
    """
    first, count = start - SIDE_FRAMES * hop_length, frames + 2 * SIDE_FRAMES
    begin, end = first - 1, first + count * hop_length
    around = np.pad(samples[max(begin, 0) : end], (max(-begin, 0), max(end - len(samples), 0)))
    heard = around[1:] - np.float32(pre_emphasis) * around[:-1]
    levels = np.sqrt(np.square(heard.reshape(count, hop_length)).mean(axis=1))
    loudest: Float[np.ndarray, " frames"] = np.lib.stride_tricks.sliding_window_view(levels, 2 * SIDE_FRAMES + 1).max(1)
    return loudest


class Rest:
    """By how much what is drawn counts, frame after frame, on a line between them; it goes on where it stopped."""

    def __init__(self, config: PitchConfig) -> None:
        self._config = config
        self._share: Tensor | None = None
        self._power: Tensor | None = None

    def __call__(
        self,
        drawn: Float[Tensor, "streams samples"],
        f0: Float[Tensor, "streams frames"],
        source: Float[Tensor, "streams frames"] | None = None,
    ) -> Float[Tensor, "streams samples"]:
        """The factor of each sample. source: its levels (`source_levels`), None where there is no source."""
        config = self._config
        unvoiced = torch.ones_like(f0)
        if source is not None and config.over_source is not None:
            ceiling = config.over_source * source.to(f0)
            unvoiced = (ceiling / self._drawn_levels(drawn).clamp(min=_FAINTEST)).clamp(max=1.0)
        share = torch.where(f0 > 0, config.rest, unvoiced).float()
        before = share[:, :1] if self._share is None else self._share
        self._share = share[:, -1:]
        earlier = torch.cat([before, share[:, :-1]], dim=1).unsqueeze(2)
        along = torch.arange(1, config.hop_length + 1, device=share.device) / config.hop_length
        return torch.lerp(earlier, share.unsqueeze(2), along).flatten(1)

    def _drawn_levels(self, drawn: Float[Tensor, "streams samples"]) -> Float[Tensor, "streams frames"]:
        power = drawn.unflatten(1, (-1, self._config.hop_length)).square().mean(dim=2)
        if self._power is None:
            self._power = power[:, :1].expand(-1, _SMOOTHED - 1)
        power = torch.cat([self._power, power], dim=1)
        self._power = power[:, 1 - _SMOOTHED :]
        return power.unfold(1, _SMOOTHED, 1).mean(dim=2).sqrt()
