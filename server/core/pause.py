"""Pauses an answer as soon as somebody seems to speak over it; it goes on where it was if that was no interruption.

What counts as an interruption is decided later, and as carefully as without it (``Hearing``).
"""

from __future__ import annotations

from server.core import events as e
from server.core.responses import Responses
from server.core.state import State

_LAST_WORDS = e.INPUT_RATE
"""Who says "yes" over the last second of a question replies to it."""
_PATIENCE = 2 * e.INPUT_RATE
"""A word of agreement is shorter. Music and other people's talk may go on for minutes, and must not keep an answer
paused all that time."""


class Pause:
    """One session's, for a door that can go on playing where it has stopped."""

    def __init__(self, state: State, responses: Responses) -> None:
        self._state, self._responses = state, responses
        self._since: int | None = None

    @property
    def _interruptible(self) -> bool:
        return self._responses.audible and not self._responses.protected.guards(self._responses.answering)

    @property
    def ending(self) -> bool:
        """Whether a pause holds back no more than an answer's last words."""
        ledger = self._state.ledger
        return ledger.held and self._responses.answering is None and ledger.remaining(self._state.clock) <= _LAST_WORDS

    @property
    def over(self) -> bool:
        """Whether somebody has seemed to speak for longer than an answer is paused for it."""
        return self._since is not None and self._state.clock - self._since >= _PATIENCE

    def follow(self, *, contested: bool) -> list[e.Output]:
        """Something has happened. contested: somebody seems to speak, and nobody knows yet whether it is meant."""
        ledger, detection = self._state.ledger, self._state.config.turn_detection
        interrupts = detection is not None and detection.interrupt_response
        if not (contested and interrupts and self._interruptible):
            self._since = None
        elif self._since is None:
            self._since = self._state.clock
        wanted = self._since is not None and not self.over
        if wanted == ledger.held:
            return []
        if wanted:
            ledger.hold(self._state.clock)
            return [e.PausePlayout(True)]
        ledger.release(self._state.clock)
        return [e.PausePlayout(False)]
