"""A text as a model is asked for it."""

import numpy as np
import torch
from jaxtyping import Int

from moksori.text.tokenizer import Encoded
from moksori.types import TextBatch


def text_batch(
    encoded: Encoded,
    row: int = 0,
    device: torch.device | str = "cpu",
    durations: Int[np.ndarray, " tokens"] | None = None,
) -> TextBatch:
    """A text as a batch of one. row: of the speaker table. durations: frames of each token; None: the model's."""
    return TextBatch(
        tokens=torch.from_numpy(encoded.tokens)[None].to(device),
        stress=torch.from_numpy(encoded.stress)[None].to(device),
        token_lengths=torch.tensor([len(encoded.tokens)], device=device),
        speaker=torch.tensor([row], device=device),
        durations=None if durations is None else torch.from_numpy(durations)[None].to(device),
    )
