"""How the server goes down: it refuses what is new, and what is under way may finish."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import FrameType

import uvicorn

from server.runtime.admission import Admission
from server.transports.calls import Calls

_log = logging.getLogger(__name__)

_GOODBYE_S = 15.0
"""For the last words of calls whose time is up."""


async def drain(admission: Admission, calls: Calls, session_s: float, call_s: float) -> None:
    """Until nothing is under way any more, or its time is up. session_s: of sessions over sockets and of requests;
    call_s: of phone calls, which say goodbye then. 0: no time at all."""
    admission.draining = True
    _log.info("draining", extra={"sessions": admission.active + admission.away, "requests": admission.requests})
    if call_s:
        calls.finish(call_s)
    with suppress(TimeoutError):
        async with asyncio.timeout(session_s):
            await admission.empty()
    admission.closing.set()
    if call_s:
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, call_s - session_s) + _GOODBYE_S):
                await calls.empty()
    _log.info("drained", extra={"sessions": admission.active + admission.away, "requests": admission.requests})


class DrainingServer(uvicorn.Server):
    """The first signal drains and then ends; the second ends at once. Meanwhile the listener stays open: who comes is
    told why not."""

    def __init__(self, config: uvicorn.Config, drain: Callable[[], Awaitable[None]]) -> None:
        super().__init__(config)
        self._drain = drain
        self._asked = False
        self._draining: asyncio.Task[None] | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """See uvicorn.Server."""
        if self._asked:
            super().handle_exit(sig, frame)
        self._asked = True

    async def on_tick(self, counter: int) -> bool:
        """See uvicorn.Server: ten times a second."""
        if self._asked and self._draining is None:
            self._draining = asyncio.create_task(self._drain_and_end())
        return await super().on_tick(counter)

    async def _drain_and_end(self) -> None:
        try:
            await self._drain()
        except Exception:
            _log.exception("draining failed")
        finally:
            self.should_exit = True
