"""Our own voice, coming back softly over the line, is not the caller's.

No echo canceller: networks have those. What they leave over is far softer than what was sent, and a caller who speaks
up is not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np

from models.base import Pcm16

_SOFTER_DB = 15.0
"""By so much, at least, an echo is softer than the voice that it comes from."""
_WORD_S = 0.3
"""Behind a frame that is none, what is softer belongs to the same words: without its consonants "human please" is
"unm lea" to a recogniser."""
_TAIL_S = 0.6
"""The longest way there and back, the carrier's buffer included."""


class EchoGate:
    """One line's. Levels are root mean squares of frames."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._said: deque[tuple[float, float]] = deque()
        self._open_until = 0.0

    def said(self, pcm: Pcm16, until: float) -> None:
        """This is being played, up to that moment of the clock."""
        self._said.append((until + _TAIL_S, _level(pcm)))

    def is_echo(self, pcm: Pcm16) -> bool:
        """Whether a frame from the line is too soft to be anything but what was just said."""
        now = self._clock()
        while self._said and self._said[0][0] < now:
            self._said.popleft()
        if not self._said:
            return False
        if _level(pcm) >= max(level for _, level in self._said) * 10 ** (-_SOFTER_DB / 20):
            self._open_until = now + _WORD_S
        return now >= self._open_until


def _level(pcm: Pcm16) -> float:
    return float(np.sqrt(np.mean(np.square(pcm, dtype=np.float64)))) if len(pcm) else 0.0
