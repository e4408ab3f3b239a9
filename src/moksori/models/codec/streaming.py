"""Codes of sound and sound of latents that come block by block, in bounded memory: to the sample what the whole gives.

Every part of a codec reads neighbours, no further than its context. A stretch that is given that much on both sides
comes out as in the whole; at the true ends, where there is nothing to give, each part's own padding is right.
"""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from moksori.errors import AudioError
from moksori.models.contract_latents import CanCompress
from moksori.types import LongRecording

CODED_FRAMES, SOUNDED_FRAMES = 800, 400
"""Frames that are encoded, and at most decoded, at once: 10 s and 5 s."""
FIRST_FRAMES = 64
"""Frames of sound that are made at first. Then as many as there have been: contexts are made anew each time, so short
pieces cost more."""


def codes_of_blocks(
    codec: CanCompress, recording: LongRecording, context: int, stages: int | None = None
) -> Iterator[Int[Tensor, "1 stages frames"]]:
    """Codes of a recording. context: frames on each side of a frame that its code depends on.

    Raises AudioError where there is no sample, or another rate than the codec's.
    """
    if recording.sample_rate != codec.sample_rate:
        raise AudioError(f"a recording at {recording.sample_rate} Hz: this codec takes {codec.sample_rate} Hz")
    hop = codec.hop_length
    kept, first = np.zeros(0, np.float32), 0  # the first frame of what is kept
    done = 0
    for block in recording.blocks():
        kept = np.concatenate([kept, block])
        while len(kept) >= (done + CODED_FRAMES + context - first) * hop:
            stop = done + CODED_FRAMES
            yield _codes(codec, kept[: (stop + context - first) * hop], done - first, stop - first, stages)
            done = stop
            begin = max(done - context, 0)
            kept, first = kept[(begin - first) * hop :], begin
    total = first + -(-len(kept) // hop)
    if total == 0:
        raise AudioError("a codec cannot encode a recording of no samples: give it one that holds sound")
    if total > done:
        yield _codes(codec, kept, done - first, total - first, stages)


def _codes(
    codec: CanCompress, samples: Float[np.ndarray, " samples"], start: int, stop: int, stages: int | None
) -> Int[Tensor, "1 stages frames"]:
    waveform = torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32)).to(codec.codebooks.device)
    return codec.compress(waveform[None], stages)[:, :, start:stop]


def worth_making(done: int) -> int:
    """Frames that are waited for before more sound is made, where so many have been made."""
    return min(max(done, FIRST_FRAMES), SOUNDED_FRAMES)
