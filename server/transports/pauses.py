"""Cuts a recording at its pauses, from what the voice activity detector says about each 32 ms of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

FRAME = 512
"""Samples of a frame at 16 kHz."""

_BEGINS, _GOES_ON = 0.5, 0.35
"""Probability from which on a frame begins speech, and continues it."""
_PAUSE = 16
"""Frames without speech that end a piece: half a second."""
_SHORTEST = 3
_LONGEST = 20_000 // 32
_MARGIN = 6
"""Frames given to the transcriber on both sides: soft sounds at the edges. Twice that is less than a pause."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Speech between two pauses, in frames: start to end is speech, heard_from to heard_to goes to the transcriber.

    probability: of speech, mean over its frames.
    """

    start: int
    end: int
    heard_from: int
    heard_to: int
    probability: float


class PauseCutter:
    """``push`` probabilities in order, then ``flush``; pieces come out in order and do not overlap."""

    def __init__(self) -> None:
        self._probabilities: list[float] = []
        self._position = 0
        self._start: int | None = None
        self._speech_end = 0
        self._cut = False

    @property
    def needed_from(self) -> int:
        """The earliest frame that a later piece may reach back to."""
        return max(0, (self._position if self._start is None else self._start) - _MARGIN)

    def push(self, probabilities: Sequence[float]) -> list[Piece]:
        """The pieces that these frames complete."""
        return [piece for probability in probabilities for piece in self._take(probability)]

    def flush(self) -> list[Piece]:
        """The recording is over."""
        return [] if self._start is None else self._end(self._start)

    def _take(self, probability: float) -> list[Piece]:
        position = self._position
        self._position += 1
        if self._start is None:
            if probability < _BEGINS:
                return []
            self._start, self._cut = position, False
            self._probabilities.clear()
        self._probabilities.append(probability)
        if probability >= _GOES_ON:
            self._speech_end = position + 1
        if self._position - self._speech_end >= _PAUSE:
            return self._end(self._start)
        if self._position - self._start >= _LONGEST:
            return [self._split(self._start)]
        return []

    def _end(self, start: int) -> list[Piece]:
        self._start = None
        end = self._speech_end
        if end - start < _SHORTEST:
            return []
        return [self._piece(start, end, end + _MARGIN)]

    def _split(self, start: int) -> Piece:
        """Nobody pauses for breath: cut where speech is least likely, in the last third."""
        tail = self._probabilities[_LONGEST * 2 // 3 :]
        place = start + _LONGEST * 2 // 3 + tail.index(min(tail))
        piece = self._piece(start, place, place)
        self._probabilities = self._probabilities[place - start :]
        self._start, self._cut = place, True
        return piece

    def _piece(self, start: int, end: int, heard_to: int) -> Piece:
        probabilities = self._probabilities[: end - start]
        heard_from = start if self._cut else max(0, start - _MARGIN)
        return Piece(start, end, heard_from, heard_to, sum(probabilities) / len(probabilities))
