"""The caller's sound: what a provider may still need to hear when its connection is lost, and each turn's own."""

from __future__ import annotations

from collections import deque

from server.core import events as e

_TICKS = 48_000
"""A second, in a unit that every wire format's sample is a whole number of."""
_LONGEST = 60 * _TICKS
_BEFORE = _TICKS
"""Speech begins before it is known to: this much of what seemed to be silence."""


class Heard:
    """Counts what comes in, and keeps the end of it."""

    def __init__(self) -> None:
        self._pieces: deque[tuple[bytes, int, e.AudioFormat]] = deque()
        self._kept = 0
        self._total = 0
        self._turn: tuple[int, int | None] = (0, None)

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

    def begin(self, start_ms: int) -> None:
        """A turn begins there."""
        self._turn = (start_ms * _TICKS // 1000, None)

    def end(self, end_ms: int) -> None:
        """The turn ends there."""
        self._turn = (self._turn[0], end_ms * _TICKS // 1000)

    def take(self) -> bytes:
        """The turn is the provider's now: its sound, as far as it is kept. Nobody needs that again."""
        start, end = self._turn
        end = self._total if end is None else end
        sound, at = b"", self._total - self._kept
        for audio, length, wire in self._pieces:
            first, last = (min(max(mark - at, 0), length) * wire.rate // _TICKS for mark in (start, end))
            sound += audio[first * wire.width : last * wire.width]
            at += length
        self._trim(max(0, self._total - end))
        self._turn = (end, None)
        return sound

    def clear(self) -> None:
        """All so far belongs to no turn."""
        self._trim(0)
        self._turn = (self._total, None)

    def pieces(self) -> list[tuple[bytes, e.AudioFormat]]:
        """What is kept, oldest first, and the format of each piece."""
        return [(audio, wire) for audio, _, wire in self._pieces]

    def _trim(self, most: int) -> None:
        while self._kept > most:
            self._kept -= self._pieces.popleft()[1]
