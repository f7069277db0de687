"""One response in the making: what it is made from, and what waits to be spoken and told."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from models.base import ChatMessage, ChatRequest, Priority, ToolCall, ToolCallDelta, ToolSpec, Urgency, Usage
from server.core import events as e
from server.core.segmenter import Segment


@dataclass(frozen=True, slots=True)
class Words:
    """Text of a message that follows a function call: shown only when the call before it is out."""

    text: str


@dataclass(frozen=True, slots=True)
class CallEnd:
    """The arguments of the call with this index are complete."""

    index: int


@dataclass(frozen=True, slots=True)
class Faulty:
    """The arguments of this call are not what its tool asks for: the model gets one chance to mend them."""

    index: int
    arguments: str
    problem: str


Entry = Segment | Words | ToolCallDelta | CallEnd | Faulty


@dataclass(slots=True)
class Work:
    """One response in the making.

    spoken: what is to be spoken and told, in order; None ends it. calls: id and name by index. call: the pieces of the
    call that the model is writing. worded: whether the caller gets any words. thought: the chat model has said all.
    mute: it failed at the voice.
    """

    generation: e.Generation
    adopted: asyncio.Event = field(default_factory=asyncio.Event)
    urgency: Urgency = field(default_factory=lambda: Urgency(Priority.PREPARED))
    spoken: asyncio.Queue[Entry | None] = field(default_factory=asyncio.Queue)
    usage: Usage = field(default_factory=lambda: Usage(0, 0))
    incomplete: str | None = None
    mute: bool = False
    calls: dict[int, tuple[str, str]] = field(default_factory=dict)
    call: list[ToolCallDelta] = field(default_factory=list)
    worded: bool = False
    thought: asyncio.Event = field(default_factory=asyncio.Event)

    def adopt(self) -> None:
        """The response is wanted: speak all of it, and wait for the engines no longer than any other answer."""
        self.urgency.priority = Priority.CONFIRMED
        self.adopted.set()

    def call_fact(self, index: int, arguments: str, *, done: bool = False) -> e.ResponseToolCall:
        """A piece of the call with this index, for the Session."""
        call_id, name = self.calls[index]
        return e.ResponseToolCall(self.generation.response_id, call_id, name, arguments, done)

    def request(self) -> ChatRequest:
        """What the chat model is asked."""
        generation = self.generation
        messages = [
            ChatMessage(
                role=message.role,
                text=message.text,
                tool_calls=tuple(ToolCall(call.call_id, call.name, call.arguments) for call in message.calls),
                tool_call_id=message.call_id or None,
            )
            for message in generation.messages
        ]
        return ChatRequest(
            messages=messages,
            tools=[ToolSpec(tool.name, tool.description, tool.parameters) for tool in generation.tools],
            tool_choice=generation.tool_choice,
            max_tokens=generation.max_output_tokens,
            temperature=generation.temperature,
            priority=self.urgency,
            agent=generation.agent,
            earlier_turns=generation.earlier_turns,
        )
