"""The response that is made ahead: in the caller's pause, or while the words before a tool's report still play."""

from __future__ import annotations

from dataclasses import dataclass

from server.core import events as e
from server.core.response import Response, ResponseState
from server.core.state import State


@dataclass(frozen=True, slots=True)
class _Basis:
    """What a prepared response was made from. turn: id of the caller's turn that it answers; "" for a report of what
    tools have found. version: the conversation's."""

    turn: str
    version: int
    config: e.SessionConfig


class Prepared:
    """Holds at most one prepared response. The client does not know of it."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._kept: tuple[Response, _Basis] | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing is prepared."""
        return self._kept is None

    @property
    def is_report(self) -> bool:
        """Whether a report of what tools have found is prepared."""
        return self._kept is not None and not self._kept[1].turn

    def keep(self, response: Response, turn: str = "") -> None:
        """This response is being prepared, from the conversation and the configuration as they are now."""
        response.state = ResponseState.PREPARED
        self._kept = response, _Basis(turn, self._state.conversation.version, self._state.config)

    def made_from(self, turn: str, version: int) -> bool:
        """Whether the prepared response answers this turn, and nothing that it was made from has changed since.

        turn: "" asks for a report. version: of the conversation; that of a turn's answer is the one before the turn
        became an item.
        """
        return self._kept is not None and self._kept[1] == _Basis(turn, version, self._state.config)

    def take(self) -> Response | None:
        """The prepared response, which is kept no longer; None if there is none."""
        kept, self._kept = self._kept, None
        return kept[0] if kept else None
