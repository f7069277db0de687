"""Playback without a device: computes which sample of the answers would be heard when."""

from __future__ import annotations

import numpy as np

from models.base import Pcm16

AUDIBLE = 164
"""Least size of a sample that counts as sound: 0.5 % of full scale, -46 dBFS."""


class Playback:
    """Plays what arrives, in order and without a break where it can. Times are seconds of one clock."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.ends_at = 0.0
        self.audible_at: float | None = None
        self._pieces: list[tuple[str, float, Pcm16]] = []

    def add(self, item_id: str, pcm: Pcm16, at: float) -> None:
        """Audio of this item arrives at this time."""
        start = max(self.ends_at, at)
        if self.audible_at is None:
            loud = np.flatnonzero(np.abs(pcm.astype(np.int32)) >= AUDIBLE)
            if len(loud):
                self.audible_at = start + int(loud[0]) / self.rate
        self._pieces.append((item_id, start, pcm))
        self.ends_at = start + len(pcm) / self.rate

    def interrupt(self, at: float) -> tuple[str, int] | None:
        """Stop now. Returns the item that was cut and how many ms of it were played; None if nothing was playing."""
        self.audible_at = None
        if at >= self.ends_at:
            return None
        kept = [(item, start, pcm[: self._played(start, len(pcm), at)]) for item, start, pcm in self._pieces]
        playing = next(item for item, start, pcm in self._pieces if start + len(pcm) / self.rate > at)
        samples = sum(len(pcm) for item, _, pcm in kept if item == playing)
        self._pieces, self.ends_at = kept, at
        return playing, samples * 1000 // self.rate

    def heard(self) -> Pcm16:
        """All audio, without what was cut."""
        return np.concatenate([pcm for _, _, pcm in self._pieces] or [np.zeros(0, np.int16)])

    def _played(self, start: float, samples: int, at: float) -> int:
        return min(samples, max(0, round((at - start) * self.rate)))
