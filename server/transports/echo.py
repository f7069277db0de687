"""Our own voice, coming back softly over the line, is not the caller's.

No echo canceller: networks have those. What they leave over is far softer than what was sent, and a caller who speaks
up is not. How much softer it is on this line is learnt while we speak (its echo return loss, ITU-T G.131): where
nothing comes back, the softest consonant of a caller is heard.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np

from models.base import Pcm16

_SOFTER_DB = -15.0
"""Whatever the line is like: what is no softer than this beside our voice is no echo."""
_ABOVE_DB = 10.0
"""Echoes rise so far over their usual level."""
_USUAL = 0.95
"""The quantile that is usual. Most of the time there is little to come back: our pauses, the way there."""
_FRAMES = 100
"""In which it is looked for (2 s of our speech)."""
_FADE_DB = 0.2
"""By which, with each frame, what was usual once counts for less: by 10 dB in a second of our speech."""
_SILENCE_DB = -80.0
_WORD_S = 0.3
"""Behind a frame that is none, what is softer belongs to the same words: without its consonants "human please" is
"unm lea" to a recogniser."""
_TAIL_S = 0.6
"""The longest way there and back, the carrier's buffer included."""


class EchoGate:
    """One line's. Levels are root mean squares of frames, in dB beside the loudest that was said of late."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._said: deque[tuple[float, float]] = deque()
        self._open_until = 0.0
        self._levels: deque[float] = deque(maxlen=_FRAMES)
        self._usual = 0.0
        """Unknown as yet: any echo may come."""

    def said(self, pcm: Pcm16, until: float) -> None:
        """This is being played, up to that moment of the clock."""
        self._said.append((until + _TAIL_S, _level(pcm)))

    def is_echo(self, pcm: Pcm16) -> bool:
        """Whether a frame from the line is too soft to be anything but what was just said."""
        now = self._clock()
        while self._said and self._said[0][0] < now:
            self._said.popleft()
        loudest = max((level for _, level in self._said), default=0.0)
        if loudest == 0.0:
            return False
        level = max(_SILENCE_DB, 20 * float(np.log10(max(1.0, _level(pcm)) / loudest)))
        if level >= min(_SOFTER_DB, self._usual + _ABOVE_DB):
            self._open_until = now + _WORD_S
        if level < _SOFTER_DB:
            self._learn(level)
        return now >= self._open_until

    def _learn(self, level: float) -> None:
        self._levels.append(level)
        if len(self._levels) == _FRAMES:
            usual = float(np.quantile(self._levels, _USUAL))
            self._usual = max(usual, self._usual - _FADE_DB)


def _level(pcm: Pcm16) -> float:
    return float(np.sqrt(np.mean(np.square(pcm, dtype=np.float64)))) if len(pcm) else 0.0
