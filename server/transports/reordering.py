"""Frames that have overtaken each other, put in order again."""

from __future__ import annotations

from collections.abc import Iterator

from server.transports.carrier import LineAudio, LineEvent

_DEPTH = 3
"""Frames that are waited for: 60 ms. What comes later than that is lost."""


class Reordering:
    """One stream's. Frames without a number, and everything else, pass as they come."""

    def __init__(self) -> None:
        self._next: int | None = None
        self._waiting: dict[int, LineAudio] = {}

    def push(self, event: LineEvent) -> Iterator[LineEvent]:
        """What can be taken now."""
        if not isinstance(event, LineAudio) or event.number is None:
            yield event
            return
        if self._next is None:
            self._next = event.number
        if event.number < self._next:
            return
        self._waiting[event.number] = event
        if len(self._waiting) > _DEPTH:
            self._next = min(self._waiting)
        while self._next in self._waiting:
            yield self._waiting.pop(self._next)
            self._next += 1
