"""All calls of the phone doors: which are under way, which have ended, and which connection belongs to which."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import ExitStack, aclosing, suppress
from enum import StrEnum

from models.base import CapacityError, EngineError
from server.runtime.admission import Admission
from server.runtime.runner import Engines
from server.transports.base import DoorSettings, SessionObserver
from server.transports.call import Call
from server.transports.carrier import (
    MAX_MESSAGE,
    CallControl,
    Caller,
    Close,
    Leg,
    LineEvent,
    LineStarted,
    LineStopped,
    RefusedCall,
    RefusedMessage,
)
from server.transports.manners import Manners
from server.transports.phone_tools import NO_TOOLS, PhoneTools
from server.transports.phrases import Phrases
from server.transports.refusal import speak_on
from server.transports.reordering import Reordering
from server.transports.rest import Places

_log = logging.getLogger(__name__)

_START_S = 10.0
"""A connection on which nothing has begun by then is ended."""
_TOLD_S = 15.0
_TOLD_AT_ONCE = 4
"""Callers who are told at the same time that there is no place for them; more find the line dead."""
_MAX_REFUSED = 100
"""A carrier that sends this many messages that cannot be taken is none."""
_LOGGED = 5
_REMEMBERED = 4096
"""Calls that have ended and are known not to begin again."""


class CallState(StrEnum):
    UNKNOWN = "unknown"
    LIVE = "live"
    ENDED = "ended"


class Calls:
    """One for all phone doors."""

    def __init__(
        self,
        engines: Engines,
        door: DoorSettings,
        manners: Manners,
        admission: Admission,
        observer: SessionObserver,
        tools: PhoneTools = NO_TOOLS,
    ) -> None:
        self._engines, self._door, self._manners = engines, door, manners
        self._admission, self._observer = admission, observer
        self._tools = tools
        self._told = Places(_TOLD_AT_ONCE, "refusals")
        self._live: dict[str, Call] = {}
        self._ended: OrderedDict[str, str] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    def phrases(self, agent: str = "") -> Phrases:
        """What the door says by itself to callers of this agent."""
        agents = self._door.agents
        own = agents.language(agent) if agents is not None and agent else None
        return self._manners.book.of(own or self._door.config.language)

    def refusal(self, agent: str = "") -> str:
        """What a new call for this agent is told; "" if it would be taken."""
        if self._admission.draining:
            return self.phrases(agent).closing
        return self.phrases(agent).busy if self._admission.full else ""

    def state(self, call_id: str) -> CallState:
        """Whether the call is under way."""
        call = self._live.get(call_id)
        if call is not None:
            return CallState.ENDED if call.over else CallState.LIVE
        return CallState.ENDED if call_id in self._ended else CallState.UNKNOWN

    def transfer_of(self, call_id: str) -> str:
        """Who is to be called now that this call has ended; "" for nobody. Told once."""
        call = self._live.get(call_id)
        if call is not None and call.over:
            number, call.transfer_to = call.transfer_to, ""
        else:
            number = self._ended.get(call_id, "")
            if number:
                self._ended[call_id] = ""
        return number

    async def answer(
        self, leg: Leg, admit: Callable[[LineStarted], Awaitable[Caller]], control: CallControl | None = None
    ) -> None:
        """Be on a carrier's connection until it ends. admit: whose call it is; raises RefusedCall. control: its REST
        API, where that may be used."""
        door = leg.codec.name
        why, reason = Close.OVER, ""
        try:
            async with aclosing(_events(leg)) as events:
                started = await _start(events)
                caller = await admit(started)
                call = self._known(started.call_id) or await self._begin(started, leg, caller, control)
                await call.carry(started, leg, events)
        except (RefusedCall, CapacityError) as refused:
            why, reason = Close.FULL if isinstance(refused, CapacityError) else Close.REFUSED, str(refused)
            self._observer.session_refused(door)
            _log.warning("call refused", extra={"door": door, "reason": reason})
        finally:
            await leg.close(why, reason)

    def finish(self, seconds: float) -> None:
        """All calls end, with a goodbye, when so much more time has passed."""
        for call in self._live.values():
            call.finish(seconds)

    async def empty(self) -> None:
        """Until all calls have ended."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """End all calls."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _known(self, call_id: str) -> Call | None:
        call = self._live.get(call_id)
        if call_id in self._ended or (call is not None and call.over):
            raise RefusedCall("the call has ended before")
        return call

    async def _begin(self, started: LineStarted, leg: Leg, caller: Caller, control: CallControl | None) -> Call:
        try:
            call, place = self._admitted(started, leg, caller, control)
        except CapacityError:
            await self._refuse(started, leg, caller.agent)
            raise
        except RefusedCall:
            # Carriers that ask what comes next would be told to connect it again, for ever.
            self._remember(started.call_id, "")
            raise
        _log.info(
            "call",
            extra={"call": call.id, "session": call.session_id, "door": leg.codec.name, "pii.caller": caller.number},
        )
        self._live[call.id] = call
        task = asyncio.create_task(call.run())
        self._tasks.add(task)

        def ended(_: asyncio.Task[None]) -> None:
            place.close()
            self._tasks.discard(task)
            del self._live[call.id]
            self._remember(call.id, call.transfer_to)

        task.add_done_callback(ended)
        return call

    def _remember(self, call_id: str, transfer_to: str) -> None:
        """It has ended. transfer_to: who is to be called now, "" for nobody."""
        self._ended[call_id] = transfer_to
        if len(self._ended) > _REMEMBERED:
            self._ended.popitem(last=False)

    async def _refuse(self, started: LineStarted, leg: Leg, agent: str) -> None:
        """In words, as far as that holds up nobody: carriers without a webhook cannot say them themselves."""
        language = self.phrases(agent).tag.partition("-")[0]
        voice = self._engines.tts.voice_for(self._door.config.voice, language)
        with suppress(CapacityError, EngineError, TimeoutError), self._told.take():
            async with asyncio.timeout(_TOLD_S):
                await speak_on(leg, started.format, self.refusal(agent), self._engines.tts, voice)

    def _admitted(
        self, started: LineStarted, leg: Leg, caller: Caller, control: CallControl | None
    ) -> tuple[Call, ExitStack]:
        """A new call, and its place, which is to be closed. Raises CapacityError and RefusedCall."""
        with ExitStack() as stack:
            place = stack.enter_context(self._admission.admit())
            call = Call(
                started,
                leg,
                caller,
                self._engines,
                self._door,
                self._manners,
                self._tools,
                self._observer,
                control,
                place,
            )
            return call, stack.pop_all()


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
