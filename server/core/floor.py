"""When what is being said will have been heard, so that the next words follow it without a gap."""

from __future__ import annotations

from server.core import events as e
from server.core.state import State

_LEAD_MS = 250
"""What follows goes out this long before the last words end."""


class Floor:
    """Whether the assistant's last words are about to end. The ledger's estimate counts by the caller's own audio,
    which may stand still (a client that only types): so a timer is started, and counts at most what was sent since the
    last.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._token = 0
        self._waiting = False
        self._sent_ms = 0
        self.free = True

    def taken(self, samples: int, rate: int) -> None:
        """Speech has been sent."""
        if self.free:
            self._sent_ms = 0
        self._sent_ms += samples * 1000 // rate
        self.free = self._waiting = False

    def watch(self) -> list[e.Output]:
        """Somebody waits for the floor."""
        if self.free or self._waiting:
            return []
        state = self._state
        left_ms = min(state.ledger.remaining(state.clock) * 1000 // e.INPUT_RATE, self._sent_ms) - _LEAD_MS
        if left_ms <= 0:
            self.free = True
            return []
        self._waiting = True
        self._token += 1
        return [e.StartTimer(e.TimerKind.FLOOR, self._token, left_ms)]

    def released(self) -> None:
        """What was being said has been stopped."""
        self._waiting, self.free = False, True

    def fired(self, token: int) -> None:
        """The time is over."""
        if self._waiting and token == self._token:
            self._waiting, self.free = False, True
