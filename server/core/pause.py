"""Silence as soon as somebody seems to speak over an answer; the answer goes on where it was when that was nothing.

What counts as an interruption is decided later, and as carefully as without it (``Hearing``).
"""

from __future__ import annotations

from server.core import events as e
from server.core.responses import Responses
from server.core.state import State

_LAST_WORDS = e.INPUT_RATE
"""Who says "yes" over the last second of a question replies to it."""


class Pause:
    """One session's, for a door that can go on playing where it has stopped."""

    def __init__(self, state: State, responses: Responses) -> None:
        self._state, self._responses = state, responses

    @property
    def _interruptible(self) -> bool:
        return self._responses.audible and not self._responses.protected.guards(self._responses.answering)

    @property
    def ending(self) -> bool:
        """Whether a pause holds back no more than an answer's last words."""
        ledger = self._state.ledger
        return ledger.held and self._responses.answering is None and ledger.remaining(self._state.clock) <= _LAST_WORDS

    def follow(self, *, contested: bool) -> list[e.Output]:
        """Something has happened. contested: somebody seems to speak, and nobody knows yet whether it is meant."""
        ledger, detection = self._state.ledger, self._state.config.turn_detection
        wanted = contested and detection is not None and detection.interrupt_response and self._interruptible
        if wanted == ledger.held:
            return []
        if wanted:
            ledger.hold(self._state.clock)
            return [e.PausePlayout(True)]
        ledger.release(self._state.clock)
        return [e.PausePlayout(False)]
