"""Vector quantisation: each state as one of a few, with gradients that pass (van den Oord et al. 2017).

    k* = argmin_k |z - e_k|²      q = z + stopgrad(e_k* - z)
    L = |stopgrad(z) - e|² + beta |z - stopgrad(e)|²

Letters: z = states, e = codebook, K = size, D = channels, beta = weight of the commitment, N = running counts. What
keeps a codebook in use: an exponential moving average in place of the loss's first term, a start among the data, the
restart of codes that nobody takes, a look-up in few dimensions or on a sphere (Yu et al. 2022); or no codebook at all,
but numbers that are rounded (Mentzer et al. 2024).
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed as distributed
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor, nn

from moksori.nn.kmeans import kmeans
from moksori.nn.precision import full_precision

USAGE_DECAY = 0.99
"""Of the counts where no codebook follows them: some hundred steps."""
IN_USE_SHARE = 0.01
"""Of what each code would get if all were taken alike; with less a code is not counted as used."""


@dataclass(frozen=True)
class Quantized:
    """What a quantiser makes of states.

    states: the codes' own, through which gradients pass to those that came in; 0 where the mask is False. codes: 0
    there. loss: what to minimise, in mean squares a number; commitment: of it the part that draws states to their
    codes, unweighted. perplexity, used: see Quantizer.usage, before this batch was counted.
    """

    states: Float[Tensor, "batch frames channels"]
    codes: Int[Tensor, "batch frames"]
    loss: Float[Tensor, ""]
    commitment: Float[Tensor, ""]
    perplexity: Float[Tensor, ""]
    used: Float[Tensor, ""]


class Quantizer(nn.Module, ABC):
    """States `[batch, frames, channels]` to codes from 0 to `size` - 1, and codes to states.

    Counts how often codes are taken, in training mode alone. Where processes share a batch all of them must quantise:
    counts are added up over them, so that each has the same statistics, and so the same codebook, as one with it all.
    """

    counts: Tensor

    def __init__(self, size: int, decay: float) -> None:
        super().__init__()
        self.size, self.decay = size, decay
        self.register_buffer("counts", torch.ones(size))

    @abstractmethod
    def forward(
        self,
        states: Float[Tensor, "batch frames channels"],
        mask: Bool[Tensor, "batch 1 frames"] | None = None,
        passes: bool = False,
        generator: Generator | None = None,
    ) -> Quantized:
        """passes: states leave as they came, while codes are taken, counted and learnt: for the first steps of a run.

        mask: True where real; the rest is neither counted nor learnt from.
        """

    @abstractmethod
    def lookup(self, codes: Int[Tensor, "batch frames"]) -> Float[Tensor, "batch frames channels"]:
        """The states of codes, as `forward` gives them in evaluation mode."""

    @torch.no_grad()
    def start(
        self, states: Float[Tensor, "points channels"], generator: Generator | None = None, shared: bool = False
    ) -> None:
        """Lays the codebook among states of the data; what has none stays as it is.

        shared: all processes that share the batch do it now, and take the first one's.
        """

    def usage(self) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Of the running counts: perplexity exp(-sum p ln p), and how many codes have a hundredth of an even share."""
        return perplexity(self.counts), (self.counts > IN_USE_SHARE * self.counts.mean()).sum().float()

    def _count(self, taken: Int[Tensor, " frames"]) -> Float[Tensor, " size"]:
        """Takes codes into the running counts; returns how often each was taken, in all processes."""
        found = _over_processes(torch.bincount(taken, minlength=self.size).to(self.counts))
        self.counts.lerp_(found, 1.0 - self.decay)
        return found


