"""The one thread in which models work, and how the event loop waits for it."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

import anyio

from moksori.pipeline.turns import inferring

P = ParamSpec("P")
Result = TypeVar("Result")


class Worker:
    """Pieces of work, each a block of sound or so, in the order in which they were asked for.

    A request asks for its next piece when the last one is on its way, so that requests take turns. One thread is
    enough: torch uses `threads` of its own, and espeak knows one text at a time.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._pool = ThreadPoolExecutor(1, "moksori-models", self._begin)

    def _begin(self) -> None:
        import torch

        torch.set_num_threads(self._threads)

    async def run(self, function: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
        """Calls a function there; cancelled, it waits until a piece that was begun is done."""
        work = self._pool.submit(lambda: inferring(function, *args, **kwargs))
        try:
            return await asyncio.shield(asyncio.wrap_future(work))
        except asyncio.CancelledError:
            if not work.cancel():
                with anyio.CancelScope(shield=True):
                    await asyncio.wait([asyncio.wrap_future(work)])
            raise

    def close(self) -> None:
        """Ends the thread; what waits is dropped."""
        self._pool.shutdown(wait=True, cancel_futures=True)
