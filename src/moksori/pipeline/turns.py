"""Sound of several requests, made by turns in one thread: a block of this one, then a block of that one."""

from collections.abc import Callable, Generator
from typing import ParamSpec, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
P = ParamSpec("P")


def next_of(items: Generator[Item, None, None]) -> Item | None:
    """The next item; None after the last one."""
    return inferring(next, items, None)


def end(items: Generator[Item, None, None]) -> None:
    """Ends a generator before its end; nothing happens to one that is over."""
    inferring(items.close)


def inferring(function: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
    """Calls something in torch's inference mode.

    Generators that were left in the middle of theirs restore, each at its own end, the mode that they met at their
    beginning. By turns that is only right where all of them meet the same one.
    """
    import torch

    with torch.inference_mode():
        return function(*args, **kwargs)
