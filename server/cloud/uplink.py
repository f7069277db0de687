"""A session's connection to its provider: made, made again, and replaced before it ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from models.base import VoiceError
from server.cloud import base as b
from server.cloud.link import DialError, Incoming, Link, Lost, Pool, Socket, shut

_log = logging.getLogger(__name__)

_RENEW_AGAIN_S = 30.0
"""A fresh connection could not be had while the old one works: when to try again."""
_PROVEN_S = 60.0
"""A connection that has lived so long was a good one: losing it is a first failure."""


@dataclass(frozen=True, slots=True)
class Patience:
    """delays_s: the wait before each attempt to connect; after the last one the session ends. silent_s: a provider that
    owes an answer and says nothing for so long is hung up on."""

    delays_s: tuple[float, ...] = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
    silent_s: float = 30.0


PATIENCE = Patience()


class Presence(Protocol):
    """Who must know that a session is at a provider."""

    async def begin(self) -> None:
        """Before anything of it leaves this machine. Raises VoiceError when it must not."""
        ...

    async def end(self, *, failed: bool) -> None:
        """Nothing more leaves. failed: the provider could not be had, or not any more."""
        ...


class _Unseen:
    async def begin(self) -> None: ...

    async def end(self, *, failed: bool) -> None: ...


UNSEEN = _Unseen()


class Uplink:
    """One session's. deliver: takes what the connection in use brings. remind: called when it should be replaced."""

    def __init__(
        self,
        dialect: b.Dialect,
        pool: Pool,
        presence: Presence,
        patience: Patience,
        deliver: Callable[[Incoming | Lost], Awaitable[None]],
        remind: Callable[[], None],
        who: dict[str, str],
    ) -> None:
        self._dialect, self._pool, self._patience = dialect, pool, patience
        self._deliver, self._remind, self._who = deliver, remind, who
        self._presence = presence
        self._there = self._failed = False
        self._link: Link | None = None
        self._next: asyncio.Task[Socket] | None = None
        self._attempts = 0
        self._since = 0.0
        self._alarm: asyncio.TimerHandle | None = None
        self._silence: asyncio.TimerHandle | None = None
        self._leaving: set[asyncio.Task[None]] = set()

    def uses(self, link: Link) -> bool:
        """Whether this is the connection in use, and not one before it."""
        return link is self._link

    @property
    def up(self) -> bool:
        """Whether there is one."""
        return self._link is not None

    def send(self, frame: b.Frame) -> None:
        """In its turn; lost without a connection."""
        if self._link is not None:
            self._link.send(frame)

    async def room(self) -> None:
        """Until little enough waits to be sent."""
        if self._link is not None:
            await self._link.room()

    def proven(self) -> None:
        """The provider has given an answer: the next failure is a first one."""
        self._attempts = 0

    def expects(self, answer: bool, *, news: bool) -> None:
        """answer: whether the provider owes one. news: whether it has just said something."""
        if self._silence is not None and (news or not answer):
            self._silence.cancel()
            self._silence = None
        if answer and self._silence is None and self._link is not None:
            self._silence = asyncio.get_running_loop().call_later(self._patience.silent_s, self._link.abort)

    async def connect(self) -> b.Ended | None:
        """Have a connection on which nothing was said yet, trying again as long as that may help. Returns why there is
        none."""
        if not self._there:
            try:
                await self._presence.begin()
            except VoiceError as refusal:
                return b.Ended(False, str(refusal))
            self._there = True
        if self._since and asyncio.get_running_loop().time() - self._since > _PROVEN_S:
            self._attempts = 0
        ended = b.Ended(True, "the provider ends each connection")
        while self._attempts < len(self._patience.delays_s):
            await asyncio.sleep(self._patience.delays_s[self._attempts])
            self._attempts += 1
            failed = await self.attempt()
            if failed is None:
                return None
            ended = failed
            if not ended.retryable:
                break
        self._failed = True
        return ended

    def ahead(self) -> bool:
        """Whether the next connection is there to move on to, or cannot be had. If neither, it is being made, and
        ``remind`` is called once that is over: nobody has to wait for a handshake while this connection works."""
        if self._next is None:
            self._next = asyncio.create_task(self._pool.take(self._dialect.address()))
            self._next.add_done_callback(lambda task: None if task.cancelled() else self._remind())
        return self._next.done()

    async def attempt(self) -> b.Ended | None:
        """The same as ``connect``, once. The connection in use, if there is one, is let go for the new one only."""
        ahead, self._next = self._next, None
        try:
            socket = await (ahead or self._pool.take(self._dialect.address()))
        except DialError as error:
            ended = self._dialect.rejected(error.status, error.body)
            _log.warning("no connection", extra={**self._who, "status": error.status, "reason": ended.reason})
            self._alarm_in(_RENEW_AGAIN_S)
            return ended
        self.drop()
        self._link = Link(socket, self._deliver)
        self._since = asyncio.get_running_loop().time()
        self._alarm_in(self._dialect.max_session_s)
        return None

    def drop(self) -> None:
        """Let go of the connection in use."""
        self.expects(False, news=True)
        if self._link is not None:
            task = asyncio.create_task(self._link.close())
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)
            self._link = None

    def _alarm_in(self, seconds: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = asyncio.get_running_loop().call_later(seconds, self._remind)

    async def close(self) -> None:
        """The session is over."""
        if self._alarm is not None:
            self._alarm.cancel()
        self.drop()
        await asyncio.gather(*self._leaving, return_exceptions=True)
        if self._next is not None:
            self._next.cancel()
            [made] = await asyncio.gather(self._next, return_exceptions=True)
            if not isinstance(made, BaseException):
                await shut(made)
        if self._there:
            self._there = False
            await self._presence.end(failed=self._failed)
