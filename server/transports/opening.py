"""What an agent says before anybody has asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from server.core import events as e
from server.transports.base import AudioAppend

_PATIENCE_S = 0.4
"""A client says within this time how it wants to hear, or takes what there is."""
_NEXT_S = 0.15
"""A client that has set its session up and leads the conversation sends its question behind that."""


class Opening:
    """One session's. Said when the client sends audio, or has set its session up, or waits. A client that begins to
    write or to ask by itself leads the conversation: then it is not said."""

    def __init__(self, words: str, patience_s: float = _PATIENCE_S, next_s: float = _NEXT_S) -> None:
        self._words = words
        self._patience_s = patience_s
        self._next_s = next_s
        self._set_up = asyncio.Event()
        self._begun = asyncio.Event()
        self._over = False

    def client_did(self, what: e.Input | AudioAppend) -> None:
        """The client's command has been carried out."""
        leads = isinstance(what, e.CreateItem | e.CreateResponse)
        if leads and not self._over:
            self._words = ""
        self._set_up.set()
        if leads or isinstance(what, AudioAppend):
            self._begun.set()

    async def say(self, receive: Callable[[e.Input], Awaitable[None]]) -> None:
        """Wait for the moment, then have the session say it."""
        for event, patience_s in ((self._set_up, self._patience_s), (self._begun, self._next_s)):
            with suppress(TimeoutError):
                async with asyncio.timeout(patience_s):
                    await event.wait()
        self._over = True
        if self._words:
            await receive(e.Say(self._words))
