"""A process's share of a batch: its items, its part of what is drawn at random, and its weight in a mean.

Several processes that each take some items of a batch must come to the gradients of one that takes all. Three things
see to it. Every process draws the noise of the whole batch from equal generators and keeps its own items' rows, so no
item's noise depends on who takes it. Means over frames or tokens are weighed by how many of these each process has
(`Update.counts`). And items are padded as the whole batch is, so that no shape differs.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from moksori.errors import ConfigError
from moksori.models.contract import Update
from moksori.types import SpeechBatch


@dataclass(frozen=True)
class Share:
    """Every `world`-th item of a batch from `rank` on: clips are in order of length, so each process gets as much.

    names: of all clips of the batch.
    """

    batch: SpeechBatch
    names: tuple[str, ...]
    rank: int = 0
    world: int = 1

    @classmethod
    def of(cls, batch: SpeechBatch, rank: int, world: int) -> "Share":
        """Raises ConfigError where the batch has fewer clips than there are processes."""
        if world == 1:
            return cls(batch, batch.names)
        if len(batch.names) < world:
            raise ConfigError(
                f"a batch of {len(batch.names)} clips cannot be shared by {world} processes: "
                "take fewer processes or a larger training.batch_size"
            )
        return cls(batch.rows(rank, world), batch.names, rank, world)

    def to(self, device: torch.device | str) -> "Share":
        """The same share on another device."""
        return replace(self, batch=self.batch.to(device))

    def draws(self) -> AbstractContextManager[Any]:
        """Inside, what is drawn for this share is its part of what is drawn for the whole batch."""
        return nullcontext() if self.world == 1 else WholeBatchDraws(self.rank, self.world, len(self.names))

    def weighed(self, update: Update, add_up: Callable[[Tensor], Tensor]) -> Update:
        """The update with each term scaled so that the sum over the processes is the term of the whole batch.

        add_up: the sum of a tensor over all processes.
        """
        if self.world == 1:
            return update
        items = torch.tensor(len(self.batch.names), device=self.batch.waveform.device)
        counts = torch.stack([update.counts.get(name, items).detach().double() for name in update.terms])
        total = add_up(counts.clone())
        parts = torch.where(total > 0, counts / total, 0.0)
        terms = zip(update.terms.items(), parts, strict=True)
        return replace(update, terms={name: term * part.to(term.dtype) for (name, term), part in terms})


_SIZED = (torch.rand, torch.randn)
_LIKE = {torch.rand_like: Tensor.uniform_, torch.randn_like: Tensor.normal_}
_OTHER = frozenset({
    torch.bernoulli, torch.multinomial, torch.normal, torch.poisson, torch.randint_like, F.alpha_dropout,
    F.dropout1d, F.dropout2d, F.dropout3d, F.feature_alpha_dropout, Tensor.bernoulli, Tensor.multinomial,
    Tensor.bernoulli_, Tensor.cauchy_, Tensor.exponential_, Tensor.geometric_, Tensor.log_normal_, Tensor.normal_,
    Tensor.random_, Tensor.uniform_,
})  # fmt: skip
_DRAWING = _OTHER.union(_SIZED, _LIKE, (torch.randint, F.dropout))


class WholeBatchDraws(TorchFunctionMode):
    """Draws for all `items` of a batch, and returns the rows of every `world`-th from `rank` on.

    It holds for torch.rand, randn, randint, rand_like, randn_like and dropout whose first axis has as many rows as this
    share has items; what has another first axis is drawn as it stands, the same in each process. Other ways to draw
    are refused with a TypeError, since different items would be given the same.
    """

    def __init__(self, rank: int, world: int, items: int) -> None:
        super().__init__()
        self.rank, self.world, self.items = rank, world, items
        self.own = len(range(rank, items, world))

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        options = dict(kwargs or {})
        if func not in _DRAWING:
            return func(*args, **options)
        if func in _SIZED:
            return self._sized(func, (), args, options)
        if func is torch.randint:
            return self._randint(args, options)
        if func in _LIKE and not options:
            return self._like(func, *args)
        if func is F.dropout:
            return self._dropout(*args, **options)
        raise TypeError(
            f"{func.__name__} {sorted(options)} in an objective: processes that share a batch share what torch.rand, "
            "randn, randint and dropout draw, and rand_like and randn_like without options, and nothing else"
        )

    def _rows(self, whole: Tensor) -> Tensor:
        return whole[self.rank :: self.world].contiguous()

    def _sized(self, func: Any, bounds: tuple[int, ...], args: tuple[Any, ...], options: dict[str, Any]) -> Tensor:
        if "size" in options:
            args = (options.pop("size"),)
        size = tuple(args) if not args or isinstance(args[0], int) else tuple(args[0])
        if not size or size[0] != self.own:
            drawn: Tensor = func(*bounds, size, **options)
            return drawn
        return self._rows(func(*bounds, (self.items, *size[1:]), **options))

    def _randint(self, args: tuple[Any, ...], options: dict[str, Any]) -> Tensor:
        low = options.pop("low", 0)
        if "high" in options:
            return self._sized(torch.randint, (*args[:1], low, options.pop("high"))[-2:], args[1:], options)
        if len(args) > 1 and isinstance(args[1], int):
            return self._sized(torch.randint, args[:2], args[2:], options)
        return self._sized(torch.randint, (low, args[0]), args[1:], options)

    def _whole(self, like: Tensor) -> Tensor:
        """Empty, for all items, and in memory as noise for `like` would be: noise is drawn in the order of memory."""
        strides = list(torch.empty_like(like, device="meta").stride())
        if self.own == 1:  # the stride of an axis with one row means nothing; batches come first
            strides[0] = 1 + max(strides)
        order = sorted(range(like.dim()), key=lambda axis: -strides[axis])
        return torch.empty_permuted((self.items, *like.shape[1:]), order, dtype=like.dtype, device=like.device)

    def _like(self, func: Any, like: Tensor) -> Tensor:
        if like.dim() == 0 or like.shape[0] != self.own:
            return _LIKE[func](torch.empty_like(like))
        return self._rows(_LIKE[func](self._whole(like)))

    def _dropout(self, x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        if not training or not 0.0 < p < 1.0 or x.dim() == 0 or x.shape[0] != self.own:
            return F.dropout(x, p, training, inplace)
        kept = self._rows(self._whole(x.detach()).bernoulli_(1.0 - p).div_(1.0 - p))
        return x.mul_(kept) if inplace else x * kept
