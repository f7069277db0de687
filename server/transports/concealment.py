"""What stands in for sound that a line has lost: the last pitch period again, fading out within 60 ms.

Silence in the middle of a vowel is a sound that no recogniser knows: where a tenth of the frames is lost, the bundled
one gets twice as many words wrong with it. Pitch waveform replication, the idea of ITU-T G.711 Appendix I.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.base import Pcm16

_SHORTEST_MS, _LONGEST_MS = 5, 20
"""Pitch periods: 200 to 50 Hz. A higher voice repeats within."""
_WHOLE_MS, _GONE_MS = 20, 60
"""Up to here the substitute is as loud as the sound was; from there on there is none."""
_JOIN_MS = 4
"""In which the substitute goes over into the sound that comes behind the gap."""


class Concealment:
    """One line's, at one rate."""

    def __init__(self, rate: int) -> None:
        self._ms = rate // 1000
        self._past: NDArray[np.float64] = np.zeros(0)
        self._going_on: NDArray[np.float64] | None = None

    def hear(self, pcm: Pcm16) -> Pcm16:
        """The next samples; right behind a gap they begin as the substitute went on."""
        if self._going_on is not None:
            pcm = self._joined(pcm, self._going_on)
            self._going_on = None
        self._remember(pcm)
        return pcm

    def fill(self, samples: int) -> Pcm16:
        """So many samples were lost."""
        period = self._period()
        count = samples + _JOIN_MS * self._ms
        at_ms = np.arange(count) / self._ms
        loudness = np.clip((_GONE_MS - at_ms) / (_GONE_MS - _WHOLE_MS), 0.0, 1.0)
        wave = np.resize(period, count) * loudness if len(period) else np.zeros(count)
        self._going_on = wave[samples:]
        made = np.rint(wave[:samples]).astype(np.int16)
        self._remember(made)
        return made

    def forget(self) -> None:
        """What comes next has nothing to do with what was before."""
        self._past, self._going_on = np.zeros(0), None

    def _remember(self, pcm: Pcm16) -> None:
        self._past = np.concatenate([self._past, pcm])[-3 * _LONGEST_MS * self._ms :]

    def _period(self) -> NDArray[np.float64]:
        """The last stretch of the past that repeats what was before it; none if too little is known."""
        longest, shortest = _LONGEST_MS * self._ms, _SHORTEST_MS * self._ms
        past = self._past
        if len(past) < 2 * longest:
            return np.zeros(0)
        last = past[-longest:]
        earlier = past[-2 * longest : -shortest]
        alike = np.correlate(earlier, last, "valid")
        squares = np.concatenate([[0.0], np.cumsum(earlier * earlier)])
        energy = squares[longest:] - squares[:-longest]
        best = int(np.argmax(alike / np.sqrt(energy + 1.0)))
        return past[best - longest :]

    def _joined(self, pcm: Pcm16, before: NDArray[np.float64]) -> Pcm16:
        count = min(len(before), len(pcm))
        share = np.arange(count) / max(1, count)
        joined = pcm.copy()
        joined[:count] = np.rint(before[:count] * (1 - share) + pcm[:count] * share)
        return joined
