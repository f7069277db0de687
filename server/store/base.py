"""The side store: what is known of a session besides its words, and which calls its tools have carried out.

A call is written down before it is run and again when its outcome is known. So after a crash in between it is known
that it may have happened, and it is not run a second time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from server.runtime.tools import CallLedger, SharedState


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One call of a tool as it stands in the store.

    key: the deed (see CallLedger). arguments, output: JSON texts. outcome: how it ended, output: what the model was
    given; both None while nobody has written down how it ended. begun_at, told_at: Unix seconds; told_at is None until
    the caller has been told.
    """

    key: str
    session_id: str
    tool: str
    arguments: str
    outcome: str | None
    output: str | None
    begun_at: float
    seconds: float | None
    told_at: float | None


class Store(CallLedger, Protocol):
    """Every method raises StoreError when the database cannot be reached or written."""

    def state(self, session_id: str, agent: str) -> SharedState:
        """The facts and slots of one session, and of nobody else's."""
        ...

    async def calls(self, session_id: str) -> Sequence[CallRecord]:
        """All calls that a session has begun, oldest first."""
        ...

    async def forget(self, session_id: str) -> None:
        """Delete all that is known of a session."""
        ...

    async def forget_before(self, moment: float) -> int:
        """Delete all sessions that began before this Unix second; how many there were."""
        ...

    async def close(self) -> None: ...
