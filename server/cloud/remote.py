"""Runs a session whose models are a hosted provider's, as ``Runner`` does one with models on this machine.

One inbox and one consumer, as there: client commands, facts of the door and of server tools, and the provider's frames
are taken one by one. The provider's connection is replaced when it is lost and before it reaches its limit; the
conversation goes on over the new one, told again as text.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from server.cloud import base as b
from server.cloud.heard import Heard
from server.cloud.link import Incoming, Lost, Pool
from server.cloud.remote_tools import RemoteTools
from server.cloud.session import RemoteSession
from server.cloud.turn_times import TurnTimes
from server.cloud.uplink import PATIENCE, UNSEEN, Patience, Presence, Uplink
from server.core import events as e
from server.core.doubts import Sound
from server.runtime.live import SessionPlan
from server.runtime.runner import Peer
from server.runtime.stages import Timings

_INBOX = 256


class RemoteRunner:
    """See ``LiveSession``. provider: its name, for logs and errors. dialect: this session's own. presence: told when
    it begins to be there, and when it has left."""

    def __init__(
        self,
        plan: SessionPlan,
        peer: Peer,
        provider: str,
        dialect: b.Dialect,
        pool: Pool,
        presence: Presence = UNSEEN,
        patience: Patience = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._provider, self._dialect = provider, dialect
        self._inbox: asyncio.Queue[e.Input | Incoming | Lost | asyncio.Event | None] = asyncio.Queue(_INBOX)
        self._heard = Heard()
        who = {"session": plan.id, "provider": provider}
        self._uplink = Uplink(dialect, pool, presence, patience, self._inbox.put, self._remind, who)
        self._tools = RemoteTools(plan.id, plan.toolbox, self._inbox.put, clock)
        self._times = TurnTimes(dialect, self._heard, clock, plan.observer)
        self._session = RemoteSession(
            plan, peer, provider, dialect, self._uplink, self._heard, self._tools, self._times
        )

    # ------------------------------------------------------------------------------------- the door

    @property
    def position(self) -> int:
        """Input samples received so far."""
        return self._heard.position

    @property
    def config(self) -> e.SessionConfig:
        """The session's configuration, as far as it is not refused."""
        return self._session.config

    @property
    def served_by(self) -> str:
        """The provider."""
        return self._provider

    @property
    def sound(self) -> Sound:
        """What is on the caller's side of the line: the provider tells of words when they are over."""
        return Sound.UNKNOWN if self._session.speaking else Sound.NOTHING

    async def append(self, samples: bytes, event_id: str | None = None) -> None:
        """Audio of the caller, in the session's input format. Returns when there is room for more."""
        wire = self._session.config.input_format
        self._heard.add(samples, wire, speaking=self._session.caller_may_speak)
        if self._uplink.up:
            self._session.hear(samples, wire)
            await self._uplink.room()

    async def receive(self, fact: e.Input) -> None:
        """A client's command, or a fact that the door knows. Returns once it is on its way."""
        done = asyncio.Event()
        await self._inbox.put(fact)
        await self._inbox.put(done)
        await done.wait()

    def audio(self, item: e.Item) -> bytes | None:
        """The samples of an item's audio, as they were on the wire."""
        return self._session.audio(item.id)

    def timings(self, response_id: str) -> Timings | None:
        """See ``LiveSession``: as far as the provider's events tell."""
        return self._times.of(response_id)

    # --------------------------------------------------------------------------------- the consumer

    async def run(self) -> None:
        """Hold the conversation until cancelled. Raises EngineError when the provider will not."""
        try:
            await self._session.begin()
            self._uplink.expects(self._session.owed, news=False)
            while True:
                what = await self._inbox.get()
                await self._take(what)
                await self._session.go_on()
                self._uplink.expects(self._session.owed, news=isinstance(what, Incoming))
        finally:
            self._tools.close()
            await self._uplink.close()

    async def _take(self, what: e.Input | Incoming | Lost | asyncio.Event | None) -> None:
        match what:
            case asyncio.Event():
                what.set()
            case Incoming():
                if self._uplink.uses(what.link):
                    await self._session.do(self._dialect.read(what.frame))
            case Lost():
                if self._uplink.uses(what.link):
                    await self._session.ended(self._dialect.closed(what.code, what.reason))
            case None:
                self._session.renew = True
            case _:
                await self._session.input(what)

    def _remind(self) -> None:
        # A full inbox is taken from soon, and what is in there leads to the same question.
        self._session.renew = True
        with suppress(asyncio.QueueFull):
            self._inbox.put_nowait(None)
