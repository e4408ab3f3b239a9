"""What the postfilter learns from: latents that were said, beside those that were recorded."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Generator, Tensor, nn


@dataclass(frozen=True)
class Pair:
    """Standardised latents that the diffusion ended at, `said`, and those of the recordings, `heard`.

    condition, voice: as the postfilter sees them. mask: of real frames; learnt: of those that may be compared.
    """

    said: Float[Tensor, "batch latent frames"]
    heard: Float[Tensor, "batch latent frames"]
    condition: Float[Tensor, "batch hidden frames"]
    voice: Float[Tensor, "batch hidden 1"]
    mask: Bool[Tensor, "batch 1 frames"]
    learnt: Bool[Tensor, "batch 1 frames"]

    @property
    def told(self) -> Float[Tensor, "batch told frames"]:
        """What a discriminator may be told of each frame: what is said there, and the voice."""
        return torch.cat([self.condition, self.voice.expand_as(self.condition)], dim=1)


class PairPool(nn.Module):
    """The pairs that were taken in last, in half precision; buffers, so that a resumed run finds them again.

    Of several processes each has its own, which starts from the first one's where a run is resumed. items: that there
    is room for. latent, hidden: channels.
    """

    said: Tensor
    heard: Tensor
    condition: Tensor
    voice: Tensor
    mask: Tensor
    learnt: Tensor
    taken: Tensor

    def __init__(self, items: int, latent: int, hidden: int, frames: int) -> None:
        super().__init__()
        for name, channels in (("said", latent), ("heard", latent), ("condition", hidden)):
            self.register_buffer(name, torch.zeros(items, channels, frames, dtype=torch.float16))
        self.register_buffer("voice", torch.zeros(items, hidden, 1, dtype=torch.float16))
        for name in ("mask", "learnt"):
            self.register_buffer(name, torch.zeros(items, 1, frames, dtype=torch.bool))
        self.register_buffer("taken", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def take(self, pair: Pair) -> None:
        """In place of the oldest ones; of a pair that is shorter than the room the rest is padding."""
        room, missing = len(self.said), self.said.shape[2] - pair.said.shape[2]
        rows = (self.taken + torch.arange(len(pair.said), device=self.taken.device)) % room
        for name in ("said", "heard", "condition", "mask", "learnt"):
            kept: Tensor = getattr(self, name)
            kept[rows] = F.pad(getattr(pair, name), (0, missing)).to(kept.dtype)
        self.voice[rows] = pair.voice.to(self.voice.dtype)
        self.taken += len(rows)

    def some(self, count: int, generator: Generator | None = None) -> Pair:
        """So many of them, drawn by chance."""
        filled = self.taken.clamp(max=len(self.said))
        rows = (torch.rand(count, generator=generator, device=self.said.device) * filled).long()
        said, heard, condition, voice = (
            value[rows].float() for value in (self.said, self.heard, self.condition, self.voice)
        )
        return Pair(said, heard, condition, voice, self.mask[rows], self.learnt[rows])
