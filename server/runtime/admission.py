"""How many sessions run at once, and where: on this machine, or at a hosted provider. Who finds no place is told so
before a session begins. A server that is stopping takes no new ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from models.base import CapacityError
from server.errors import DrainingError

_AGAIN = "The server is shutting down; connect again in a moment."


@dataclass(frozen=True, slots=True)
class Place:
    """A session's. instead: why another machine's models have to serve it, "full" or "ill"; "" if those here do."""

    instead: str = ""


HERE = Place()


class Admission:
    """A bound on sessions over all doors. limit: with the models of this machine. elsewhere: besides, while those are
    all taken or ill; 0 where there is no other machine."""

    def __init__(self, limit: int, elsewhere: int = 0, ill: Callable[[], bool] = lambda: False) -> None:
        self._limit, self._elsewhere, self._ill = limit, elsewhere, ill
        self.active = 0
        self.away = 0
        self.requests = 0
        """Requests over plain HTTP that are being answered."""
        self.draining = False
        """Nobody is let in any more; who is in may finish."""
        self.closing = asyncio.Event()
        """Sessions over sockets are to end now."""
        self._left = asyncio.Event()

    @property
    def full(self) -> bool:
        """Whether the next session would be refused."""
        return self.draining or (self.active >= self._limit and self.away >= self._elsewhere)

    @contextmanager
    def admit(self) -> Iterator[Place]:
        """Hold a place for a session. Raises CapacityError when there is none, DrainingError when the server is going
        down."""
        if self.draining:
            raise DrainingError(_AGAIN)
        taken = self.active >= self._limit
        if self.away < self._elsewhere and (taken or self._ill()):
            self.away += 1
            try:
                yield Place("full" if taken else "ill")
            finally:
                self.away -= 1
                self._left.set()
            return
        if taken:
            raise CapacityError(f"All {self._limit} sessions of this server are in use; try again later.")
        self.active += 1
        try:
            yield HERE
        finally:
            self.active -= 1
            self._left.set()

    async def request(self) -> AsyncIterator[None]:
        """Around a request over plain HTTP. Raises DrainingError when the server is going down."""
        if self.draining:
            raise DrainingError(_AGAIN)
        self.requests += 1
        try:
            yield
        finally:
            self.requests -= 1
            self._left.set()

    async def closed(self) -> None:
        """Raises DrainingError when sessions over sockets are to end."""
        await self.closing.wait()
        raise DrainingError(_AGAIN)

    async def empty(self) -> None:
        """Until all sessions and requests have ended."""
        while self.active or self.away or self.requests:
            self._left.clear()
            await self._left.wait()
