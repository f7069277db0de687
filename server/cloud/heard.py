"""The caller's sound that a provider may still need to hear: when a connection is lost, the next one begins with it."""

from __future__ import annotations

from collections import deque

from server.core import events as e

_TICKS = 48_000
"""A second, in a unit that every wire format's sample is a whole number of."""
_LONGEST = 30 * _TICKS
_BEFORE = _TICKS
"""Speech begins before it is known to: this much of what seemed to be silence."""


class Heard:
    """Counts what comes in, and keeps the end of it."""

    def __init__(self) -> None:
        self._pieces: deque[tuple[bytes, int, e.AudioFormat]] = deque()
        self._kept = 0
        self._total = 0

    @property
    def position(self) -> int:
        """Samples received so far, on the input clock."""
        return self._total * e.INPUT_RATE // _TICKS

    @property
    def kept_from_ms(self) -> int:
        """Where in the caller's audio the kept end of it begins."""
        return (self._total - self._kept) * 1000 // _TICKS

    def add(self, audio: bytes, wire: e.AudioFormat, *, speaking: bool) -> None:
        """More of it. speaking: it may belong to a turn that is not over."""
        length = len(audio) // wire.width * _TICKS // wire.rate
        self._pieces.append((audio, length, wire))
        self._kept += length
        self._total += length
        self._trim(_LONGEST if speaking else _BEFORE)

    def clear(self) -> None:
        """All so far belongs to a turn that the provider has, or to none."""
        self._trim(0)

    def pieces(self) -> list[tuple[bytes, e.AudioFormat]]:
        """What is kept, oldest first, and the format of each piece."""
        return [(audio, wire) for audio, _, wire in self._pieces]

    def _trim(self, most: int) -> None:
        while self._kept > most:
            self._kept -= self._pieces.popleft()[1]
