"""A sequence that is made from left to right, no further than it is asked for: what exact streaming consists of.

A convolution reads neighbours. Cut into chunks, its output is the very same if each chunk brings as many neighbours on
both sides as the convolution reads, and what was made of too few is dropped. At the true ends nothing is added: there
the convolution's own padding is right.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

UNKNOWN_FRAMES = 2**31
"""Taken for the number of frames of a sequence whose end nobody knows yet: a year."""

Make = Callable[[int, int], Tensor]
"""Makes frames [start, stop) of a sequence along the last axis; those next to either border may be wrong."""


class Extent:
    """How many frames a sequence has. Whoever does not know yet makes nothing whose context might reach the end, and
    sets `frames` when the end has come."""

    def __init__(self, frames: int | None = None) -> None:
        self.frames = UNKNOWN_FRAMES if frames is None else frames


def with_context(make: Make, context: int, start: int, stop: int, total: int | Extent) -> Tensor:
    """Frames [start, stop) of a sequence of `total` frames, as if `make` had made all of it at once.

    context: frames on each side of a frame that `make` reads. `make` may give several samples a frame.
    """
    first, last = max(start - context, 0), min(stop + context, _frames(total))
    made = make(first, last)
    samples = made.shape[-1] // (last - first)
    return made[..., (start - first) * samples : (stop - first) * samples]


class Progressive:
    """The frames [0, total) that `make` makes, in order and once each; calling it gives any stretch of them.

    context: frames on each side of a frame that `make` reads. samples: that it makes of a frame.
    history: frames behind the newest that are kept, so that memory does not grow with the length; None keeps all, and
    `total` has to be known. Raises ValueError for frames that are kept no longer.
    """

    def __init__(
        self, make: Make, context: int, total: int | Extent, samples: int = 1, history: int | None = None
    ) -> None:
        self._make, self._context, self._total, self._samples = make, context, total, samples
        self._history = history
        self._made: Tensor | None = None
        self._first = self._done = 0

    def __call__(self, start: int, stop: int) -> Tensor:
        if start < self._first:
            raise ValueError(f"frames from {start} on: only those from {self._first} on are kept")
        if stop > self._done:
            # Where the end comes into view, nothing there is wrong: it is kept.
            total = _frames(self._total)
            until = total if stop + self._context >= total else stop
            self._keep(with_context(self._make, self._context, self._done, until, self._total))
            self._done = until
        assert self._made is not None
        return self._made[..., (start - self._first) * self._samples : (stop - self._first) * self._samples]

    def _keep(self, new: Tensor) -> None:
        """Puts the frames that follow behind those in memory, and drops what is older than the history."""
        if self._history is None:
            if self._made is None:
                self._made = new.new_empty(*new.shape[:-1], _frames(self._total) * self._samples)
            self._made[..., self._done * self._samples :][..., : new.shape[-1]] = new
            return
        old = self._made
        if old is not None:
            kept = min(old.shape[-1], self._history * self._samples)
            new = torch.cat([old[..., old.shape[-1] - kept :], new], dim=-1)
            self._first = self._done - kept // self._samples
        self._made = new


def _frames(total: int | Extent) -> int:
    return total if isinstance(total, int) else total.frames


def chunks(total: int, sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Start and stop of each chunk of `total` frames; the last of `sizes` holds for all that follow.

    A rest of less than half a chunk is joined to the chunk before it.
    Raises ValueError unless there is a size and all are positive.
    """
    if not sizes or min(sizes) < 1:
        raise ValueError(f"chunk sizes {tuple(sizes)}: expected at least one, and all positive")
    start = index = 0
    while start < total:
        size = sizes[min(index, len(sizes) - 1)]
        stop = start + size if start + size + size // 2 < total else total
        yield start, stop
        start, index = stop, index + 1
