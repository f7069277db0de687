"""One response: from the engines' facts to client events in protocol order.

Order of events: OpenAI Realtime (GA), text, audio and function-call responses, and the tail of a cancelled one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Any

from server.core.conversation import Conversation, text_of
from server.core.events import (
    ContentPart,
    ContentPartAdded,
    ContentPartDone,
    Event,
    FunctionArgumentsDelta,
    FunctionArgumentsDone,
    Item,
    ItemAdded,
    ItemDone,
    ItemKind,
    ItemStatus,
    McpArgumentsDelta,
    McpArgumentsDone,
    McpCallCompleted,
    McpCallFailed,
    McpCallInProgress,
    OutputAudioDelta,
    OutputAudioDone,
    OutputItemAdded,
    OutputItemDone,
    OutputTextDelta,
    OutputTextDone,
    OutputTranscriptDelta,
    OutputTranscriptDone,
    ResponseAudio,
    ResponseCreated,
    ResponseDone,
    ResponseFact,
    ResponseOverrides,
    ResponseStatus,
    ResponseToolCall,
    ResponseView,
    ServerTool,
    ToolFinished,
    ToolOutcome,
)

CUT_SHORT = '{"error": "cancelled, the caller went on speaking"}'
"""What the model reads of a call that an interruption has ended."""


class ResponseState(StrEnum):
    """prepared: made ahead, invisible. waiting: visible, its context is still being transcribed."""

    PREPARED = "prepared"
    WAITING = "waiting"
    STREAMING = "streaming"
    DONE = "done"


class Response:
    """Builds the items of one response. ``conversation`` is None for an out-of-band response."""

    def __init__(
        self,
        view: ResponseView,
        conversation: Conversation | None,
        new_id: Callable[[str], str],
        book: Callable[[str, ResponseAudio], int],
        overrides: ResponseOverrides,
        script: str = "",
    ) -> None:
        """script: the words to say, "" to ask the model."""
        self.overrides = overrides
        self.script = script
        self._view = view
        self._conversation = conversation
        self._new_id = new_id
        self._book = book
        self._output: list[Item] = []
        self._open: Item | None = None
        self._previous_id: str | None = None
        self._running = False
        self.state = ResponseState.WAITING
        self.said: Item | None = None
        """What the caller said last, where it is no item of the conversation."""
        self.apology = False
        """Said by the server of its own accord, because another response failed."""
        self.characters = 0
        """Length of its prompt."""
        self.held: list[ResponseFact] = []
        """Facts about a prepared response, to be told when it is adopted."""

    @property
    def id(self) -> str:
        return self._view.id

    @property
    def default(self) -> bool:
        """Whether it belongs to the default conversation."""
        return self._conversation is not None

    @property
    def begun(self) -> bool:
        """Whether any of it was generated."""
        return self._open is not None or bool(self._output)

    def speak(self, language: str | None, switched_from: str | None) -> None:
        """It is made in this language, the first one after the call changed over from another."""
        self._view = replace(self._view, language=language, switched_from=switched_from or self._view.switched_from)

    def add_facts(self, facts: Mapping[str, Any]) -> None:
        """What the client is told with it."""
        self._view = replace(self._view, facts=facts)

    def created(self) -> ResponseCreated:
        """The response becomes visible."""
        return ResponseCreated(self._view)

    def text(self, delta: str) -> list[Event]:
        """The model said ``delta``."""
        events = self._message()
        item, index = self._current()
        self._open = replace(item, content=(ContentPart(item.content[0].kind, (item.content[0].text or "") + delta),))
        kind = OutputTranscriptDelta if self._spoken else OutputTextDelta
        return [*events, kind(self.id, item.id, index, delta)]

    def audio(self, fact: ResponseAudio) -> list[Event]:
        """A piece of speech is ready."""
        events = self._message()
        item, index = self._current()
        start = self._book(item.id, fact)
        return [*events, OutputAudioDelta(self.id, item.id, index, fact.audio, start, fact.samples)]

    @property
    def speaking(self) -> str | None:
        """Id of the message that is being spoken; None between messages, and in a response in writing."""
        message = self._open is not None and self._open.kind is ItemKind.MESSAGE
        return self._open.id if self._open is not None and message and self._spoken else None

    @property
    def words(self) -> str:
        """All that it has said, or written, so far."""
        items = [*self._output, *([self._open] if self._open else [])]
        return " ".join(text_of(item) for item in items if item.kind is ItemKind.MESSAGE)

    @property
    def waiting_call(self) -> Item | None:
        """The MCP call that is being run; what comes after it waits."""
        return self._open if self._running else None

    def ran(self, fact: ToolFinished) -> list[Event]:
        """The MCP call that was waited for is over."""
        item, _ = self._current()
        good = fact.outcome in (ToolOutcome.OK, ToolOutcome.REPEATED)
        self._open = replace(item, output=fact.output) if good else replace(item, error=fact.output)
        return self._close(ItemStatus.COMPLETED if good else ItemStatus.INCOMPLETE)

    def _mcp_call(self, fact: ResponseToolCall, tool: ServerTool) -> list[Event]:
        """A piece of a call of an MCP tool has come: an item that the call's outcome belongs to, or a request for the
        client's approval."""
        events: list[Event] = []
        if self._open is None or self._open.call_id != fact.call_id:
            kind = ItemKind.MCP_APPROVAL_REQUEST if tool.approval else ItemKind.MCP_CALL
            new_id = self._new_id("mcpr" if tool.approval else "mcp")
            events += self._close(ItemStatus.COMPLETED)
            item = Item(new_id, kind, ItemStatus.IN_PROGRESS, call_id=fact.call_id, name=fact.name)
            events += self._add(replace(item, server_label=tool.server_label))
        item, index = self._current()
        delta = fact.arguments or ("{}" if fact.done and not item.arguments else "")
        if delta:
            item = self._open = replace(item, arguments=item.arguments + delta)
        if tool.approval:
            return [*events, *self._close(ItemStatus.COMPLETED)] if fact.done else events
        events += [McpArgumentsDelta(self.id, item.id, index, delta)] if delta else []
        if fact.done:
            self._running = True
            events.append(McpArgumentsDone(self.id, item.id, index, item.arguments))
            events.append(McpCallInProgress(item.id, index))
        return events

    def call(self, fact: ResponseToolCall, tool: ServerTool | None = None) -> list[Event]:
        """A piece of a function call has come. tool: the server's own of that name."""
        if tool is not None and tool.server_label and self.default:
            return self._mcp_call(fact, tool)
        events: list[Event] = []
        if self._open is None or self._open.call_id != fact.call_id:
            events += self._close(ItemStatus.COMPLETED)
            events += self._add(
                Item(
                    self._new_id("item"),
                    ItemKind.FUNCTION_CALL,
                    ItemStatus.IN_PROGRESS,
                    call_id=fact.call_id,
                    name=fact.name,
                )
            )
        item, index = self._current()
        delta = fact.arguments or ("{}" if fact.done and not item.arguments else "")
        if delta:
            item = self._open = replace(item, arguments=item.arguments + delta)
            events.append(FunctionArgumentsDelta(self.id, item.id, index, item.call_id, delta))
        return events + (self._close(ItemStatus.COMPLETED) if fact.done else [])

    def finish(self, status: ResponseStatus, view_changes: ResponseView | None = None) -> list[Event]:
        """Close what is open and the response itself. ``view_changes`` is ``view`` with reason, error or usage."""
        complete = status is ResponseStatus.COMPLETED
        events = self._close(ItemStatus.COMPLETED if complete else ItemStatus.INCOMPLETE)
        self.state = ResponseState.DONE
        self._view = replace(view_changes or self._view, status=status, output=tuple(self._output))
        return [*events, ResponseDone(self._view)]

    @property
    def view(self) -> ResponseView:
        """The response as the client sees it now."""
        return self._view

    @property
    def _spoken(self) -> bool:
        return self._view.modality == "audio"

    def _current(self) -> tuple[Item, int]:
        assert self._open is not None
        return self._open, len(self._output)

    def _message(self) -> list[Event]:
        """Make sure that a message is open."""
        if self._open is not None and self._open.kind is ItemKind.MESSAGE:
            return []
        events = self._close(ItemStatus.COMPLETED)
        events += self._add(Item(self._new_id("item"), ItemKind.MESSAGE, ItemStatus.IN_PROGRESS, role="assistant"))
        item, index = self._current()
        self._open = replace(item, content=(ContentPart("output_audio" if self._spoken else "output_text", ""),))
        return [*events, ContentPartAdded(self.id, item.id, index, "audio" if self._spoken else "text")]

    def _add(self, item: Item) -> list[Event]:
        self._open = item
        events: list[Event] = [OutputItemAdded(self.id, len(self._output), item)]
        if self._conversation is not None:
            self._previous_id = self._conversation.insert(item)
            events.append(ItemAdded(item, self._previous_id))
        return events

    def _close(self, status: ItemStatus) -> list[Event]:
        if self._open is None:
            return []
        item, index = self._current()
        item = replace(item, status=status)
        if self._running and not item.output and not item.error:
            item = replace(item, error=CUT_SHORT)
        self._open = None
        self._output.append(item)
        events = self._part_tail(item, index)
        if self._conversation is not None:
            # The client may have deleted the item while it was being spoken: then only its events end.
            if item.id in self._conversation:
                self._conversation.update(item)
            events.append(ItemDone(item, self._previous_id))
        return [*events, OutputItemDone(self.id, index, item)]

    def _part_tail(self, item: Item, index: int) -> list[Event]:
        if item.kind is ItemKind.MCP_CALL:
            ran, self._running = self._running, False
            return [(McpCallFailed if item.error else McpCallCompleted)(item.id, index)] if ran else []
        if item.kind is ItemKind.MCP_APPROVAL_REQUEST:
            return []
        if item.kind is ItemKind.FUNCTION_CALL:
            # Clients run the tool on this event, so a call that was cut off must not have it.
            complete = item.status is ItemStatus.COMPLETED
            return (
                [FunctionArgumentsDone(self.id, item.id, index, item.call_id, item.name, item.arguments)]
                if complete
                else []
            )
        text = item.content[0].text or ""
        if self._spoken:
            return [
                OutputAudioDone(self.id, item.id, index),
                OutputTranscriptDone(self.id, item.id, index, text),
                ContentPartDone(self.id, item.id, index, "audio", text),
            ]
        return [
            OutputTextDone(self.id, item.id, index, text),
            ContentPartDone(self.id, item.id, index, "text", text),
        ]
