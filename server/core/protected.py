"""Words that the caller's voice does not stop."""

from __future__ import annotations

from server.core import events as e
from server.core.state import State

_PROTECTED_FOR = 5 * e.INPUT_RATE
"""How long after their end, by the estimate, the mark of protected words is waited for."""


class Protected:
    """The last protected response and the item that it speaks."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._response_id = self._item_id = ""

    def begin(self, response_id: str) -> None:
        """This response is protected."""
        self._response_id, self._item_id = response_id, ""

    def speaks(self, response_id: str, item_id: str) -> None:
        """A response speaks this item."""
        if response_id == self._response_id:
            self._item_id = item_id

    def clear(self) -> None:
        """Nothing is protected any more."""
        self.begin("")

    def guards(self, answering: str | None) -> bool:
        """Whether protected words are being made, or have not been heard to their end."""
        if answering is not None and answering == self._response_id:
            return True
        ledger, clock = self._state.ledger, self._state.clock
        # A mark that never comes must not silence the caller for good.
        if not ledger.playing(clock - _PROTECTED_FOR):
            return False
        return (ledger.heard(self._item_id, clock) or 0) < (ledger.sent(self._item_id) or 0)
