"""What the parts of one Session share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from server.core.conversation import Conversation, text_of
from server.core.events import Item, SessionConfig
from server.core.playout import Ledger


@dataclass(slots=True)
class State:
    """Shared state of one Session; every part may read it, and says in its methods what it changes.

    clock: input samples received, as far as the Session knows. language: of the last turn that held words.
    transcribing: committed items whose transcript is still to come. due: those of them that will be answered.
    truncated: items that the client cut. spoke: whether any assistant audio was sent.
    """

    config: SessionConfig
    new_id: Callable[[str], str]
    ledger: Ledger
    conversation_id: str
    conversation: Conversation = field(default_factory=Conversation)
    clock: int = 0
    language: str | None = None
    transcribing: set[str] = field(default_factory=set)
    due: set[str] = field(default_factory=set)
    truncated: set[str] = field(default_factory=set)
    spoke: bool = False

    def advance(self, position: int) -> None:
        """Audio has been received up to ``position``; facts may come late, the clock never goes back."""
        self.clock = max(self.clock, position)

    def heard_text(self, item: Item) -> str:
        """An assistant message's words as far as the caller heard them."""
        text = text_of(item)
        cut = self.ledger.cut_text(item.id)
        return text if cut is None else text[:cut]
