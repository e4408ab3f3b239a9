"""The sound of frames that come block by block, in bounded memory: what a decoder makes of the whole at once."""

from collections.abc import Callable, Iterable, Iterator

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from moksori.models.decoders.decoders import Decoder
from moksori.models.decoders.progressive import Extent, Make, chunks

Sound = Callable[[int, int], Iterator[Float[Tensor, "1 samples"]]]
"""The sound of frames [start, stop), in one piece or several; called for every frame once, from left to right."""

SOURCE_SEED = 0


def fixed_source() -> Generator:
    """What a decoder with noise in it draws from where equal frames are to sound equal, whoever asks and whenever."""
    return Generator().manual_seed(SOURCE_SEED)


def look_ahead_frames(decoder: Decoder) -> int:
    """Frames that must have come after a frame before a decoder can make its samples."""
    predictor = getattr(decoder, "pitch_predictor", None)
    # Pulses interpolate between a frame's pitch and the next one's.
    return decoder.context_frames + (0 if predictor is None else predictor.context_frames + 1)


def sound_of_blocks(
    blocks: Iterable[Float[Tensor, "1 channels frames"]],
    frames: int | None,
    begin: Callable[[Make, Extent], Sound],
    reach: int,
    history: int,
    piece: int,
    least: Callable[[int], int] = lambda done: 1,
) -> Iterator[Float[Tensor, "1 samples"]]:
    """A block's sound leaves as soon as it can.

    frames: in all blocks together, None where nobody knows. begin: is given the way to read frames of what comes, and
    how many there are, which is set at the end where it was not known. reach: frames behind a frame that must have
    come before its sound can be made. history: frames before the newest block that may still be read. piece: frames of
    sound that are made in one go, at most; least: at least, but at the end, where so many have been made.
    Raises ValueError where there are fewer or more frames than announced.
    """
    kept: Tensor | None = None
    came = done = 0
    extent = Extent(frames)

    def read(start: int, stop: int) -> Tensor:
        assert kept is not None
        first = came - kept.shape[2]
        return kept[..., start - first : stop - first]

    def arrived(block: Float[Tensor, "1 channels frames"]) -> None:
        nonlocal kept, came
        joined = block if kept is None else torch.cat([kept, block], dim=2)
        kept = joined[..., -(history + block.shape[2]) :]
        came += block.shape[2]

    def until(stop: int) -> Iterator[Float[Tensor, "1 samples"]]:
        nonlocal done
        for start, end in chunks(max(stop - done, 0), (piece,)):
            yield from sound(done + start, done + end)
        done = max(done, stop)

    sound = begin(read, extent)
    for block in blocks:
        arrived(block)
        if frames is not None and came > frames:
            break
        stop = came if came == frames else came - reach
        if came == frames or stop - done >= least(done):
            yield from until(stop)
    if frames is not None and came != frames:
        raise ValueError(f"{came} frames came, {frames} were announced")
    extent.frames = came
    yield from until(came)
