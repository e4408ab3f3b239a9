"""The sound of mels that come block by block, in bounded memory: what a vocoder makes of the whole at once."""

import math
from collections.abc import Callable, Iterable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from moksori.audio.mel import MelConfig
from moksori.models.decoders.progressive import Make, chunks

UNKNOWN_FRAMES = 2**31
"""Taken for the number of frames of a sequence whose end nobody knows: a year."""

Sound = Callable[[int, int], Iterator[Float[Tensor, "1 samples"]]]
"""The sound of frames [start, stop), in one piece or several; called for every frame once, from left to right."""


def sound_of_blocks(
    blocks: Iterable[Float[Tensor, "1 mels frames"]],
    frames: int | None,
    mel: MelConfig,
    begin: Callable[[Make, int], Sound],
    reach: int,
    history: int,
    piece: int,
) -> Iterator[Float[Tensor, "1 samples"]]:
    """A block's sound leaves as soon as it can.

    frames: in all blocks together. None: not known; silence is taken to follow. begin: is given the way to read frames
    of the mels, and how many there are, UNKNOWN_FRAMES where nobody knows. reach: frames behind a frame that must have
    come before its sound can be made. history: frames before the newest block that may still be read. piece: frames of
    sound that are made in one go.
    Raises ValueError where there are fewer or more frames than announced.
    """
    kept = torch.zeros(1, mel.n_mels, 0)
    came = done = 0

    def read(start: int, stop: int) -> Tensor:
        first = came - kept.shape[2]
        return kept[..., start - first : stop - first]

    def arrived(block: Float[Tensor, "1 mels frames"]) -> None:
        nonlocal kept, came
        kept = torch.cat([kept.to(block), block], dim=2)[..., -(history + block.shape[2]) :]
        came += block.shape[2]

    def until(stop: int) -> Iterator[Float[Tensor, "1 samples"]]:
        nonlocal done
        for start, end in chunks(max(stop - done, 0), (piece,)):
            yield from sound(done + start, done + end)
        done = max(done, stop)

    sound = begin(read, UNKNOWN_FRAMES if frames is None else frames)
    for block in blocks:
        arrived(block)
        yield from until(came if came == frames else came - reach)
    if frames is not None and came != frames:
        raise ValueError(f"{came} frames of mels came, {frames} were announced")
    if frames is None and came:
        end = came
        arrived(kept.new_full((1, mel.n_mels, reach), math.log(mel.floor)))
        yield from until(end)