class VectorQuantizer(Quantizer):
    """A codebook of K vectors.

    decay: of the moving average that the codebook is; None: the codebook is a parameter, and a term of the loss.
    commitment: beta. look_up_channels: width of what is compared, between two linear layers; None: D itself.
    normalised: states and codes are compared, and passed on, with length 1. restart_below: codes that have less than
    this share of an even one for `restart_after` steps in a row move to a state of the batch; 0 steps: never. epsilon:
    of the Laplace smoothing of counts. Statistics and distances are float32 whatever the precision.
    """

    sums: Tensor
    idle: Tensor
    codebook: Tensor

    def __init__(
        self,
        channels: int,
        size: int,
        decay: float | None = 0.99,
        commitment: float = 0.25,
        look_up_channels: int | None = None,
        normalised: bool = False,
        restart_below: float = IN_USE_SHARE,
        restart_after: int = 100,
        epsilon: float = 1e-5,
    ) -> None:
        super().__init__(size, USAGE_DECAY if decay is None else decay)
        self.commitment, self.normalised, self.epsilon = commitment, normalised, epsilon
        self.restart_below, self.restart_after = restart_below, restart_after
        self.follows = decay is not None
        width = channels if look_up_channels is None else look_up_channels
        self.into = None if look_up_channels is None else nn.Linear(channels, width)
        self.out = None if look_up_channels is None else nn.Linear(width, channels)
        codebook = torch.empty(size, width).uniform_(-1.0 / size, 1.0 / size)
        if self.follows:
            self.register_buffer("codebook", codebook)
            self.register_buffer("sums", codebook.clone())
        else:
            self.codebook = nn.Parameter(codebook)
        self.register_buffer("idle", torch.zeros(size, dtype=torch.int64))

    @property
    def vectors(self) -> Float[Tensor, "size width"]:
        """The codebook as it is compared."""
        return F.normalize(self.codebook.float(), dim=1) if self.normalised else self.codebook.float()

    def forward(
        self,
        states: Float[Tensor, "batch frames channels"],
        mask: Bool[Tensor, "batch 1 frames"] | None = None,
        passes: bool = False,
        generator: Generator | None = None,
    ) -> Quantized:
        """See Quantizer. generator: draws which states the codes that restart move to."""
        with full_precision(states.device.type):
            seen, vectors = self._compared(states.float()), self.vectors
            codes = nearest(seen.detach(), vectors.detach())
            chosen = F.embedding(codes, vectors)
            commitment = _masked_mean((seen - chosen.detach()).square(), mask)
            loss = self.commitment * commitment
            if not self.follows:
                loss = loss + _masked_mean((chosen - seen.detach()).square(), mask)
            told = self.usage()
            if self.training:
                self._learn(seen.detach(), codes, mask, generator)
            # Straight through: the gradient of what leaves goes to what came, as if nothing had been between them.
            left = self._widened(seen if passes else seen + (chosen - seen).detach())
        if mask is not None:
            left, codes = left * mask.transpose(1, 2), codes * mask[:, 0]
        return Quantized(left, codes, loss, commitment, *told)

    def lookup(self, codes: Int[Tensor, "batch frames"]) -> Float[Tensor, "batch frames channels"]:
        return self._widened(F.embedding(codes, self.vectors))

    @torch.no_grad()
    def start(
        self, states: Float[Tensor, "points channels"], generator: Generator | None = None, shared: bool = False
    ) -> None:
        """Centres of k-means. generator: of the processor, where the clustering is done.

        Of fewer states than codes some are taken several times, a little apart.
        """
        points = self._compared(states.float()).cpu()
        if len(points) < self.size:
            rows = torch.arange(self.size) % len(points)
            spread = points.std(dim=0, correction=0).mean().clamp(min=1e-6)
            points = points[rows] + 1e-2 * spread * torch.randn(self.size, points.shape[1], generator=generator)
        self.codebook.data.copy_(kmeans(points, self.size, generator=generator))
        if shared:
            _first_says(self.codebook.data)
        self.counts.fill_(1.0)
        self.idle.zero_()
        if self.follows:
            self.sums.copy_(self.codebook)

    def _compared(self, states: Float[Tensor, "*rows channels"]) -> Float[Tensor, "*rows width"]:
        seen = states if self.into is None else self.into(states)
        return F.normalize(seen, dim=-1) if self.normalised else seen

    def _widened(self, seen: Float[Tensor, "batch frames width"]) -> Float[Tensor, "batch frames channels"]:
        found: Tensor = seen if self.out is None else self.out(seen)
        return found

    @torch.no_grad()
    def _learn(
        self,
        seen: Float[Tensor, "batch frames width"],
        codes: Int[Tensor, "batch frames"],
        mask: Bool[Tensor, "batch 1 frames"] | None,
        generator: Generator | None,
    ) -> None:
        flat, taken = (seen.flatten(0, 1), codes.flatten()) if mask is None else (seen[mask[:, 0]], codes[mask[:, 0]])
        self._count(taken)
        if self.follows:
            sums = _over_processes(torch.zeros_like(self.sums).index_add_(0, taken, flat))
            self.sums.lerp_(sums, 1.0 - self.decay)
            total = self.counts.sum()
            self.counts.add_(self.epsilon).mul_(total / (total + self.size * self.epsilon))
            mean = self.sums / self.counts[:, None]
            self.codebook.copy_(F.normalize(mean, dim=1) if self.normalised else mean)
        if self.restart_after:
            self._restart(flat, generator)

    def _restart(self, flat: Float[Tensor, "points width"], generator: Generator | None) -> None:
        even = self.counts.mean()
        self.idle.add_(1).mul_(self.counts < self.restart_below * even)
        dead = self.idle >= self.restart_after
        if not bool(dead.any()):
            return
        # One row: processes that share a batch draw it as it stands, and the first one's states are taken by all.
        drawn = torch.rand(1, self.size, generator=generator, device=flat.device)[0]
        fresh = flat[(drawn * len(flat)).long()] if len(flat) else self.vectors
        fresh = _first_says(fresh.contiguous())
        self.codebook.data[dead] = fresh[dead].to(self.codebook)
        self.counts[dead] = even
        self.idle[dead] = 0
        if self.follows:
            self.sums[dead] = even * fresh[dead]


