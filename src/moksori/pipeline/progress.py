"""How long jobs tell their caller how far they are."""

from typing import Protocol


class Progress(Protocol):
    """Called with the units done and the units in all; 0 in all means that nobody knows yet."""

    def __call__(self, done: int, total: int) -> None: ...


def no_progress(done: int, total: int) -> None:
    """Tells nobody."""
