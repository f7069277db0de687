"""Who may run now: a fixed number of slots, and a bounded queue in order of priority."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from dataclasses import dataclass, field

from models.base import CapacityError, Priority


@dataclass(order=True)
class _Waiting:
    priority: Priority
    arrival: int
    turn: asyncio.Future[None] = field(compare=False)


class Slots:
    """count: how many run at once. bound: how many may wait. Used from one event loop at a time.

    Equal priorities are served in order of arrival. When the queue is full, a request makes room for itself by turning
    away the last one of a lower class, or is turned away.
    """

    def __init__(self, count: int, bound: int) -> None:
        self._free = count
        self._bound = bound
        self._queue: list[_Waiting] = []
        self._arrivals = itertools.count()

    async def acquire(self, priority: Priority) -> None:
        """Wait for a slot. Raises CapacityError, at once or while waiting, when there is no room to wait."""
        if self._free and not self._queue:
            self._free -= 1
            return
        if len(self._queue) >= self._bound:
            self._make_room(priority)
        waiting = _Waiting(priority, next(self._arrivals), asyncio.get_running_loop().create_future())
        heapq.heappush(self._queue, waiting)
        try:
            await waiting.turn
        except asyncio.CancelledError:
            if waiting in self._queue:
                self._remove(waiting)
            elif not waiting.turn.cancelled() and waiting.turn.exception() is None:
                self.release()  # cancelled just as its turn had come
            raise

    def release(self) -> None:
        """Give a slot back, to whoever is next."""
        while self._queue:
            turn = heapq.heappop(self._queue).turn
            if not turn.done():  # it is done when its task is just being cancelled
                turn.set_result(None)
                return
        self._free += 1

    def _make_room(self, priority: Priority) -> None:
        """Take one request out of the queue: one that has just been cancelled and only has not left it yet, or else
        the last one of a lower class than ``priority``. Raises CapacityError when there is neither."""
        gone = next((waiting for waiting in self._queue if waiting.turn.done()), None)
        if gone is not None:
            self._remove(gone)
            return
        last = max(self._queue, default=None)
        if last is None or last.priority <= priority:
            raise CapacityError("too many requests are waiting for the chat model")
        self._remove(last)
        last.turn.set_exception(CapacityError("a more urgent request took the last place in the chat model's queue"))

    def _remove(self, waiting: _Waiting) -> None:
        self._queue.remove(waiting)
        heapq.heapify(self._queue)
