"""How many requests there may be: some are worked on, some wait, all others are told to come back later."""

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from moksori.serving.errors import Refused

_REMEMBERED = 32


class Admission:
    """concurrency: requests that are worked on at a time; queue: that may wait beside them."""

    def __init__(self, concurrency: int, queue: int) -> None:
        self._room, self._places = concurrency + queue, 0
        self._concurrency, self._turns = concurrency, asyncio.Semaphore(concurrency)
        self._took: deque[float] = deque(maxlen=_REMEMBERED)
        self.active = 0
        """Requests that are worked on."""

    @property
    def waiting(self) -> int:
        """Requests that are here and not worked on."""
        return max(self._places - self.active, 0)

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place in the house; raises Refused (429) where there is none, with the time after which one may be free."""
        if self._places >= self._room:
            wait = str(self._expected_seconds())
            message = f"{self._places} requests are here already: try again in {wait} s"
            raise Refused(429, message, "busy", headers={"Retry-After": wait})
        self._places += 1
        try:
            yield
        finally:
            self._places -= 1

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """To be worked on, once it is one's turn."""
        async with self._turns:
            self.active += 1
            began = time.monotonic()
            try:
                yield
            finally:
                self.active -= 1
                self._took.append(time.monotonic() - began)

    def _expected_seconds(self) -> int:
        """Until a place is free, by how long the last requests took."""
        mean = sum(self._took) / len(self._took) if self._took else 1.0
        return min(max(math.ceil(mean * self.waiting / self._concurrency), 1), 60)
