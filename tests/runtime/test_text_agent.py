"""An agent's answers in text: tools are run between the model's steps, within the same limits."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from models.base import (
    ChatDelta,
    ChatDone,
    ChatMessage,
    ChatRequest,
    TextDelta,
    ToolCallDelta,
    ToolSpec,
    Usage,
)
from server.core.events import SessionConfig, ToolLimits
from server.core.tools import ToolPolicy
from server.errors import ClientError
from server.runtime.text_agent import TextAgent
from server.runtime.tools import MemoryLedger, Partial, Result, Toolbox, ToolCall, ToolContext, offered


@dataclass
class Model:
    """Says what it is told, step by step; the last step is repeated."""

    script: list[tuple[str, dict[str, dict[str, Any]]]]
    asked: list[ChatRequest] = field(default_factory=list)
    name: str = "scripted"
    context: int | None = None

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatDelta, None]:
        words, calls = self.script[min(len(self.asked), len(self.script) - 1)]
        self.asked.append(request)
        if words:
            yield TextDelta(words)
        for index, (name, arguments) in enumerate(calls.items()):
            text = json.dumps(arguments)
            yield ToolCallDelta(index, text[:3], f"call_{len(self.asked)}_{index}", name)
            yield ToolCallDelta(index, text[3:])
        yield ChatDone("tool_calls" if calls else "stop", Usage(10, 2))

    async def warm(self, request: ChatRequest) -> None: ...
    async def close(self) -> None: ...


class Tool:
    """Gives its result and counts its calls."""

    policy = ToolPolicy()

    def __init__(self, name: str, *pieces: Partial | Result) -> None:
        self.spec = ToolSpec(name, "Does it.", {"type": "object"})
        self.pieces = pieces
        self.calls: list[ToolCall] = []

    async def run(self, call: ToolCall, context: ToolContext) -> AsyncIterator[Partial | Result]:
        self.calls.append(call)
        for piece in self.pieces:
            yield piece


def agent(model: Model, *tools: Tool, limit: int = 4, ledger: MemoryLedger | None = None) -> TextAgent:
    config = SessionConfig(
        instructions="You are Anna.",
        server_tools=tuple(offered(tool) for tool in tools),
        tool_limits=ToolLimits(turn=limit),
    )
    toolbox = Toolbox({tool.spec.name: tool for tool in tools}, ledger or MemoryLedger(), scope="caller")
    return TextAgent(config, model, toolbox, "chat_1")


async def answer(one: TextAgent, *tools: ToolSpec) -> tuple[str, list[str], ChatDone]:
    """Words, names of the calls that the client is shown, and the end."""
    deltas = [delta async for delta in one.stream(ChatRequest([ChatMessage("user", "Hello?")], tools=tools))]
    words = "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))
    done = deltas[-1]
    assert isinstance(done, ChatDone)
    return words, [delta.name or "" for delta in deltas if isinstance(delta, ToolCallDelta)], done


async def test_a_tool_is_run_between_the_steps_and_never_shown() -> None:
    model = Model([("One moment.", {"get_price": {"service": "haircut"}}), ("It costs 25 euros.", {})])
    tool = Tool("get_price", Partial("Let me see."), Result({"price": 25}))
    words, calls, done = await answer(agent(model, tool))
    assert words == "One moment. Let me see. It costs 25 euros."
    assert (calls, done) == ([], ChatDone("stop", Usage(20, 4)))
    assert tool.calls[0].arguments == {"service": "haircut"}
    system, user, called, result = model.asked[1].messages
    assert (system.text, user.text) == ("You are Anna.", "Hello?")
    assert called.tool_calls[0].name == "get_price"
    assert (result.role, result.text, result.tool_call_id) == ("tool", '{"price":25}', called.tool_calls[0].id)


async def test_calls_of_two_answers_are_two_calls_whatever_number_the_model_gives_them() -> None:
    class Numbering(Model):
        async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatDelta, None]:
            async for delta in super().stream(request):
                yield replace(delta, id="call_0") if isinstance(delta, ToolCallDelta) and delta.id else delta

    tool = Tool("get_price", Result(25))
    tool.policy = ToolPolicy(safe=True)
    steps: Any = [("", {"get_price": {"service": one}}) for one in ("haircut", "massage")]
    await answer(agent(Numbering([*steps, ("Here you are.", {})]), tool))
    assert [call.arguments["service"] for call in tool.calls] == ["haircut", "massage"]


async def test_a_call_of_the_clients_own_tool_is_handed_to_the_client() -> None:
    model = Model([("", {"open_door": {}})])
    words, calls, done = await answer(agent(model, Tool("get_price", Result(1))), ToolSpec("open_door", "", {}))
    assert (words, calls, done.finish_reason) == ("", ["open_door"], "tool_calls")
    assert [tool.name for tool in model.asked[0].tools] == ["get_price", "open_door"]


async def test_who_calls_and_calls_is_refused_and_then_stopped() -> None:
    tool = Tool("get_price", Result(1))
    model = Model([("", {"get_price": {"n": 1}}), ("", {"get_price": {"n": 2}}), ("", {"get_price": {"n": 3}})])
    words, calls, done = await answer(agent(model, tool, limit=2))
    assert (words, calls, done.finish_reason) == ("", [], "stop")
    assert len(tool.calls) == 2
    assert "Too many calls" in model.asked[3].messages[-1].text
    assert model.asked[3].tool_choice == "none"


async def test_a_hand_off_is_in_force_for_the_next_step_and_words_of_a_tool_need_no_model() -> None:
    other = SessionConfig(instructions="You are Ben.")
    model = Model([("", {"hand_over": {}}), ("", {"bye": {}})])
    tools = Tool("hand_over", Result("ok", {"instructions": other.instructions})), Tool("bye", Result(1, say="Bye."))
    words, _, done = await answer(agent(model, *tools))
    assert (words, done.finish_reason) == ("Bye.", "stop")
    assert model.asked[1].messages[0].text == "You are Ben."


async def test_a_clients_tool_with_the_name_of_the_servers_is_refused() -> None:
    model = Model([("Yes.", {})])
    with pytest.raises(ClientError, match="The name 'get_price' is taken") as caught:
        await answer(agent(model, Tool("get_price", Result(25))), ToolSpec("get_price", "Mine.", {"type": "object"}))
    assert caught.value.param == "tools"
    assert model.asked == []


async def test_what_the_model_has_said_itself_is_not_said_again() -> None:
    goodbye = Tool("say_goodbye", Result("over", say="Goodbye.", repeats=True))
    model = Model([("Goodbye!", {"say_goodbye": {}})])
    words, _, _ = await answer(agent(model, goodbye))
    assert words.strip() == "Goodbye!"
    assert len(model.asked) == 1
    assert goodbye.calls[0].said == "Goodbye!"


async def test_a_deed_of_which_the_client_never_heard_is_not_done_again() -> None:
    ledger, tool = MemoryLedger(), Tool("book", Result({"status": "booked"}))
    script = [("", {"book": {"day": "friday"}}), ("Booked.", {})]
    stream = agent(Model(script), tool, ledger=ledger).stream(ChatRequest([ChatMessage("user", "Book it.")]))
    assert await anext(stream) == TextDelta("Booked.")
    await stream.aclose()
    words, _, _ = await answer(agent(Model(script), tool, ledger=ledger))
    assert words == "Booked."
    assert len(tool.calls) == 1
    await answer(agent(Model(script), tool, ledger=ledger))
    assert len(tool.calls) == 2
    # Whoever carries it out may remember the key of the first one, and would take this for that.
    assert tool.calls[0].idempotency_key != tool.calls[1].idempotency_key