class ScalarQuantizer(Quantizer):
    """Finite scalar quantisation: a few numbers, each bounded and rounded to one of its levels; nothing can collapse.

    levels: of each number; K is their product, 1,000 for (8, 5, 5, 5). There is no loss.
    """

    levels: Tensor
    places: Tensor

    def __init__(self, channels: int, levels: Sequence[int]) -> None:
        if not levels or min(levels) < 2:
            raise ValueError(f"levels {tuple(levels)}: expected at least one number, each with at least 2 levels")
        super().__init__(math.prod(levels), USAGE_DECAY)
        self.into, self.out = nn.Linear(channels, len(levels)), nn.Linear(len(levels), channels)
        self.register_buffer("levels", torch.tensor(levels, dtype=torch.int64), persistent=False)
        places = [math.prod(levels[:index]) for index in range(len(levels))]
        self.register_buffer("places", torch.tensor(places, dtype=torch.int64), persistent=False)

    def forward(
        self,
        states: Float[Tensor, "batch frames channels"],
        mask: Bool[Tensor, "batch 1 frames"] | None = None,
        passes: bool = False,
        generator: Generator | None = None,
    ) -> Quantized:
        """See Quantizer. passes: the numbers are bounded, not rounded. generator: nothing is drawn."""
        with full_precision(states.device.type):
            bounded = self._bounded(self.into(states.float()))
            rounded = bounded.round()
            codes = ((rounded.detach().long() + self.levels // 2) * self.places).sum(dim=-1)
            told = self.usage()
            if self.training:
                with torch.no_grad():
                    self._count(codes.flatten() if mask is None else codes[mask[:, 0]])
            left = self._left(bounded if passes else bounded + (rounded - bounded).detach())
        if mask is not None:
            left, codes = left * mask.transpose(1, 2), codes * mask[:, 0]
        none = left.new_zeros(())
        return Quantized(left, codes, none, none, *told)

    def lookup(self, codes: Int[Tensor, "batch frames"]) -> Float[Tensor, "batch frames channels"]:
        digits = codes.unsqueeze(-1) // self.places % self.levels
        return self._left((digits - self.levels // 2).float())

    def _bounded(self, numbers: Float[Tensor, "batch frames numbers"]) -> Float[Tensor, "batch frames numbers"]:
        """Numbers whose rounding has as many values as there are levels; 0 stays 0."""
        half = (self.levels - 1) * (1.0 + 1e-3) / 2.0
        offset = torch.where(self.levels % 2 == 0, 0.5, 0.0)
        return torch.tanh(numbers + torch.atanh(offset / half)) * half - offset

    def _left(self, numbers: Float[Tensor, "batch frames numbers"]) -> Float[Tensor, "batch frames channels"]:
        found: Tensor = self.out(numbers / (self.levels // 2))
        return found


def nearest(
    states: Float[Tensor, "batch frames width"], vectors: Float[Tensor, "size width"]
) -> Int[Tensor, "batch frames"]:
    """The nearest vector of each state by |z|² - 2 z·e + |e|², whose first term is the same for all vectors."""
    middle = vectors.mean(dim=0)  # what all have in common would only take digits from the difference
    states, vectors = states - middle, vectors - middle
    distance = vectors.square().sum(dim=1) - 2.0 * (states @ vectors.T)
    return distance.argmin(dim=-1)


def perplexity(counts: Float[Tensor, " size"]) -> Float[Tensor, ""]:
    """exp(-sum p ln p) of how often codes are taken: K where all are taken alike, 1 where one is."""
    share = counts.double() / counts.double().sum().clamp(min=1e-12)
    return torch.exp(-torch.special.xlogy(share, share).sum()).float()


def jittered(
    states: Float[Tensor, "batch frames channels"],
    probability: float,
    mask: Bool[Tensor, "batch 1 frames"] | None = None,
    generator: Generator | None = None,
) -> Float[Tensor, "batch frames channels"]:
    """Each frame replaced by its left or its right neighbour, with `probability` in all (Chorowski et al. 2019).

    The outermost frames stay where they would have to go beyond the ends. For training: codes that may come a frame
    early or late cannot carry what happens within a phone. mask: real frames come first.
    """
    batch, frames = states.shape[:2]
    drawn = torch.rand(batch, frames, generator=generator, device=states.device)
    move = (drawn < probability).long() - 2 * (drawn < 0.5 * probability).long()
    own = torch.arange(frames, device=states.device).expand(batch, -1)
    last = torch.full_like(own[:, :1], frames - 1) if mask is None else mask.sum(dim=2) - 1
    place = torch.where(own > last, own, torch.minimum((own + move).clamp(min=0), last))
    return states.gather(1, place.unsqueeze(2).expand(-1, -1, states.shape[2]))


def _masked_mean(
    squares: Float[Tensor, "batch frames width"], mask: Bool[Tensor, "batch 1 frames"] | None
) -> Float[Tensor, ""]:
    if mask is None:
        return squares.mean()
    weights = mask.transpose(1, 2)
    return (squares * weights).sum() / (weights.sum() * squares.shape[2]).clamp(min=1)


def _is_shared() -> bool:
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def _over_processes(value: Tensor) -> Tensor:
    """The sum over the processes that share the batch."""
    if _is_shared():
        distributed.all_reduce(value)
    return value


def _first_says(value: Tensor) -> Tensor:
    if _is_shared():
        distributed.broadcast(value, 0)
    return value
