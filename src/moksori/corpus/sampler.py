"""Which utterances make the batch of a step."""

from collections import Counter
from collections.abc import Hashable, Sequence
from functools import lru_cache
from typing import Protocol

import numpy as np

from moksori.errors import CorpusError


class Sampler(Protocol):
    """A pure function of the step, so that a resumed run sees the batches that the unbroken run would have seen."""

    @property
    def batches_per_epoch(self) -> int: ...

    def indices(self, step: int) -> list[int]:
        """The items of the batch of a step, counted from 0."""
        ...


class BalancedSampler:
    """Batches in which seldom groups (speakers) are heard more often than their share of the items.

    groups: of each item. balance: an item's chance falls with the size of its group to this power: 0 = all items
    alike, 1 = all groups alike. A batch holds no item twice. seed: `indices(step)` is a function of (seed, step).
    """

    def __init__(self, groups: Sequence[Hashable], batch_size: int, seed: int, balance: float) -> None:
        if len(groups) == 0:
            raise CorpusError("nothing to sample from: the split holds no examples")
        if batch_size < 1:
            raise CorpusError(f"batch size {batch_size}: expected 1 or more")
        sizes = Counter(groups)
        chances = np.array([sizes[group] ** -balance for group in groups])
        self.chances, self.seed = chances / chances.sum(), seed
        self.batch_size = min(batch_size, len(groups))

    @property
    def batches_per_epoch(self) -> int:
        """Steps in which as many items are drawn as there are."""
        return -(-len(self.chances) // self.batch_size)

    def indices(self, step: int) -> list[int]:
        """The items of the batch of a step, counted from 0."""
        draw = np.random.default_rng([self.seed & 0xFFFFFFFF, 5, step])
        return draw.choice(len(self.chances), self.batch_size, replace=False, p=self.chances).tolist()


class BucketSampler:
    """Batches of similar length; every utterance once an epoch, none left out.

    lengths: of the items, in any unit. batch_size: the most items of a batch; an epoch's batches differ by one at most.
    seed: epochs are shuffled by (seed, epoch), so `indices(step)` is a pure function of (seed, step): a resumed run
    sees the batches that the unbroken run would have seen.
    jitter: standard deviation of the noise on log length by which neighbours change between epochs.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int, jitter: float = 0.1) -> None:
        if len(lengths) == 0:
            raise CorpusError("nothing to sample from: the split holds no examples")
        if batch_size < 1:
            raise CorpusError(f"batch size {batch_size}: expected 1 or more")
        if min(lengths) < 1:
            raise CorpusError(f"item {int(np.argmin(lengths))} has length {min(lengths)}: expected 1 or more")
        self.lengths = np.asarray(lengths, dtype=np.float64)
        self.batch_size, self.seed, self.jitter = batch_size, seed, jitter
        # Two epochs, since a look-ahead reader stands in the next one while the loop ends this one.
        self._epoch = lru_cache(maxsize=2)(self._shuffled)

    @property
    def batches_per_epoch(self) -> int:
        """Steps in which every item is seen once."""
        return -(-len(self.lengths) // self.batch_size)

    def indices(self, step: int) -> list[int]:
        """The items of the batch of a step, counted from 0."""
        epoch, place = divmod(step, self.batches_per_epoch)
        return self._epoch(epoch)[place].tolist()

    def _shuffled(self, epoch: int) -> list[np.ndarray]:
        draw = np.random.default_rng([self.seed & 0xFFFFFFFF, epoch])
        order = np.argsort(np.log(self.lengths) + self.jitter * draw.standard_normal(len(self.lengths)), kind="stable")
        batches = np.array_split(order, self.batches_per_epoch)
        return [batches[place] for place in draw.permutation(len(batches))]
