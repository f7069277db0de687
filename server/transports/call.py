"""One phone call: a Session behind a carrier's media stream, and what a call has that a socket has not."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from typing import Any

from server.core import events as e
from server.errors import CapacityError, EngineError, VoiceError, innermost
from server.runtime.admission import HERE, Place
from server.runtime.live import SessionPlan
from server.runtime.runner import Engines
from server.transports.base import DoorSettings, Role, SessionObserver
from server.transports.carrier import (
    FRAME_MS,
    CallControl,
    Caller,
    Close,
    Leg,
    LineAudio,
    LineEvent,
    LineFormat,
    LineKey,
    LineMark,
    LineStarted,
    LineStopped,
    RefusedCall,
    silence,
)
from server.transports.courtesy import Courtesy
from server.transports.line_hearing import LineHearing
from server.transports.line_samples import LineSamples
from server.transports.line_speech import LineSpeech
from server.transports.manners import Manners
from server.transports.phone_tools import PhoneTools, equip
from server.transports.phrases import Phrases
from server.transports.playout import Playout
from server.transports.timeline import STALL_FILL_MS, STALL_MS
from server.transports.wire import new_id

_log = logging.getLogger(__name__)


class _OverError(Exception):
    """The call has ended. outcome: one word of a fixed few, for the metrics."""

    def __init__(self, outcome: str) -> None:
        super().__init__(outcome)
        self.outcome = outcome


def _cast(door: DoorSettings, caller: Caller, engines: Engines, session_id: str) -> Role | None:
    """The agent that takes the call; None for the settings' own. Raises RefusedCall. What a caller has had done counts
    as done when the same number calls again."""
    if not caller.agent:
        return None
    role = door.agents.cast(caller.agent, door.config, engines, session_id, caller.scope) if door.agents else None
    if role is None:
        raise RefusedCall(f"there is no agent {caller.agent!r}")
    return role


class Call:
    """``run`` it until it is over, and ``carry`` each of its media connections meanwhile."""

    def __init__(
        self,
        started: LineStarted,
        leg: Leg,
        caller: Caller,
        engines: Engines,
        door: DoorSettings,
        manners: Manners,
        tools: PhoneTools,
        observer: SessionObserver,
        control: CallControl | None = None,
        place: Place = HERE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.id = started.call_id
        self._manners, self._observer, self._clock = manners, observer, clock
        self._door, self._control = leg.codec.name, control
        self._wire = started.format.session
        self.session_id = new_id("sess")
        role = _cast(door, caller, engines, self.session_id)
        config, toolbox = (role.config, role.toolbox) if role else (door.config, door.toolbox(self.session_id))
        config = replace(config, input_format=self._wire, output_format=self._wire)
        config, toolbox = equip(
            config, toolbox, tools, self.leave, transfers=leg.codec.asks_next or control is not None
        )
        plan = SessionPlan(
            self.session_id,
            config,
            door.policy,
            role.engines if role else engines,
            observer,
            new_id,
            door.taps,
            toolbox,
            plays=True,
            marks=leg.codec.marks,
            agent=caller.agent,
            door=self._door,
            place=place,
            stays=role is not None and role.stays,
        )
        self._runner = door.start(plan, self)
        self._language = config.language
        opening = (role.opening if role else "") or manners.greeting or manners.book.of(config.language).greeting
        self._greeting = door.first_words(self._runner, role, opening)
        self._playout = Playout(
            frame=self._wire.rate * FRAME_MS // 1000 * self._wire.width,
            width=self._wire.width,
            silence=silence(self._wire, FRAME_MS),
            lead_ms=leg.codec.lead_ms,
            piece_ms=leg.codec.piece_ms,
            clock=clock,
        )
        self._leg: Leg | None = None
        self._line: LineFormat = started.format
        self._samples = LineSamples(started.format)
        self._reader: asyncio.Task[None] | None = None
        self._group: asyncio.TaskGroup | None = None
        self._running = asyncio.Event()
        self._over: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._streams: set[str] = set()
        self._hearing = LineHearing(self._wire, clock)
        self._speech = LineSpeech(self._playout, self._wire, self._hearing, lambda: self._courtesy.sent())
        self._courtesy = Courtesy(
            manners,
            self._words,
            self._playout,
            self._speech.marks if leg.codec.marks else None,
            self._runner.receive,
            self.hang_up,
            lambda: self._runner.sound,
            clock,
        )
        self._keys = ""
        self._keys_timer: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None
        self._lost: asyncio.TimerHandle | None = None
        self._leaving = False
        self.transfer_to = ""
        """Who is called when this call has ended."""

    # ------------------------------------------------------------------------------------ its life

    async def run(self) -> None:
        """From the greeting to the end of the call."""
        self._observer.session_opened(self._door)
        begun = self._clock()
        outcome = "completed"
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                group.create_task(self._runner.run())
                group.create_task(self._speech.pump())
                group.create_task(self._courtesy.mind_silence())
                group.create_task(self._courtesy.mind_time())
                group.create_task(self._end())
                self._running.set()
                await self._courtesy.say(self._greeting, protected=True)
        except* _OverError as over:
            ended = over.exceptions[0]
            outcome = ended.outcome if isinstance(ended, _OverError) else outcome
        except* (EngineError, CapacityError) as broken:
            outcome = "failed"
            _log.error("call ended", extra={"call": self.id, "reason": str(innermost(broken))})
        except* Exception:
            outcome = "failed"
            _log.exception("call ended by a bug", extra={"call": self.id})
        finally:
            for timer in (self._keys_timer, self._stall, self._lost):
                if timer is not None:
                    timer.cancel()
            self.hang_up(outcome)
            seconds = self._clock() - begun
            self._observer.session_closed(self._door, outcome, seconds)
            _log.info(
                "call over",
                extra={"call": self.id, "session": self.session_id, "outcome": outcome, "seconds": round(seconds, 1)},
            )
            if self._leg is not None:
                await self._leg.close(Close.FAILED if outcome == "failed" else Close.OVER)

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self._over.done()

    def _words(self) -> Phrases:
        """What the door says by itself, in the language of the call as it is now."""
        return self._manners.book.of(self._language)

    def hang_up(self, outcome: str = "completed") -> None:
        """End the call now."""
        if not self._over.done():
            self._over.set_result(outcome)

    def finish(self, seconds: float) -> None:
        """End the call, with a goodbye, when so much more time has passed."""
        self._beside(self._courtesy.finish(seconds))

    def leave(self, number: str) -> None:
        """End the call once what is being said was heard. number: who is called next, "" for nobody."""
        if not self._leaving:
            self._leaving = self._beside(self._leave(number)) is not None

    async def _leave(self, number: str) -> None:
        """Where the carrier's REST API does not do it, a caller who was to be handed on is told, and stays. Hanging up
        works without it as well."""
        await self._courtesy.until_said()
        try:
            if self._control is not None and not self._over.done():
                await (self._control.transfer(self.id, number) if number else self._control.hang_up(self.id))
        except VoiceError as error:
            _log.warning("carrier does not move a call", extra={"call": self.id, "reason": str(error)})
            if number:
                self._leaving = False
                await self._courtesy.say(self._words().not_connected)
                return
        self.transfer_to = number
        self.hang_up("transferred" if number else "completed")

    async def _end(self) -> None:
        raise _OverError(await self._over)

    def _beside(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None] | None:
        """Have this done beside the rest of the call; None, and not done at all, when the call is ending. (Where a part
        of it fails the others are cancelled, and ``_over`` with ``_end``.)"""
        if self._group is None or self._over.done():
            work.close()
            return None
        return self._group.create_task(work)

    # ----------------------------------------------------------------------------- its connections

    async def carry(self, started: LineStarted, leg: Leg, events: AsyncIterator[LineEvent]) -> None:
        """Be on this connection until it or the call ends. Raises RefusedCall for a stream that was there before, or
        has other samples than the call."""
        if started.stream_id in self._streams:
            raise RefusedCall("this stream has begun before")
        if started.format.session is not self._wire:
            raise RefusedCall("the call goes on in other samples than it began with")
        self._streams.add(started.stream_id)
        await self._running.wait()
        if self._reader is not None:
            self._reader.cancel()
        reader = self._beside(self._read(started.format, leg, self._leg, events))
        if reader is None:
            raise RefusedCall("the call is over")
        self._leg, self._reader = leg, reader
        await asyncio.wait({reader})
        if self._leg is not leg:
            return
        if reader.cancelled() or reader.exception() is not None:
            # The call ends, and ``run`` the connection: it knows why.
            await asyncio.wait({self._over})
        else:
            await self._line_lost(leg)

    async def _read(self, line: LineFormat, leg: Leg, previous: Leg | None, events: AsyncIterator[LineEvent]) -> None:
        resumed = len(self._streams) > 1
        self._line, self._samples = line, LineSamples(line)
        self._speech.connect(leg, self._samples)
        self._hearing.begin()
        if self._lost is not None:
            self._lost.cancel()
        if previous is not None:
            await previous.close()
        if resumed:
            _log.info("call goes on over a new stream", extra={"call": self.id})
            await self._runner.receive(e.LineLost())
            await self._courtesy.say(self._words().cut_off)
        self._playout.hold(False)
        async for event in events:
            await self._take(event)

    async def _line_lost(self, leg: Leg) -> None:
        self._leg = None
        if self._over.done():
            return
        if not leg.codec.resumes:
            self.hang_up()
            return
        _log.info("media connection lost", extra={"call": self.id})
        self._speech.disconnect()
        self._playout.hold(True)
        if self._beside(self._nobody_hears()) is not None:
            self._lost = asyncio.get_running_loop().call_later(self._manners.resume_s, self.hang_up, "lost")

    async def _nobody_hears(self) -> None:
        await self._runner.receive(e.LineLost())
        await self._fill(STALL_FILL_MS)

    # ------------------------------------------------------------------------------ what comes in

    async def _take(self, event: LineEvent) -> None:
        match event:
            case LineAudio():
                await self._hear(event)
            case LineKey():
                await self._press(event.digit)
            case LineMark():
                await self._played(event.name)
            case LineStopped():
                self.hang_up()
            case LineStarted():
                _log.warning("carrier message refused", extra={"call": self.id, "reason": "a second start"})

    async def _hear(self, event: LineAudio) -> None:
        await self._runner.append(self._hearing.hear(event, self._line, self._samples))
        if self._stall is not None:
            self._stall.cancel()
        self._stall = asyncio.get_running_loop().call_later(STALL_MS / 1000, self._stalled)

    def _stalled(self) -> None:
        if self._leg is not None:
            self._beside(self._fill(STALL_FILL_MS))

    async def _fill(self, ms: int) -> None:
        """No sound comes: whoever was speaking is silent now."""
        await self._runner.append(self._hearing.nothing(ms))

    async def _press(self, digit: str) -> None:
        """Keys up to #, or up to a pause, are one turn."""
        self._courtesy.stir()
        await self._runner.receive(e.KeyPressed(digit))
        if self._keys_timer is not None:
            self._keys_timer.cancel()
        if digit != "#" or not self._keys:
            self._keys += digit
        if digit == "#":
            await self._typed()
        else:
            self._keys_timer = asyncio.get_running_loop().call_later(
                self._manners.keys_s, lambda: self._beside(self._typed())
            )

    async def _typed(self) -> None:
        keys, self._keys = self._keys, ""
        await self._runner.receive(e.KeysTyped(keys))

    async def _played(self, name: str) -> None:
        mark = self._speech.played(name)
        if mark is not None:
            await self._runner.receive(e.Played(*mark))
            self._courtesy.stir()

    # ----------------------------------------------------------------------------- what goes out

    async def send(self, event: e.Event) -> None:
        """See ``Peer``."""
        match event:
            case e.OutputAudioDelta():
                self._playout.add(event.item_id, event.audio, event.start)
            case e.OutputAudioDone():
                self._playout.complete(event.item_id)
            case e.ResponseCreated():
                self._language = event.response.language or self._language
                self._courtesy.see(event)
            case _:
                self._courtesy.see(event)

    async def clear_playout(self, item_id: str) -> None:
        """See ``Peer``."""
        await self._speech.clear()

    async def pause_playout(self, paused: bool) -> None:
        """See ``Peer``."""
        await self._speech.pause(paused)
