"""What all conversions with a memory have in common: sound goes in as it comes, and leaves when it is ready."""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from moksori.types import LongRecording, SoundBatch


class Pushed(Protocol):
    """Takes blocks of samples, then is finished, once; gives what is ready, its last axis time, perhaps of no steps."""

    def push(self, block: Float[np.ndarray, " block"]) -> Tensor: ...

    def finish(self) -> Tensor: ...


def through(conversion: Pushed, blocks: Iterable[Float[np.ndarray, " block"]]) -> Iterator[Tensor]:
    """What a conversion makes of sound, as it is ready; the last piece may be empty, the others are not."""
    for block in blocks:
        made = conversion.push(block)
        if made.shape[-1]:
            yield made
    yield conversion.finish()


def one_by_one(
    sounds: SoundBatch, converted: Callable[[Float[np.ndarray, " samples"]], Iterable[Float[Tensor, "1 _"]]]
) -> SoundBatch:
    """Each item of a batch by itself, sample for sample as long. converted: the pieces of an item's samples."""
    made = torch.zeros_like(sounds.waveform)
    for row, length in enumerate(sounds.waveform_lengths.tolist()):
        own = sounds.waveform[row, :length].cpu().numpy()
        made[row, :length] = torch.cat(list(converted(own)), dim=1)[0].to(made)
    return SoundBatch(made, sounds.waveform_lengths)


def pieces(recording: LongRecording, size: int, least: int) -> Iterator[Float[np.ndarray, " samples"]]:
    """A recording in pieces of `size` samples, so that memory does not grow with it; the last is shorter, and left out
    where it has fewer than `least`."""
    rest = np.zeros(0, np.float32)
    for block in recording.blocks():
        rest = np.concatenate([rest, block])
        while len(rest) >= size:
            yield rest[:size]
            rest = rest[size:]
    if len(rest) >= least:
        yield rest
