"""Who may run now: a fixed number of slots, and a bounded queue in order of priority."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass

from models.base import CapacityError, Priority, Urgency, priority_of


@dataclass(eq=False)
class _Waiting:
    urgency: Priority | Urgency
    arrival: int
    turn: asyncio.Future[None]

    @property
    def rank(self) -> tuple[Priority, int]:
        """What goes first is smaller."""
        return priority_of(self.urgency), self.arrival


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

    async def acquire(self, priority: Priority | Urgency) -> None:
        """Wait for a slot; an ``Urgency`` may rise meanwhile.

        Raises CapacityError, at once or while waiting, when there is no room to wait."""
        if self._free and not self._queue:
            self._free -= 1
            return
        if len(self._queue) >= self._bound:
            self._make_room(priority_of(priority))
        waiting = _Waiting(priority, next(self._arrivals), asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        try:
            await waiting.turn
        except asyncio.CancelledError:
            if waiting in self._queue:
                self._queue.remove(waiting)
            elif not waiting.turn.cancelled() and waiting.turn.exception() is None:
                self.release()  # cancelled just as its turn had come
            raise

    def release(self) -> None:
        """Give a slot back, to whoever is next."""
        while self._queue:
            first = min(self._queue, key=lambda waiting: waiting.rank)
            self._queue.remove(first)
            if not first.turn.done():  # it is done when its task is just being cancelled
                first.turn.set_result(None)
                return
        self._free += 1

    def _make_room(self, priority: Priority) -> None:
        """Take one request out of the queue: one that has just been cancelled and only has not left it yet, or else
        the last one of a lower class than ``priority``. Raises CapacityError when there is neither."""
        gone = next((waiting for waiting in self._queue if waiting.turn.done()), None)
        if gone is not None:
            self._queue.remove(gone)
            return
        last = max(self._queue, key=lambda waiting: waiting.rank, default=None)
        if last is None or priority_of(last.urgency) <= priority:
            raise CapacityError("too many requests are waiting for the chat model")
        self._queue.remove(last)
        last.turn.set_exception(CapacityError("a more urgent request took the last place in the chat model's queue"))
