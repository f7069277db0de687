"""The timers that a Session asks for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable

from server.core import events as e


class Timers:
    """One timer of each kind; a new one replaces the one that runs."""

    def __init__(self, deliver: Callable[[e.Input], Awaitable[None]]) -> None:
        self._deliver = deliver
        self._running: dict[Hashable, asyncio.Task[None]] = {}

    def start(self, kind: Hashable, after_ms: int, fact: e.Input) -> None:
        """Tell ``fact`` when the time is over."""
        if kind in self._running:
            self._running[kind].cancel()
        self._running[kind] = asyncio.create_task(self._tell(after_ms / 1000, fact))

    async def _tell(self, after_s: float, fact: e.Input) -> None:
        await asyncio.sleep(after_s)
        await self._deliver(fact)

    def close(self) -> None:
        """The session is over."""
        for task in self._running.values():
            task.cancel()
