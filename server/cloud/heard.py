"""The caller's sound: what a provider may still need to hear when its connection is lost, and each turn's own."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from server.core import events as e

_TICKS = 48_000
"""A second, in a unit that every wire format's sample is a whole number of."""
_LONGEST = 60 * _TICKS
_BEFORE = _TICKS
"""Speech begins before it is known to: this much of what seemed to be silence."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """Whole samples, ``length`` ticks of them: a second at most."""

    audio: bytes
    length: int
    wire: e.AudioFormat

    def part(self, start: int, end: int) -> bytes:
        """From tick to tick of it, as far as it goes."""
        first, last = (min(max(mark, 0), self.length) * self.wire.rate // _TICKS for mark in (start, end))
        return self.audio[first * self.wire.width : last * self.wire.width]


class Heard:
    """Counts what comes in, and keeps the end of it."""

    def __init__(self) -> None:
        self._pieces: deque[_Piece] = deque()
        self._kept = 0
        self._total = 0
        self._turn: tuple[int, int | None] = (0, None)
        self._resent = False

    @property
    def position(self) -> int:
        """Samples received so far, on the input clock."""
        return self._total * e.INPUT_RATE // _TICKS

    @property
    def kept_from_ms(self) -> int:
        """Where in the caller's audio the kept end of it begins."""
        return (self._total - self._kept) * 1000 // _TICKS

    @property
    def empty(self) -> bool:
        """Whether nothing is kept."""
        return not self._kept

    def add(self, audio: bytes, wire: e.AudioFormat, *, speaking: bool) -> None:
        """More of it. speaking: it may belong to a turn that is not over."""
        second = wire.rate * wire.width
        for start in range(0, len(audio) // wire.width * wire.width, second):
            sound = audio[start : start + second]
            samples = len(sound) // wire.width
            self._append(_Piece(sound[: samples * wire.width], samples * _TICKS // wire.rate, wire))
        self._trim(_LONGEST if speaking or self._resent else _BEFORE)

    def _append(self, piece: _Piece) -> None:
        self._pieces.append(piece)
        self._kept += piece.length
        self._total += piece.length

    def begin(self, start_ms: int) -> None:
        """A turn begins there."""
        self._turn = (start_ms * _TICKS // 1000, None)
        self._resent = False

    def end(self, end_ms: int) -> None:
        """The turn ends there."""
        self._turn = (self._turn[0], end_ms * _TICKS // 1000)

    def take(self) -> bytes:
        """The turn is the provider's now: its sound, as far as it is kept. Nobody needs that again."""
        start, end = self._turn
        end = self._total if end is None else end
        sound, at = [], self._total - self._kept
        for piece in self._pieces:
            sound.append(piece.part(start - at, end - at))
            at += piece.length
        self._trim(max(0, self._total - end))
        self._turn, self._resent = (end, None), False
        return b"".join(sound)

    def clear(self) -> None:
        """All so far belongs to no turn."""
        self._trim(0)
        self._turn, self._resent = (self._total, None), False

    def again(self, wire: e.AudioFormat) -> Iterator[bytes]:
        """What is kept in this format, oldest first, for a new connection: a second at a time, in however small pieces
        it came. What may be speech stays kept until that connection tells of a turn."""
        self._resent = self._kept > _BEFORE
        for kind, pieces in groupby(list(self._pieces), key=lambda piece: piece.wire):
            if kind is wire:
                sound, second = b"".join(piece.audio for piece in pieces), wire.rate * wire.width
                yield from (sound[start : start + second] for start in range(0, len(sound), second))

    def _trim(self, most: int) -> None:
        while self._pieces and self._kept - self._pieces[0].length >= most:
            self._kept -= self._pieces.popleft().length
        surplus = self._kept - most
        if surplus > 0:
            # The piece is cut: what a provider was told of already must not be told again.
            first = self._pieces[0]
            self._pieces[0] = _Piece(first.part(surplus, first.length), first.length - surplus, first.wire)
            self._kept = most
