"""Residual vector quantisation: a state as the sum of a vector from each of several codebooks (Zeghidour et al. 2021).

    r_1 = h      id_j = argmin_k |r_j - C_j[k]|²      r_{j+1} = r_j - C_j[id_j]      z = sum_j C_j[id_j]

Letters: h = states, C_j = codebook of stage j, r_j = what the stages before j have left, z = latents. Every stage is a
`VectorQuantizer`, whose moving average, start and restarts keep its codes in use. The first stages alone give a coarser
z: quantiser dropout teaches a network to do with them.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor, nn

from moksori.nn.precision import full_precision
from moksori.nn.vector_quantize import IN_USE_SHARE, VectorQuantizer, nearest


@dataclass(frozen=True)
class ResidualQuantized:
    """What residual codebooks make of states.

    latent: the sums, through which gradients pass to the states; 0 where the mask is False. codes: 0 there, and in
    stages that dropout left out. commitment: mean squared distance of each stage's residual to its code, averaged over
    the stages that each item uses and then over the real frames, unweighted. perplexity, used: of each stage, see
    Quantizer.usage.
    """

    latent: Float[Tensor, "batch channels frames"]
    codes: Int[Tensor, "batch stages frames"]
    commitment: Float[Tensor, ""]
    perplexity: Float[Tensor, " stages"]
    used: Float[Tensor, " stages"]


class ResidualQuantizer(nn.Module):
    """`stages` codebooks of `size` vectors, each for what those before it leave.

    dropout: in training, the share of the items of which only the first q stages are used, q drawn from 1 to `stages`
    (SoundStream drops in all items; Kumar et al. 2023 found that this costs quality at the full rate). decay,
    restart_below, restart_after: of each stage, see VectorQuantizer. Statistics and distances are float32 always.
    started: whether `start` has laid the codebooks among data.
    """

    started: Tensor

    def __init__(
        self,
        channels: int,
        size: int,
        stages: int,
        dropout: float = 0.5,
        decay: float = 0.99,
        restart_below: float = IN_USE_SHARE,
        restart_after: int = 100,
    ) -> None:
        super().__init__()
        if stages < 1:
            raise ValueError(f"{stages} stages: expected at least one")
        self.channels, self.size, self.dropout = channels, size, dropout
        self.register_buffer("started", torch.zeros((), dtype=torch.bool))
        self.stages = nn.ModuleList(
            VectorQuantizer(channels, size, decay, restart_below=restart_below, restart_after=restart_after)
            for _ in range(stages)
        )

    def __len__(self) -> int:
        return len(self.stages)

    @property
    def codebooks(self) -> Float[Tensor, "stages size channels"]:
        """All codebooks, first stage first."""
        return torch.stack([stage.vectors for stage in self._quantizers()])

    def forward(
        self,
        states: Float[Tensor, "batch channels frames"],
        mask: Bool[Tensor, "batch 1 frames"] | None = None,
        kept: Int[Tensor, " batch"] | None = None,
        generator: Generator | None = None,
    ) -> ResidualQuantized:
        """mask: True where real; the rest is neither counted nor learnt from.

        kept: how many stages of each item are used; None: as `dropout` draws in training, all otherwise. generator:
        draws that, and which states the codes that restart move to.
        """
        if kept is None and self.training and self.dropout > 0.0:
            kept = self.drawn_stages(len(states), states.device, generator)
        with full_precision(states.device.type):
            wanted = states.float().transpose(1, 2)
            left, total = wanted, torch.zeros_like(wanted)
            squares = wanted.new_zeros(wanted.shape[:2])
            codes, used = [], []
            for index, stage in enumerate(self._quantizers()):
                counted = self._counted(states, mask, kept, index)
                part = stage(left, counted, generator=generator)
                chosen = part.states.detach()
                left, total = left - chosen, total + chosen
                distance = left.square().mean(dim=2)
                squares = squares + (distance if counted is None else distance * counted[:, 0])
                codes.append(part.codes)
                used.append(torch.stack([part.perplexity, part.used]))
            real = wanted if mask is None else wanted * mask.transpose(1, 2)
            # Straight through: the gradient of what leaves goes to what came, as if nothing had been between them.
            latent = real + (total - real).detach()
            # Item by item: so means over shares of a batch add up to that of the whole, whatever was drawn for whom.
            each = squares / (len(self) if kept is None else kept[:, None])
            commitment = each.mean() if mask is None else each.sum() / mask.sum().clamp(min=1)
        perplexity, in_use = torch.stack(used).unbind(1)
        return ResidualQuantized(latent.transpose(1, 2), torch.stack(codes, dim=1), commitment, perplexity, in_use)

    @torch.no_grad()
    def codes(
        self, states: Float[Tensor, "batch channels frames"], stages: int | None = None
    ) -> Int[Tensor, "batch stages frames"]:
        """Codes of the first `stages` codebooks, None: of all; nothing is counted or learnt.

        Raises ValueError for a number of stages that there is not.
        """
        count = len(self) if stages is None else stages
        if not 1 <= count <= len(self):
            raise ValueError(f"{count} stages: this quantiser has 1 to {len(self)}")
        with full_precision(states.device.type):
            left, found = states.float().transpose(1, 2), []
            for stage in self._quantizers()[:count]:
                found.append(nearest(left, stage.vectors))
                left = left - stage.lookup(found[-1])
        return torch.stack(found, dim=1)

    def lookup(self, codes: Int[Tensor, "batch stages frames"]) -> Float[Tensor, "batch channels frames"]:
        """The sum of the vectors that codes stand for, of as many stages as there are codes of.

        Raises ValueError for more stages than there are.
        """
        count = codes.shape[1]
        if not 1 <= count <= len(self):
            raise ValueError(f"codes of {count} stages: this quantiser has 1 to {len(self)}")
        parts = [stage.lookup(codes[:, index]) for index, stage in enumerate(self._quantizers()[:count])]
        return torch.stack(parts).sum(dim=0).transpose(1, 2)

    @torch.no_grad()
    def start(
        self, states: Float[Tensor, "points channels"], generator: Generator | None = None, shared: bool = False
    ) -> None:
        """Lays every codebook by k-means among what the stages before it leave of states of the data.

        generator, shared: see VectorQuantizer.start.
        """
        left = states.float()
        for stage in self._quantizers():
            stage.start(left, generator, shared)
            left = left - stage.lookup(nearest(left[None], stage.vectors))[0]
        self.started.fill_(True)

    def _quantizers(self) -> list[VectorQuantizer]:
        return [stage for stage in self.stages if isinstance(stage, VectorQuantizer)]

    def drawn_stages(
        self, items: int, device: torch.device, generator: Generator | None = None
    ) -> Int[Tensor, " items"]:
        """How many stages of each item are used, as `dropout` draws it."""
        drawn = torch.rand(items, 2, generator=generator, device=device)
        some = (drawn[:, 1] * len(self)).long() + 1
        return torch.where(drawn[:, 0] < self.dropout, some, torch.full_like(some, len(self)))

    @staticmethod
    def _counted(
        states: Tensor, mask: Bool[Tensor, "batch 1 frames"] | None, kept: Int[Tensor, " batch"] | None, index: int
    ) -> Bool[Tensor, "batch 1 frames"] | None:
        """The frames that a stage sees; None: all."""
        if kept is None or index == 0:
            return mask
        items = (kept > index)[:, None, None].expand(-1, 1, states.shape[2])
        return items if mask is None else items & mask
