"""Networks that are listened to and do not learn from it."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """What is computed in here gives the module's weights no gradient, while its inputs get theirs."""
    module.requires_grad_(False)
    try:
        yield
    finally:
        module.requires_grad_(True)
