"""Islands of full precision inside a model that runs under autocast."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from jaxtyping import Float
from torch import Tensor, nn


def full_precision(device_type: str) -> AbstractContextManager[object]:
    """A context in which autocast is off on `device_type` ("cpu", "cuda", ...).

    Where autocast is not on it does nothing at all, so that exported graphs hold no trace of it.
    """
    if torch.is_autocast_enabled(device_type):
        return torch.autocast(device_type, enabled=False)
    return nullcontext()


def at_least_float32(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """bfloat16 and float16 become float32; float32 and float64 stay as they are."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


@contextmanager
def double_precision(model: nn.Module) -> Iterator[None]:
    """A context in which a float32 model's numbers are float64; afterwards they are what they were, bit for bit."""
    model.double()
    try:
        yield
    finally:
        model.float()
