"""What a caller hears, and when: the server's sound, played in real time as it comes.

The rule is that of a plain client. Sound is played when it arrives, or behind what is still to be played; there is no
buffer that waits. A flush drops what is not played yet, at once; what comes after it is played again. A device adds the
same few milliseconds for every server, and is left out. All moments are seconds of one clock, of which arrivals are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.speech import AUDIBLE

_GAP_S = 0.02
"""A shorter gap is no underrun, but jitter that a device's own buffer takes up."""


@dataclass(slots=True)
class Played:
    """A piece of sound. start, end: moments of its first sample and behind its last one. audible: moments of
    its first and behind its last audible sample, None for a silent piece."""

    answer: str
    start: float
    end: float
    audible: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Underrun:
    answer: str
    at: float
    gap_s: float


class Loudspeaker:
    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._pieces: list[Played] = []
        self.underruns: list[Underrun] = []
        self.received: dict[str, float] = {}
        """Seconds of sound that came, by answer."""

    @property
    def free_at(self) -> float:
        """The moment at which all that has come is played; minus infinity before the first sound."""
        return self._pieces[-1].end if self._pieces else -math.inf

    def take(self, answer: str, pcm: NDArray[np.int16], arrived: float) -> None:
        """Sound has arrived."""
        if not len(pcm):
            return
        last = self._pieces[-1] if self._pieces else None
        start = max(arrived, self.free_at)
        if last is not None and last.answer == answer and start - last.end > _GAP_S:
            self.underruns.append(Underrun(answer, start, start - last.end))
        loud = np.flatnonzero(np.abs(pcm.astype(np.int32)) > AUDIBLE)
        first, last_loud = (int(loud[0]), int(loud[-1]) + 1) if len(loud) else (0, 0)
        audible = (start + first / self._rate, start + last_loud / self._rate) if len(loud) else None
        self._pieces.append(Played(answer, start, start + len(pcm) / self._rate, audible))
        self.received[answer] = self.received.get(answer, 0.0) + len(pcm) / self._rate

    def flush(self, at: float) -> str | None:
        """Drop what is not played yet; the answer that this stopped, None if all was silent."""
        stopped = self.playing(at)
        self._pieces = [piece for piece in self._pieces if piece.start < at]
        if self._pieces and self._pieces[-1].end > at:
            piece = self._pieces[-1]
            heard = piece.audible
            if heard is not None:
                heard = (heard[0], min(heard[1], at)) if heard[0] < at else None
            self._pieces[-1] = Played(piece.answer, piece.start, at, heard)
        return stopped

    def playing(self, at: float) -> str | None:
        """The answer that is played at this moment, or next."""
        return next((piece.answer for piece in self._pieces if piece.end > at), None)

    def first_audible(self, answer: str) -> float | None:
        """The moment of its first audible sample."""
        return next((piece.audible[0] for piece in self._of(answer) if piece.audible), None)

    def last_sample(self, answer: str) -> float | None:
        """The moment behind its last sample that is played."""
        pieces = self._of(answer)
        return pieces[-1].end if pieces else None

    def played_s(self, answer: str) -> float:
        """Seconds of it that are played in the end."""
        return sum(piece.end - piece.start for piece in self._of(answer))

    def _of(self, answer: str) -> list[Played]:
        return [piece for piece in self._pieces if piece.answer == answer]
