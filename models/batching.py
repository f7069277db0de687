"""Concurrent requests share one run of a model: whatever is queued when the device is free goes together."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

from models.base import CapacityError, EngineError, Priority, Urgency, priority_of

Req = TypeVar("Req")
Res = TypeVar("Res")


@dataclass(eq=False, slots=True)
class _Entry(Generic[Req, Res]):
    request: Req
    number: int
    urgency: Priority | Urgency
    group: Hashable
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Res]

    @property
    def priority(self) -> Priority:
        return priority_of(self.urgency)


class Batcher(Generic[Req, Res]):
    """One worker thread that runs requests in batches; nothing waits for a batch to fill up.

    A batch holds requests of one priority class and one group only, in order of arrival. The class that goes first
    (the smallest) is served first, and no batch of it is made longer by requests of another class. At most one batch
    of another class, the one already running, can be ahead of a request.
    """

    def __init__(
        self,
        run: Callable[[list[Req]], Sequence[Res]],
        *,
        name: str,
        max_batch: int,
        capacity: int = 1024,
        by_priority: bool = True,
        group: Callable[[Req], Hashable] = lambda request: None,
    ) -> None:
        """run: called in the worker thread with 1 to max_batch requests of equal ``group``; returns one result each.
        capacity: how many requests may wait. by_priority: False serves all classes as one, in order of arrival.
        name: of the engine, for errors and the thread."""
        self._run, self._group = run, group
        self._name, self._max_batch, self._capacity = name, max_batch, capacity
        self._by_priority = by_priority
        self._waiting: dict[int, _Entry[Req, Res]] = {}
        """By number, that is in order of arrival."""
        self._submitted = 0
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name=f"batch-{name}", daemon=True)
        self._thread.start()

    async def submit(self, request: Req, priority: Priority | Urgency = Priority.CONFIRMED) -> Res:
        """The result of this request. Cancelling takes it out of the queue. An ``Urgency`` that rises meanwhile counts
        from the next batch on.

        Raises CapacityError when the queue is full, EngineError when the batcher is closed, and whatever ``run``
        raised for the batch.
        """
        loop = asyncio.get_running_loop()
        urgency = priority if self._by_priority else Priority.CONFIRMED
        group = self._group(request)
        with self._changed:
            if self._closed:
                raise self._gone()
            if len(self._waiting) >= self._capacity:
                raise CapacityError(f"{self._name}: {len(self._waiting)} requests are waiting already")
            self._submitted += 1
            entry: _Entry[Req, Res] = _Entry(request, self._submitted, urgency, group, loop, loop.create_future())
            self._waiting[entry.number] = entry
            self._changed.notify()
        try:
            return await entry.future
        finally:
            if entry.future.cancelled():
                with self._changed:
                    self._waiting.pop(entry.number, None)

    def close(self) -> None:
        """End the thread after the batch that is running; what is queued fails. Blocks until then."""
        with self._changed:
            self._closed = True
            left = list(self._waiting.values())
            self._waiting.clear()
            self._changed.notify()
        _complete([(entry, self._gone()) for entry in left])
        self._thread.join()

    async def aclose(self) -> None:
        """close(), without holding up the event loop."""
        await asyncio.to_thread(self.close)

    def _gone(self) -> EngineError:
        return EngineError(self._name, f"{self._name} is closed")

    def _next_batch(self) -> list[_Entry[Req, Res]]:
        """The requests to run now; empty when closed. Waits for some."""
        with self._changed:
            while not self._waiting:
                if self._closed:
                    return []
                self._changed.wait()
            waiting = [(entry.priority, entry) for entry in self._waiting.values()]
            most_urgent, first = min(waiting, key=lambda pair: (pair[0], pair[1].number))
            alike = (entry for priority, entry in waiting if priority == most_urgent and entry.group == first.group)
            batch = list(islice(alike, self._max_batch))
            for entry in batch:
                del self._waiting[entry.number]
            return batch

    def _work(self) -> None:
        while batch := self._next_batch():
            # A task may be cancelled while its loop has not yet come to take the request out of the queue.
            batch = [entry for entry in batch if not entry.future.cancelled()]
            if not batch:
                continue
            outcomes: Sequence[Res | BaseException]
            try:
                results = self._run([entry.request for entry in batch])
                if len(results) != len(batch):
                    raise RuntimeError(f"{self._name}: {len(results)} results for {len(batch)} requests")
                outcomes = results
            except BaseException as error:  # the thread serves everybody: one bad batch must not end it
                outcomes = [error] * len(batch)
            _complete(list(zip(batch, outcomes, strict=True)))


def _complete(done: Sequence[tuple[_Entry[Req, Res], Res | BaseException]]) -> None:
    """Hand over outcomes, with one wake-up of each event loop concerned."""
    loops: dict[asyncio.AbstractEventLoop, list[tuple[_Entry[Req, Res], Res | BaseException]]] = {}
    for pair in done:
        loops.setdefault(pair[0].loop, []).append(pair)
    for loop, pairs in loops.items():
        with suppress(RuntimeError):  # that loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_settle, pairs)


def _settle(pairs: Sequence[tuple[_Entry[Req, Res], Res | BaseException]]) -> None:
    for entry, outcome in pairs:
        if entry.future.done():
            continue
        if isinstance(outcome, BaseException):
            entry.future.set_exception(outcome)
        else:
            entry.future.set_result(outcome)
