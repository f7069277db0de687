"""What an agent says before anybody has asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from server.core import events as e
from server.transports.base import AudioAppend

_PATIENCE_S = 0.5
"""A client says within this time how it wants to hear, or takes what there is."""


class Opening:
    """One session's. Said when the client has set its session up, or sends audio, or waits. A client that begins to
    write or to ask by itself leads the conversation: then it is not said."""

    def __init__(self, words: str, patience_s: float = _PATIENCE_S) -> None:
        self._words = words
        self._patience_s = patience_s
        self._ready = asyncio.Event()

    def client_did(self, what: e.Input | AudioAppend) -> None:
        """The client's command has been carried out."""
        if isinstance(what, e.CreateItem | e.CreateResponse) and not self._ready.is_set():
            self._words = ""
        self._ready.set()

    async def say(self, receive: Callable[[e.Input], Awaitable[None]]) -> None:
        """Wait for the moment, then have the session say it."""
        try:
            async with asyncio.timeout(self._patience_s):
                await self._ready.wait()
        except TimeoutError:
            self._ready.set()
        if self._words:
            await receive(e.Say(self._words))
