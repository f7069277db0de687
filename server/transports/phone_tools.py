"""What an agent can do with the call itself: end it, or hand it to a human."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace

from models.base import ToolSpec
from server.core.events import SessionConfig
from server.runtime.announcements import says_connecting, says_goodbye
from server.runtime.tools import Partial, Result, Toolbox, ToolCall, ToolContext, ToolPolicy, offered
from server.transports.phrases import PhraseBook, house_book


@dataclass(frozen=True, slots=True)
class PhoneTools:
    """Which of them agents have. end_call: whether they may hang up. transfers: numbers by the name of who answers
    there. book: what they say."""

    end_call: bool = False
    transfers: Mapping[str, str] | None = None
    book: PhraseBook = field(default_factory=house_book)


NO_TOOLS = PhoneTools()
FINISHED_AND_REPEATABLE = ToolPolicy(on_interrupt="finish", safe=True)
"""Who calls again after a line that broke means this call, not the one before: nothing is taken as done already."""


class EndCall:
    """See RunnableTool."""

    policy = FINISHED_AND_REPEATABLE
    spec = ToolSpec(
        "end_call",
        "End the call, when the caller has said goodbye or wants nothing more.",
        {"type": "object", "properties": {}, "additionalProperties": False},
    )

    def __init__(self, leave: Callable[[str], None], book: PhraseBook) -> None:
        """leave: end the call once what is being said was heard; given a number, it is called next."""
        self._leave, self._book = leave, book

    async def run(self, call: ToolCall, context: ToolContext) -> AsyncIterator[Partial | Result]:
        """See RunnableTool."""
        self._leave("")
        said = says_goodbye(call.said, context.language)
        yield Result({"status": "the call ends"}, say=self._book.of(context.language).farewell, repeats=said)


class TransferCall:
    """See RunnableTool."""

    policy = FINISHED_AND_REPEATABLE

    def __init__(self, leave: Callable[[str], None], numbers: Mapping[str, str], book: PhraseBook) -> None:
        """See EndCall. numbers: by the name of who answers there; the model chooses if there are several."""
        self._leave, self._book = leave, book
        self._numbers = numbers
        properties: dict[str, object] = {"reason": {"type": "string", "description": "Why, in a few words."}}
        if len(numbers) > 1:
            properties["to"] = {"type": "string", "enum": sorted(numbers)}
        self.spec = ToolSpec(
            "transfer_to_human",
            "Hand the call to a human, when the caller asks for one or you cannot help.",
            {
                "type": "object",
                "properties": properties,
                "required": [name for name in properties if name == "to"],
                "additionalProperties": False,
            },
        )

    async def run(self, call: ToolCall, context: ToolContext) -> AsyncIterator[Partial | Result]:
        """See RunnableTool."""
        self._leave(self._numbers[call.arguments.get("to") or min(self._numbers)])
        said = says_connecting(call.said, context.language)
        yield Result({"status": "the call is handed over"}, say=self._book.of(context.language).transfer, repeats=said)


def equip(
    config: SessionConfig, toolbox: Toolbox, tools: PhoneTools, leave: Callable[[str], None], *, transfers: bool
) -> tuple[SessionConfig, Toolbox]:
    """The session's configuration and tools with those of the phone. transfers: whether the carrier can be
    told to call somebody: over its REST API, or when it asks what comes after a stream. An agent's own tool of such a
    name takes the place of that of the phone."""
    own: list[EndCall | TransferCall] = [EndCall(leave, tools.book)] if tools.end_call else []
    numbers = (tools.transfers or {}) if transfers else {}
    if numbers:
        own.append(TransferCall(leave, numbers, tools.book))
    taken = {*toolbox.tools, *(name for tools in toolbox.agents.values() for name in tools)}
    own = [tool for tool in own if tool.spec.name not in taken]
    named = {**toolbox.tools, **{tool.spec.name: tool for tool in own}}

    def transfer(to: str) -> bool:
        number = numbers.get(to or min(numbers, default=""))
        if number is not None:
            leave(number)
        return number is not None

    own_tools = replace(toolbox, tools=named, transfer=transfer)
    return replace(config, door_tools=tuple(map(offered, own))), own_tools
