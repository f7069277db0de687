"""Whether this machine's engines answer: looked at once at the start, and again when sessions see them fail."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from server.core import events as e

_log = logging.getLogger(__name__)

_FAILURES = 3
"""In a row, over all sessions, before the engines are looked at. One may be the fault of what was asked."""
_AGAIN_S = 5.0
_LOOK_S = 120.0
"""An engine that takes longer than this to answer the shortest question does not answer."""


class Health:
    """Calling it is the tap that sees failures. ``watch`` it for as long as the server runs."""

    def __init__(
        self, look: Callable[[], Awaitable[None]], again_s: float = _AGAIN_S, failures: int = _FAILURES
    ) -> None:
        """look: has every engine answer once, and raises when one does not. again_s: pause after a look in vain."""
        self._look, self._again_s, self._failures = look, again_s, failures
        self._in_a_row = {"transcription": 0, "response": 0}
        self._doubt = asyncio.Event()
        self._missing: str | None = "engines are warming up"
        self._ill = False

    @property
    def missing(self) -> str | None:
        """Why a caller would not be answered now, None if one would."""
        return self._missing

    @property
    def ill(self) -> bool:
        """They failed, and have not answered since. Not so at the start: then they have only not been asked yet."""
        return self._ill

    def __call__(self, session_id: str, input: e.Input | None, outputs: Sequence[e.Output]) -> None:
        match input:
            case e.TranscriptFailed():
                self._failed("transcription")
            case e.ResponseFailed():
                self._failed("response")
            case e.TranscriptFinal():
                self._in_a_row["transcription"] = 0
            # What is recited, an apology for instance, says nothing about the chat model.
            case e.ResponseFinished(usage=usage) if usage.output_text:
                self._in_a_row["response"] = 0
            case _:
                pass

    async def watch(self) -> None:
        """Until cancelled."""
        while True:
            if await self._answer():
                await self._doubt.wait()
            else:
                await asyncio.sleep(self._again_s)

    def _failed(self, work: str) -> None:
        self._in_a_row[work] += 1
        if self._in_a_row[work] >= self._failures and not self._doubt.is_set():
            _log.error("engines fail", extra={"work": work, "in_a_row": self._in_a_row[work]})
            self._doubt.set()
            self._missing, self._ill = "engines fail", True

    async def _answer(self) -> bool:
        self._doubt.clear()
        try:
            async with asyncio.timeout(_LOOK_S):
                await self._look()
        except Exception as error:  # whatever it is, they do not answer
            self._missing, self._ill = f"engines do not answer: {error or type(error).__name__}", True
            _log.exception("engines do not answer")
            return False
        self._in_a_row = dict.fromkeys(self._in_a_row, 0)
        if self._missing is not None:
            _log.info("ready")
        self._missing, self._ill = None, False
        return True
