"""How much the holders of one key use: sessions at once, and audio a day."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from server.errors import CapacityError

_DAY_S = 86_400


class Meter:
    """A day is one of UTC. max_sessions, audio_minutes_a_day: None for no limit. clock: Unix seconds."""

    def __init__(
        self,
        max_sessions: int | None = None,
        audio_minutes_a_day: float | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.max_sessions = max_sessions
        self.audio_minutes_a_day = audio_minutes_a_day
        self._clock = clock
        self._sessions = 0
        self._day = 0
        self._seconds = 0.0

    @property
    def audio_left(self) -> tuple[float, float, float] | None:
        """Seconds of audio a day, those left of them today, and seconds until there are all again. None without a
        limit."""
        if self.audio_minutes_a_day is None:
            return None
        self.spoken(0.0)
        limit = self.audio_minutes_a_day * 60
        return limit, max(0.0, limit - self._seconds), _DAY_S - self._clock() % _DAY_S

    @property
    def used(self) -> tuple[int, float]:
        """The day, counted from 1970, and seconds of audio on it."""
        self.spoken(0.0)
        return self._day, self._seconds

    @contextmanager
    def session(self) -> Iterator[None]:
        """Hold one of the key's sessions. Raises CapacityError when there is none, or the day's audio is used up."""
        self.heard(0.0)
        if self.max_sessions is not None and self._sessions >= self.max_sessions:
            raise CapacityError(f"All {self.max_sessions} sessions of this API key are in use.")
        self._sessions += 1
        try:
            yield
        finally:
            self._sessions -= 1

    def heard(self, seconds: float) -> None:
        """A caller sent this much audio. Raises CapacityError once the day's audio is used up."""
        self.spoken(seconds)
        limit = self.audio_minutes_a_day
        if limit is not None and self._seconds > limit * 60:
            raise CapacityError(f"The {limit:g} minutes of audio that this API key has a day (UTC) are used up.")

    def spoken(self, seconds: float) -> None:
        """A caller was sent this much audio. An answer is never cut by it; what follows is."""
        today = int(self._clock() // _DAY_S)
        if today != self._day:
            self._day, self._seconds = today, 0.0
        self._seconds += seconds
