"""What the parts of one Session share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from server.core.conversation import Conversation, text_of, with_text
from server.core.events import Event, Item, ItemDone, Output, ServerTool, SessionConfig, TranscriptFinal
from server.core.language import language_after
from server.core.playout import Ledger


@dataclass(slots=True)
class State:
    """Shared state of one Session; every part may read it, and says in its methods what it changes.

    clock: input samples received, as far as the Session knows. language: of the call, None while nothing was heard.
    first_language: of its first turn. switched_from: its language before, until a response has told of the change.
    transcribing: committed items whose transcript is still to come. due: those of them that will be answered.
    unanswered: turns that would have been answered, and responses that would have done so, if the caller had not been
    heard again before the first word; empty again when a response begins.
    truncated: items that the client cut. disowned: results that the client gave for calls that the server runs. spoke:
    whether any assistant audio was sent. mcp_tools: by the label of their server.
    """

    config: SessionConfig
    new_id: Callable[[str], str]
    ledger: Ledger
    conversation_id: str
    conversation: Conversation = field(default_factory=Conversation)
    clock: int = 0
    language: str | None = None
    first_language: str | None = None
    switched_from: str | None = None
    transcribing: set[str] = field(default_factory=set)
    due: set[str] = field(default_factory=set)
    unanswered: set[str] = field(default_factory=set)
    truncated: set[str] = field(default_factory=set)
    disowned: set[str] = field(default_factory=set)
    spoke: bool = False
    mcp_tools: dict[str, tuple[ServerTool, ...]] = field(default_factory=dict)

    @property
    def server_tools(self) -> tuple[ServerTool, ...]:
        """All tools that the server runs, each name once: its own, and those of the MCP servers that the client has
        named. A hand-off may have brought a name that one of the latter had."""
        own = (*self.config.server_tools, *self.config.door_tools)
        found: dict[str, ServerTool] = {}
        for tool in (*own, *(tool for tools in self.mcp_tools.values() for tool in tools)):
            found.setdefault(tool.tool.name, tool)
        return tuple(found.values())

    @property
    def expected_language(self) -> str | None:
        """What the caller speaks as far as the configuration knows, else what was heard first."""
        transcription = self.config.transcription
        return (transcription.language if transcription else None) or self.config.language or self.first_language

    @property
    def spoken_language(self) -> str | None:
        """The language of the call; the expected one while nothing was heard."""
        return self.language or self.expected_language

    def language_with(self, turn: TranscriptFinal) -> str | None:
        """What the call's language is if this turn counts."""
        floor = self.config.language_floor
        return language_after(self.spoken_language, turn.language, turn.language_probability, turn.text, floor)

    def hear(self, turn: TranscriptFinal) -> None:
        """A turn is committed: the call's language may have changed."""
        before, after = self.spoken_language, self.language_with(turn)
        if before is not None and after != before:
            self.switched_from = before
        if turn.text:
            self.first_language = self.first_language or after
            self.language = after

    def advance(self, position: int) -> None:
        """Audio has been received up to ``position``; facts may come late, the clock never goes back."""
        self.clock = max(self.clock, position)

    def stored(self, events: list[Event]) -> list[Output]:
        """Items that the client truncated while they were being spoken stay truncated when they end."""
        for event in events:
            if isinstance(event, ItemDone) and event.item.id in self.truncated:
                self.conversation.update(with_text(event.item, self.heard_text(event.item)))
        return list(events)

    def heard_text(self, item: Item) -> str:
        """An assistant message's words as far as the caller heard them."""
        text = text_of(item)
        cut = self.ledger.cut_text(item.id)
        return text if cut is None else text[:cut]
