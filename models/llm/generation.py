"""One generation on its way from a worker thread to the event loop."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence

_HAND_OVER_S = 0.005
"""Tokens that come faster than this wake the event loop together."""


class Generation:
    """Tokens put in by a worker thread, taken out on the event loop, which waits for ``ready``.

    stopped: set by whoever wants the generation to end; the worker sees it at its next token. opening: text that
    counts as generated before the first token. generated: tokens sampled so far; last: the latest, -1 before the first.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.ready = asyncio.Event()
        self.stopped = False
        self.opening = ""
        self.generated = 0
        self.last = -1
        self._loop = loop
        self._tokens: deque[int] = deque()
        self._woken = 0.0

    def put(self, ids: Sequence[int]) -> None:
        """Tokens that the model did not sample itself."""
        self._tokens.extend(ids)

    def on_token(self, token: int) -> bool:
        """Called in the worker thread for each token that the model samples; true ends the generation."""
        self.generated += 1
        self.last = token
        self._tokens.append(token)
        now = time.monotonic()
        if now - self._woken >= _HAND_OVER_S:
            self._woken = now
            try:
                self._loop.call_soon_threadsafe(self.ready.set)
            except RuntimeError:  # the loop was closed: nobody listens any more
                self.stopped = True
        return self.stopped

    def take(self) -> list[int]:
        """What has come since the last call. The worker does not wake the loop for its last tokens: whoever sees the
        work end takes them."""
        return [self._tokens.popleft() for _ in range(len(self._tokens))]
