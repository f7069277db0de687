"""A call in which the server runs tools: everything between the question and the answer, on scripted engines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from models.base import ChatDelta, ChatRequest, ToolCallDelta
from server.core import events as e
from server.runtime.tools import Partial, Result, Toolbox, offered
from tests.runtime.engines import ScriptedChat
from tests.runtime.session import Client, call
from tests.runtime.tools import SCHEMA, ScriptedTool

HOURS = ToolCallDelta(0, '{"day": "friday"}', id="call_1", name="hours")


class Receptionist(ScriptedChat):
    """Each answer has lines of its own; the last ones are said for good."""

    def __init__(self, *answers: list[ChatDelta | str | Exception]) -> None:
        super().__init__()
        self._answers = list(answers)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatDelta, None]:
        self.lines = tuple(self._answers.pop(0) if len(self._answers) > 1 else self._answers[0])
        async for delta in super().stream(request):
            yield delta

    async def warm(self, request: ChatRequest) -> None:
        """Not a request of the call."""


def config(*tools: ScriptedTool, **changes: object) -> e.SessionConfig:
    # No turn detection: the question is typed, the answer is spoken.
    return e.SessionConfig(server_tools=tuple(map(offered, tools)), turn_detection=None, **changes)  # type: ignore[arg-type]


def box(*tools: ScriptedTool) -> Toolbox:
    return Toolbox(tools={tool.spec.name: tool for tool in tools})


def spoken(client: Client) -> list[str]:
    return [event.transcript for event in client.events if isinstance(event, e.OutputTranscriptDone)]


async def test_a_response_that_allows_one_call_makes_one():
    tool = ScriptedTool("hours", Result({"open": "09:00"}), schema=SCHEMA)
    second = ToolCallDelta(1, '{"day": "sunday"}', id="call_2", name="hours")
    chat = Receptionist([HOURS, second], ["We open at nine."])
    async with call(chat, config(tool), box(tool)) as (runner, client):
        await runner.receive(e.CreateResponse(None, e.ResponseOverrides(parallel_tool_calls=False)))
        await client.until(e.ResponseDone, 2)
    assert [one.arguments for one in tool.calls] == [{"day": "friday"}]
    called = [event.item.arguments for event in client.events if isinstance(event, e.ItemDone) and event.item.name]
    assert called == ['{"day": "friday"}']


async def test_filler_call_result_and_answer_without_a_word_of_the_client():
    tool = ScriptedTool("hours", Result({"open": "09:00"}), schema=SCHEMA, filler={"": "One moment."})
    chat = Receptionist([HOURS], ["We open at nine."])
    async with call(chat, config(tool), box(tool)) as (runner, client):
        await runner.receive(e.CreateResponse(None))
        await client.until(e.ResponseDone, 2)
    assert spoken(client) == ["One moment.", "We open at nine."]
    kinds = [event.item.kind.value for event in client.events if isinstance(event, e.ItemDone)]
    assert kinds == ["message", "function_call", "function_call_output", "message"]
    assert chat.requests[-1].messages[-1].text == '{"open":"09:00"}'


async def test_partial_results_are_heard_before_the_rest_is_known():
    gate = asyncio.Event()
    tool = ScriptedTool("hours", Partial("Two are free."), gate, Result("nine and ten"), schema=SCHEMA)
    async with call(Receptionist([HOURS], ["Which one?"]), config(tool), box(tool)) as (runner, client):
        await runner.receive(e.CreateResponse(None))
        await client.until(e.ResponseDone, 2)
        assert spoken(client) == ["Two are free."]
        gate.set()
        await client.until(e.ResponseDone, 3)
    assert spoken(client) == ["Two are free.", "Which one?"]


async def test_a_slow_tool_gets_a_second_filler():
    gate = asyncio.Event()
    tool = ScriptedTool(
        "hours", gate, Result("nine"), schema=SCHEMA, second_filler={"": "Still looking."}, slow_after_s=0.01
    )
    async with call(Receptionist([HOURS], ["At nine."]), config(tool), box(tool)) as (runner, client):
        await runner.receive(e.CreateResponse(None))
        await client.until(e.ResponseDone, 2)
        gate.set()
        await client.until(e.ResponseDone, 3)
    assert spoken(client) == ["Still looking.", "At nine."]


async def test_a_tool_that_fails_is_answered_and_the_session_goes_on():
    tool = ScriptedTool("hours", RuntimeError("boom"), schema=SCHEMA)
    chat = Receptionist([HOURS], ["I cannot look that up."], ["Yes?"])
    async with call(chat, config(tool), box(tool)) as (runner, client):
        await runner.receive(e.CreateResponse(None))
        await client.until(e.ResponseDone, 2)
        assert spoken(client) == ["I cannot look that up."]
        assert chat.requests[-1].messages[-1].text == '{"error":"internal error"}'
        await runner.receive(e.CreateResponse(None))
        await client.until(e.ResponseDone, 3)
    assert spoken(client)[-1] == "Yes?"


async def test_a_call_that_ends_takes_its_lookups_along_and_lets_deeds_finish():
    gate = asyncio.Event()
    look = ScriptedTool("hours", asyncio.Event(), schema=SCHEMA, safe=True)
    book = ScriptedTool("book", gate, Result("booked"))
    chat = Receptionist([HOURS, ToolCallDelta(1, "{}", id="call_2", name="book")])
    async with call(chat, config(look, book), box(look, book)) as (runner, _):
        await runner.receive(e.CreateResponse(None))
        await look.started.wait()
        await book.started.wait()
    await look.ended.wait()
    assert not book.ended.is_set()
    gate.set()
    await book.ended.wait()


async def test_a_model_that_does_nothing_but_call_is_stopped_and_apologised_for():
    tool = ScriptedTool("hours", Result("nine"), schema=SCHEMA, safe=True)
    chat = Receptionist([HOURS])
    limits = e.ToolLimits(turn=2, session=9)
    words = {"tool_limits": limits, "apologies": {"en": "I am sorry."}, "language": "en"}
    async with call(chat, config(tool, **words), box(tool)) as (runner, client):
        await runner.receive(e.CreateResponse(None))
        await client.until(e.ResponseDone, 4)
    assert [request.tool_choice for request in chat.requests] == ["auto", "auto", "none"]
    assert len(tool.calls) == 2
    assert spoken(client) == ["I am sorry."]
