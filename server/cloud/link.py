"""Connections to a provider: made ahead, written in order, and given up when the other side takes nothing."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from server.cloud.base import Address, Frame

_log = logging.getLogger(__name__)

_ROOM = 256
"""Frames that may wait before the caller's audio has to."""
_MOST = 4096
"""Frames that may wait at all: commands do not."""
_STALLED_S = 10.0
"""A provider that takes nothing for so long is gone. The library's own pings would wait for it, too."""
_GOODBYE_S = 2.0
ABNORMAL = 1006
"""Close code of a connection that just broke (RFC 6455 section 7.1.5)."""


class DialError(Exception):
    """No connection. status: of the HTTP answer, 0 when there was none. body: of the answer, or what went wrong."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"{status}: {body}" if status else body)
        self.status = status
        self.body = body


class Socket(Protocol):
    """A WebSocket that is open: websockets' ClientConnection is one."""

    async def send(self, message: Frame) -> None: ...
    async def recv(self) -> Frame: ...
    async def close(self) -> None: ...
    @property
    def transport(self) -> asyncio.WriteTransport: ...
    @property
    def close_code(self) -> int | None: ...
    @property
    def close_reason(self) -> str | None: ...


Dial = Callable[[str, Mapping[str, str]], Awaitable[Socket]]
"""Connects: URL and headers. Raises DialError."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A frame has come."""

    link: Link
    frame: Frame


@dataclass(frozen=True, slots=True)
class Lost:
    """Nothing more will come."""

    link: Link
    code: int
    reason: str


Deliver = Callable[[Incoming | Lost], Awaitable[None]]


class Link:
    """One connection in use. What comes is delivered in order, ``Lost`` last."""

    def __init__(self, socket: Socket, deliver: Deliver, stalled_s: float = _STALLED_S) -> None:
        self._socket = socket
        self._deliver = deliver
        self._stalled_s = stalled_s
        self._waiting: deque[Frame] = deque()
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._broken = False
        self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._write())]

    def send(self, frame: Frame) -> None:
        """In its turn. A provider that takes nothing any more is hung up on."""
        if self._broken:
            return
        self._waiting.append(frame)
        self._news.set()
        if len(self._waiting) >= _ROOM:
            self._room.clear()
        if len(self._waiting) > _MOST:
            self.abort()

    async def room(self) -> None:
        """Until little enough waits, or nothing will ever be sent."""
        await self._room.wait()

    def abort(self) -> None:
        """Hang up at once. ``Lost`` is delivered."""
        self._socket.transport.abort()
        self._give_up()

    async def close(self) -> None:
        """Say goodbye, and wait for it shortly. Nothing is delivered any more."""
        self._give_up()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await shut(self._socket)

    def _give_up(self) -> None:
        self._broken = True
        self._waiting.clear()
        self._room.set()
        self._news.set()

    async def _write(self) -> None:
        try:
            while not self._broken:
                await self._news.wait()
                self._news.clear()
                while self._waiting:
                    async with asyncio.timeout(self._stalled_s):
                        await self._socket.send(self._waiting[0])
                    if self._waiting:
                        self._waiting.popleft()
                    if len(self._waiting) < _ROOM:
                        self._room.set()
        except Exception as error:
            _log.debug("nothing more can be sent", extra={"reason": type(error).__name__})
        self._give_up()
        await shut(self._socket)

    async def _read(self) -> None:
        try:
            while True:
                await self._deliver(Incoming(self, await self._socket.recv()))
        except Exception as error:
            _log.debug("nothing more will come", extra={"reason": type(error).__name__})
        code = self._socket.close_code
        self._give_up()
        await self._deliver(Lost(self, ABNORMAL if code is None else code, self._socket.close_reason or ""))


class Pool:
    """Connections that are made before they are needed, so that a call does not wait for a handshake. A spare one is
    made whenever one is taken; it is of use for ``age_s`` seconds."""

    def __init__(
        self, dial: Dial, spares: int = 1, age_s: float = 240.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._dial, self._spares, self._age_s, self._clock = dial, spares, age_s, clock
        self._ready: deque[tuple[Address, float, Socket]] = deque()
        self._making: set[asyncio.Task[None]] = set()
        self._waited_for = 0
        self._closing: set[asyncio.Task[None]] = set()

    async def take(self, address: Address) -> Socket:
        """A connection on which nothing was said by us. Raises DialError."""
        taken = None
        while taken is None:
            if self._ready:
                known, since, socket = self._ready.popleft()
                fresh = self._clock() - since <= self._age_s and socket.close_code is None
                if known == address and fresh:
                    taken = socket
                else:
                    self._let_go(socket)
            elif len(making := [task for task in self._making if not task.done()]) > self._waited_for:
                await self._wait_for_one_of(making)
            else:
                # All that are being made have somebody who waits for them: calls do not queue for one handshake.
                taken = await self._dial(address.url, address.headers)
        self.prepare(address)
        return taken

    async def _wait_for_one_of(self, making: Sequence[asyncio.Task[None]]) -> None:
        self._waited_for += 1
        try:
            await asyncio.wait(making, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._waited_for -= 1

    def prepare(self, address: Address) -> None:
        """Make the spare ones that are missing."""
        for _ in range(self._spares - len(self._ready) - len(self._making)):
            task = asyncio.create_task(self._make(address))
            self._making.add(task)
            task.add_done_callback(self._making.discard)

    async def close(self) -> None:
        """Let go of all that were made in vain."""
        for task in self._making:
            task.cancel()
        for _, _, socket in self._ready:
            self._let_go(socket)
        self._ready.clear()
        await asyncio.gather(*self._making, *self._closing, return_exceptions=True)

    async def _make(self, address: Address) -> None:
        try:
            socket = await self._dial(address.url, address.headers)
        except DialError as error:
            # Whoever needs one will try by itself, and say what is wrong.
            _log.debug("no spare connection", extra={"status": error.status})
            return
        entry = (address, self._clock(), socket)
        self._ready.append(entry)
        asyncio.get_running_loop().call_later(self._age_s, self._expire, entry)

    def _expire(self, entry: tuple[Address, float, Socket]) -> None:
        if entry in self._ready:
            self._ready.remove(entry)
            self._let_go(entry[2])

    def _let_go(self, socket: Socket) -> None:
        task = asyncio.create_task(shut(socket))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


async def shut(socket: Socket) -> None:
    """Say goodbye, but wait for no answer for long."""
    with suppress(Exception):
        async with asyncio.timeout(_GOODBYE_S):
            await socket.close()
    if socket.close_code is None:
        socket.transport.abort()
