"""All calls of the phone doors: which are under way, which have ended, and which connection belongs to which."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from enum import StrEnum

from models.base import CapacityError
from server.core.events import SessionConfig
from server.runtime.admission import Admission
from server.runtime.runner import Engines
from server.transports.base import DoorSettings, SessionObserver
from server.transports.call import Call
from server.transports.carrier import (
    MAX_MESSAGE,
    Leg,
    LineEvent,
    LineStarted,
    LineStopped,
    RefusedCall,
    RefusedMessage,
)
from server.transports.manners import Manners
from server.transports.reordering import Reordering

_log = logging.getLogger(__name__)

_START_S = 10.0
"""A connection on which nothing has begun by then is ended."""
_MAX_REFUSED = 100
"""A carrier that sends this many messages that cannot be taken is none."""
_LOGGED = 5
_REMEMBERED = 4096
"""Calls that have ended and are known not to begin again."""


class CallState(StrEnum):
    UNKNOWN = "unknown"
    LIVE = "live"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose call it is. agent: name of the agent that takes it, "" for the settings' own. number: the caller's, ""
    where it is not shown."""

    agent: str = ""
    number: str = ""


class Calls:
    """One for all phone doors. config_of: what a session starts with, by the agent's name; raises KeyError."""

    def __init__(
        self,
        engines: Engines,
        door: DoorSettings,
        manners: Manners,
        admission: Admission,
        observer: SessionObserver,
        config_of: Callable[[str], SessionConfig] | None = None,
    ) -> None:
        self._engines, self._door, self._manners = engines, door, manners
        self._admission, self._observer = admission, observer
        self._config_of = config_of
        self._live: dict[str, Call] = {}
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def full(self) -> bool:
        """Whether a new call would be refused."""
        return self._admission.full

    def state(self, call_id: str) -> CallState:
        """Whether the call is under way."""
        if call_id in self._live:
            return CallState.LIVE
        return CallState.ENDED if call_id in self._ended else CallState.UNKNOWN

    async def answer(self, leg: Leg, admit: Callable[[LineStarted], Awaitable[Caller]]) -> None:
        """Be on a carrier's connection until it ends. admit: whose call it is; raises RefusedCall."""
        door = leg.codec.name
        try:
            async with aclosing(_events(leg)) as events:
                started = await _start(events)
                caller = await admit(started)
                call = self._live.get(started.call_id) or self._begin(started, leg, caller)
                await call.carry(started, leg, events)
        except RefusedCall as refused:
            self._observer.session_refused(door)
            _log.warning("call refused", extra={"door": door, "reason": refused.message})
        except CapacityError as full:
            self._observer.session_refused(door)
            _log.warning("call refused", extra={"door": door, "reason": str(full)})
        finally:
            await leg.close()

    async def close(self) -> None:
        """End all calls."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, started: LineStarted, leg: Leg, caller: Caller) -> Call:
        if started.call_id in self._ended:
            raise RefusedCall("the call has ended before")
        door = self._door
        if self._config_of is not None:
            try:
                door = replace(door, config=self._config_of(caller.agent))
            except KeyError:
                raise RefusedCall(f"there is no agent {caller.agent!r}") from None
        place = self._admission.admit()
        place.__enter__()
        call = Call(started, leg, self._engines, door, self._manners, self._observer)
        _log.info(
            "call",
            extra={"call": call.id, "session": call.session_id, "door": leg.codec.name, "pii.caller": caller.number},
        )
        self._live[call.id] = call
        task = asyncio.create_task(call.run())
        self._tasks.add(task)

        def ended(_: asyncio.Task[None]) -> None:
            place.__exit__(None, None, None)
            self._tasks.discard(task)
            del self._live[call.id]
            self._ended[call.id] = None
            if len(self._ended) > _REMEMBERED:
                self._ended.popitem(last=False)

        task.add_done_callback(ended)
        return call


async def _start(events: AsyncGenerator[LineEvent, None]) -> LineStarted:
    try:
        async with asyncio.timeout(_START_S):
            async for event in events:
                if isinstance(event, LineStarted):
                    return event
                _log.warning("carrier message refused", extra={"reason": "it came before the start"})
    except TimeoutError:
        raise RefusedCall(f"nothing began in {_START_S:g} s") from None
    raise RefusedCall("the connection ended before anything began")


async def _events(leg: Leg) -> AsyncGenerator[LineEvent, None]:
    """What the carrier says, without what it should not have said."""
    refused = 0
    order = Reordering()
    async for frame in leg.frames():
        try:
            if len(frame) > MAX_MESSAGE:
                raise RefusedMessage(f"longer than {MAX_MESSAGE} bytes")
            event = leg.codec.decode(frame)
        except RefusedMessage as error:
            refused += 1
            if refused <= _LOGGED:
                extra = {"door": leg.codec.name, "reason": error.message}
                _log.warning("carrier message refused", extra=extra)
            if refused >= _MAX_REFUSED:
                _log.warning("connection ended: too many messages refused", extra={"door": leg.codec.name})
                yield LineStopped()
                return
            continue
        if event is None:
            continue
        for ready in (event,) if leg.codec.ordered else order.push(event):
            yield ready
