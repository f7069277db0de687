"""One phone call: a Session behind a carrier's media stream, and what a call has that a socket has not."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import replace

from server.core import events as e
from server.core.session import Session
from server.runtime.runner import Engines, Runner
from server.transports.base import DoorSettings, SessionObserver
from server.transports.carrier import (
    FRAME_MS,
    Frame,
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
from server.transports.manners import PROMPTS, WARNING_S, Manners, phrases
from server.transports.playout import Piece, Playout
from server.transports.timeline import STALL_FILL_MS, STALL_MS, Timeline
from server.transports.wire import new_id

_log = logging.getLogger(__name__)

_UNHEARD_S = 5.0
"""How long a mark is waited for that should have come."""


class _OverError(Exception):
    """The call has ended. outcome: one word of a fixed few, for the metrics."""

    def __init__(self, outcome: str) -> None:
        super().__init__(outcome)
        self.outcome = outcome


class Call:
    """``run`` it until it is over, and ``carry`` each of its media connections meanwhile."""

    def __init__(
        self,
        started: LineStarted,
        leg: Leg,
        engines: Engines,
        door: DoorSettings,
        manners: Manners,
        observer: SessionObserver,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.id = started.call_id
        self._manners, self._observer, self._clock = manners, observer, clock
        self._door = leg.codec.name
        self._marked = leg.codec.marks
        self._wire = started.format.session
        config = replace(door.config, input_format=self._wire, output_format=self._wire)
        self._phrases = phrases(config.language)
        self.session_id = new_id("sess")
        session = Session(self.session_id, config, new_id, policy=door.policy, marks=self._marked)
        toolbox = door.toolbox(self.session_id)
        self._runner = Runner(session, engines, self, observer, door.taps, toolbox=toolbox)
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
        self._reader: asyncio.Task[None] | None = None
        self._group: asyncio.TaskGroup | None = None
        self._running = asyncio.Event()
        self._sending = asyncio.Lock()
        self._over: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._streams: set[str] = set()
        self._marks: dict[str, tuple[str, int]] = {}
        self._sent = 0
        self._keys = ""
        self._keys_timer: asyncio.TimerHandle | None = None
        self._timeline = Timeline()
        self._stall: asyncio.TimerHandle | None = None
        self._lost: asyncio.TimerHandle | None = None
        self._making: set[str] = set()
        self._sayings = 0
        self._prompts = 0
        self._speaking = False
        self._stirred = clock()
        self._news = asyncio.Event()

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
                group.create_task(self._pump())
                group.create_task(self._mind_silence())
                group.create_task(self._mind_time())
                group.create_task(self._end())
                self._running.set()
                await self._say(self._manners.greeting or self._phrases.greeting, protected=True)
        except* _OverError as over:
            ended = over.exceptions[0]
            outcome = ended.outcome if isinstance(ended, _OverError) else outcome
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
            _log.info("call over", extra={"call": self.id, "outcome": outcome, "seconds": round(seconds, 1)})
            if self._leg is not None:
                await self._leg.close()

    def hang_up(self, outcome: str = "completed") -> None:
        """End the call now."""
        if not self._over.done():
            self._over.set_result(outcome)

    async def farewell(self, words: str, outcome: str = "completed") -> None:
        """Say this, and end the call when it was heard."""
        await self._say(words, protected=True)
        await self._until_heard()
        self.hang_up(outcome)

    async def _end(self) -> None:
        raise _OverError(await self._over)

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
        if self._over.done() or self._group is None:
            raise RefusedCall("the call is over")
        if self._reader is not None:
            self._reader.cancel()
        previous, self._leg = self._leg, leg
        reader = self._reader = self._group.create_task(self._read(started.format, previous, events))
        await asyncio.wait({reader})
        if self._leg is leg:
            await self._line_lost(leg)

    async def _read(self, line: LineFormat, previous: Leg | None, events: AsyncIterator[LineEvent]) -> None:
        resumed = len(self._streams) > 1
        self._line, self._timeline = line, Timeline()
        if self._lost is not None:
            self._lost.cancel()
        if previous is not None:
            await previous.close()
        if resumed:
            _log.info("call goes on over a new stream", extra={"call": self.id})
            await self._runner.receive(e.LineLost())
            await self._say(self._phrases.cut_off)
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
        self._playout.hold(True)
        self._lost = asyncio.get_running_loop().call_later(self._manners.resume_s, self.hang_up, "lost")
        assert self._group is not None
        self._group.create_task(self._nobody_hears())

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
        missing = self._timeline.missing_ms(event.at_ms, self._line.ms(event.audio))
        if missing:
            await self._runner.append(silence(self._wire, missing))
        await self._runner.append(self._line.hear(event.audio))
        if self._stall is not None:
            self._stall.cancel()
        self._stall = asyncio.get_running_loop().call_later(STALL_MS / 1000, self._stalled)

    def _stalled(self) -> None:
        if self._group is not None and self._leg is not None and not self._over.done():
            self._group.create_task(self._fill(STALL_FILL_MS))

    async def _fill(self, ms: int) -> None:
        """No sound comes: whoever was speaking is silent now."""
        self._timeline.fill(ms)
        await self._runner.append(silence(self._wire, ms))

    async def _press(self, digit: str) -> None:
        """Keys up to #, or up to a pause, are one turn."""
        self._stir()
        await self._runner.receive(e.KeyPressed(digit))
        if self._keys_timer is not None:
            self._keys_timer.cancel()
        if digit != "#" or not self._keys:
            self._keys += digit
        if digit == "#":
            await self._typed()
        else:
            self._keys_timer = asyncio.get_running_loop().call_later(self._manners.keys_s, self._keys_pause)

    def _keys_pause(self) -> None:
        if self._group is not None and not self._over.done():
            self._group.create_task(self._typed())

    async def _typed(self) -> None:
        keys, self._keys = self._keys, ""
        await self._runner.receive(e.KeysTyped(keys))

    async def _played(self, name: str) -> None:
        """A mark that was thrown away comes back, too, and is not known any more."""
        if name not in self._marks:
            return
        item_id, samples = self._marks.pop(name)
        await self._runner.receive(e.Played(item_id, samples))
        self._stir()

    # ----------------------------------------------------------------------------- what goes out

    async def send(self, event: e.Event) -> None:
        """See ``Peer``."""
        match event:
            case e.OutputAudioDelta():
                self._playout.add(event.item_id, event.audio, event.start)
            case e.OutputAudioDone():
                self._playout.complete(event.item_id)
            case e.ResponseCreated():
                self._making.add(event.response.id)
                self._begun()
            case e.ResponseDone():
                self._making.discard(event.response.id)
                self._stir()
            case e.SpeechStarted():
                self._speaking = True
                self._stir()
            case e.SpeechStopped():
                self._speaking = False
                self._stir()
            case _:
                pass

    async def clear_playout(self, item_id: str) -> None:
        """See ``Peer``."""
        self._playout.clear()
        self._marks.clear()
        self._news.set()
        leg = self._leg
        frame = None if leg is None else leg.codec.clear()
        if leg is not None and frame is not None:
            async with self._sending:
                await leg.send(frame)

    async def _pump(self) -> None:
        while True:
            piece = await self._playout.next()
            async with self._sending:
                if self._leg is not None and piece.epoch == self._playout.epoch:
                    await self._send_piece(self._leg, piece)
            self._news.set()

    async def _send_piece(self, leg: Leg, piece: Piece) -> None:
        await leg.send(leg.codec.audio(self._line.say(piece.audio)))
        self._sent += 1
        name = f"{piece.item_id}:{self._sent}"
        mark: Frame | None = leg.codec.mark(name)
        if mark is not None:
            self._marks[name] = piece.item_id, piece.end
            await leg.send(mark)

    # ----------------------------------------------------------------------------------- manners

    async def _say(self, words: str, *, protected: bool = False) -> None:
        self._sayings += 1
        await self._runner.receive(e.Say(words, protected))

    def _begun(self) -> None:
        """An answer of the model means that the caller has said something."""
        if self._sayings:
            self._sayings -= 1
        else:
            self._prompts = 0
        self._stir()

    def _stir(self) -> None:
        """Something has happened that the caller's silence counts from."""
        self._stirred = self._clock()
        self._news.set()

    @property
    def _quiet(self) -> bool:
        """Whether all that was said has been heard, and nobody speaks."""
        return not (self._making or self._speaking or self._marks) and self._playout.empty

    async def _until_heard(self) -> None:
        """Until all that is being said has reached the caller, or should have."""
        while self._making or not self._playout.empty:
            await self._wait_for_news()
        until = self._playout.plays_until + (_UNHEARD_S if self._marked else 0)
        while (self._marks or not self._marked) and (left := until - self._clock()) > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._wait_for_news()

    async def _wait_for_news(self) -> None:
        self._news.clear()
        await self._news.wait()

    async def _mind_silence(self) -> None:
        """Ask a caller who says nothing, twice; then end the call."""
        while True:
            await self._until_silent()
            if self._prompts >= PROMPTS:
                await self.farewell(self._phrases.goodbye, "silent")
                return
            self._prompts += 1
            await self._say(self._phrases.still_there)

    async def _until_silent(self) -> None:
        while True:
            left = None
            if self._quiet:
                left = max(self._stirred, self._playout.plays_until) + self._manners.silence_s - self._clock()
                if left <= 0:
                    return
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._wait_for_news()

    async def _mind_time(self) -> None:
        await asyncio.sleep(max(0.0, self._manners.max_s - WARNING_S))
        await self._say(self._phrases.one_minute)
        await asyncio.sleep(min(WARNING_S, self._manners.max_s))
        await self.farewell(self._phrases.time_is_up, "expired")
