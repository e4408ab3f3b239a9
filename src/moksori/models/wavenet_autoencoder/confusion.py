"""What keeps the codes free of who sings, and of the melody: networks that try to read both off them, and are resisted.

UMTN's domain-confusion network C: three 1x1 convolutions of 100 channels with ELU, one to a logit for each singer, the
mean over time (Mor et al. 2019). PitchNet's regressor has the same shape and reads pitch (Deng et al. 2020).
"""

from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn

from moksori.nn.gradient_reversal import reversed_gradient
from moksori.nn.ring import Ring

Resistance = Literal["negative", "reversal", "uniform"]
"""How the encoder resists C: by its negative cross-entropy, which the paper has and which knows no bound; by the same
through gradient reversal, with a strength that rises from 0; by the cross-entropy to equal odds for all singers, which
has a least value."""


class CodeReader(nn.Module):
    """1x1 convolutions over codes, each frame by itself."""

    def __init__(self, code_channels: int, channels: int, num_layers: int, out_channels: int) -> None:
        super().__init__()
        sizes = [code_channels, *[channels] * num_layers]
        self.layers = nn.ModuleList(nn.Conv1d(a, b, 1) for a, b in pairwise(sizes))
        self.last = nn.Conv1d(sizes[-1], out_channels, 1)

    def forward(self, codes: Float[Tensor, "batch code frames"]) -> Float[Tensor, "batch out frames"]:
        hidden = codes
        for layer in self.layers:
            hidden = F.elu(layer(hidden))
        return self.last(hidden)


class ConfusionNetwork(CodeReader):
    """C: codes to a logit for each singer.

    standardize: brings each channel to mean 0 and deviation 1 first. Otherwise an encoder that makes its codes small
    is a step ahead of C, while who sings can still be read off them by anybody who multiplies.
    """

    def __init__(
        self, code_channels: int, channels: int, num_layers: int, singers: int, standardize: bool = False
    ) -> None:
        super().__init__(code_channels, channels, num_layers, singers)
        self.standard = nn.BatchNorm1d(code_channels, affine=False) if standardize else None

    def forward(self, codes: Float[Tensor, "batch code frames"]) -> Float[Tensor, "batch singers"]:
        heard = codes if self.standard is None else self.standard(codes.float())
        return super().forward(heard).float().mean(dim=2)


class CodeMemory(Ring):
    """Codes of the last steps with their singers, in buffers, so that a resumed run goes on with them."""

    codes: Tensor
    singer: Tensor

    def __init__(self, size: int, code_channels: int, frames: int) -> None:
        """size: crops that are kept. frames: codes of a crop."""
        super().__init__(size)
        self.register_buffer("codes", torch.zeros(size, code_channels, frames))
        self.register_buffer("singer", torch.zeros(size, dtype=torch.int64))

    @torch.no_grad()
    def keep(self, codes: Float[Tensor, "batch code frames"], singer: Int[Tensor, " batch"]) -> None:
        """Keeps crops in place of the oldest."""
        codes, singer = codes[-self.size :], singer[-self.size :]
        slots = self.take(len(codes))
        self.codes[slots], self.singer[slots] = codes.to(self.codes), singer

    def draw(
        self, count: int, generator: Generator | None = None
    ) -> tuple[Float[Tensor, "count code frames"], Int[Tensor, " count"]]:
        """So many crops, each singer who is there as likely as any other. Raises ValueError where it is empty."""
        held = int(self.count)
        if not held:
            raise ValueError("nothing is kept yet")
        singer = self.singer[:held]
        share = 1.0 / torch.bincount(singer).float()[singer]
        chosen = torch.multinomial(share, count, replacement=True, generator=generator)
        return self.codes[chosen], singer[chosen]


def resisted(
    network: nn.Module,
    codes: Float[Tensor, "batch code frames"],
    singer: Int[Tensor, " batch"],
    resistance: Resistance,
    strength: float = 1.0,
) -> Float[Tensor, ""]:
    """The term that the encoder minimises beside reconstruction; see Resistance.

    `negative`: minus C's cross-entropy. `reversal`: the cross-entropy itself, whose gradient reaches the codes with the
    opposite sign, `strength` times as large. `uniform`: cross-entropy to equal odds, ln K at the least, whose gradient
    is `strength` times as large.
    """
    if resistance == "reversal":
        return F.cross_entropy(network(reversed_gradient(codes, strength)), singer)
    logits = network(codes)
    if resistance == "negative":
        return -F.cross_entropy(logits, singer)
    odds = -F.log_softmax(logits, dim=1).mean()
    return odds * strength + odds.detach() * (1.0 - strength)


class PitchRegressor(CodeReader):
    """What PitchNet's encoder resists: the pitch that can be read off a code."""

    def __init__(self, code_channels: int, channels: int, num_layers: int) -> None:
        super().__init__(code_channels, channels, num_layers, 1)

    def error(
        self,
        codes: Float[Tensor, "batch code frames"],
        pitch: Float[Tensor, "batch frames"],
        voiced: Float[Tensor, "batch frames"],
    ) -> Float[Tensor, ""]:
        """e² / (1 + e²) of the error in standardised pitch, over voiced frames: what it learns from, and what reaches
        the codes with the opposite sign. It stays below 1, so codes gain nothing by growing without end."""
        found = super().forward(reversed_gradient(codes))[:, 0].float()
        squared = (found - pitch).square()
        each = (squared / (1.0 + squared) * voiced).sum(dim=1) / voiced.sum(dim=1).clamp(min=1.0)
        return each.mean()
