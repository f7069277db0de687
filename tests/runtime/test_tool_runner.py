"""Server tools: run once, within their time, and whatever they do the model gets something short to read."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from server.core import events as e
from server.errors import StoreError, ToolError
from server.runtime.tool_runner import ToolRunner
from server.runtime.tools import MemoryLedger, Partial, Result, Toolbox
from tests.runtime.tools import SCHEMA, ScriptedTool


class Desk:
    """A ToolRunner and what it tells; one ledger may serve several."""

    def __init__(self, *tools: ScriptedTool, session: str = "sess_1", **toolbox: Any) -> None:
        self.facts: asyncio.Queue[e.Input] = asyncio.Queue()
        box = Toolbox(tools={tool.spec.name: tool for tool in tools}, **toolbox)
        self.runner = ToolRunner(session, box, self.facts.put, asyncio.get_running_loop().time)

    def start(self, name: str, arguments: str = "{}", call: str = "call_1", refusal: str = "") -> None:
        self.runner.start(e.RunTool(call, name, arguments, "resp_1", "item_1", "en", refusal))

    async def finished(self) -> e.ToolFinished:
        while not isinstance(fact := await self.facts.get(), e.ToolFinished):
            pass
        return fact

    async def run(self, name: str, arguments: str = "{}", call: str = "call_1", refusal: str = "") -> e.ToolFinished:
        self.start(name, arguments, call, refusal)
        return await self.finished()


async def test_a_result_reaches_the_model_as_json():
    tool = ScriptedTool("hours", Result({"open": "09:00"}), schema=SCHEMA)
    fact = await Desk(tool).run("hours", '{"day": "friday"}')
    assert (fact.call_id, fact.outcome, json.loads(fact.output)) == ("call_1", "ok", {"open": "09:00"})
    assert tool.calls[0].arguments == {"day": "friday"}
    assert (tool.calls[0].response_id, tool.calls[0].turn_id) == ("resp_1", "item_1")
    assert (tool.contexts[0].session_id, tool.contexts[0].scope, tool.contexts[0].language) == (
        "sess_1",
        "sess_1",
        "en",
    )


async def test_what_was_dictated_reaches_the_tool_as_it_is_written():
    schema = {"type": "object", "properties": {"number": {"type": "string", "format": "digits"}}}
    tool = ScriptedTool("customer", Result("known"), schema=schema)
    await Desk(tool).run("customer", '{"number": "zero three, double one"}')
    assert tool.calls[0].arguments == {"number": "0311"}


async def test_words_given_as_they_are_and_a_hand_off_come_along():
    tool = ScriptedTool("hand", Result("moved", {"instructions": "Book."}, "Now you talk to bookings."))
    fact = await Desk(tool).run("hand")
    assert (fact.output, fact.changes, fact.say) == ("moved", {"instructions": "Book."}, "Now you talk to bookings.")


async def test_partial_results_are_told_before_the_result():
    desk = Desk(ScriptedTool("search", Partial("Two found."), Partial("x" * 5000), Partial("never"), Result("done")))
    desk.start("search")
    assert await desk.facts.get() == e.ToolPartial("call_1", "Two found.")
    long = await desk.facts.get()
    assert isinstance(long, e.ToolPartial)
    assert len(long.text) == 2_000 - len("Two found.")
    assert isinstance(await desk.facts.get(), e.ToolFinished)


NO_RESULT = {"hint": "The tool gave no result.", "error": "internal error"}
UNREADABLE = {"hint": "The tool gave a result that cannot be read.", "error": "internal error"}


@pytest.mark.parametrize(
    ("parts", "outcome", "told"),
    [
        ((ToolError("the line is busy"),), "error", {"error": "the line is busy"}),
        ((RuntimeError("password=secret"),), "error", {"error": "internal error"}),
        ((), "bad_result", NO_RESULT),
        ((Partial("no more"),), "bad_result", NO_RESULT),
        ((Result({"socket": object()}),), "bad_result", UNREADABLE),
        ((Result("\ud800"),), "bad_result", UNREADABLE),
        (
            (Result("x" * 5_000_000),),
            "too_large",
            {"hint": "The result had 5000000 bytes; ask for less.", "error": "internal error"},
        ),
        (("garbage",), "bad_result", NO_RESULT),
    ],
)
async def test_whatever_a_tool_does_the_model_reads_one_short_error(
    parts: tuple[Any, ...], outcome: str, told: dict[str, str]
):
    fact = await Desk(ScriptedTool("hours", *parts)).run("hours")
    assert (fact.outcome, json.loads(fact.output)) == (outcome, told)
    assert list(json.loads(fact.output))[-1] == "error"
    assert len(fact.output) < 700


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ("{", "the arguments are not JSON"),
        ("[1]", "the arguments must be one JSON object"),
        ("", "'day' is a required property"),
        ('{"day": "someday"}', "day: 'someday' is not one of"),
    ],
)
async def test_arguments_that_the_schema_does_not_allow_never_reach_the_tool(arguments: str, hint: str):
    tool = ScriptedTool("hours", Result(1), schema=SCHEMA)
    fact = await Desk(tool).run("hours", arguments)
    assert fact.outcome == "invalid_arguments"
    assert json.loads(fact.output)["hint"].startswith(f"Invalid arguments: {hint}")
    assert tool.calls == []


async def test_a_tool_that_does_not_exist_is_told_with_those_that_do():
    fact = await Desk(ScriptedTool("hours", Result(1))).run("sing")
    assert (fact.outcome, json.loads(fact.output)) == (
        "unknown_tool",
        {"hint": "There is no such tool; there are: hours", "error": "internal error"},
    )


async def test_a_refused_call_is_not_made():
    tool = ScriptedTool("hours", Result(1))
    fact = await Desk(tool).run("hours", refusal="limit")
    assert fact.outcome == "limit"
    assert tool.calls == []


async def test_a_tool_that_hangs_is_cut_off():
    tool = ScriptedTool("hours", asyncio.Event(), timeout_s=0.01)
    fact = await Desk(tool).run("hours")
    assert (fact.outcome, json.loads(fact.output)) == ("timeout", {"error": "timeout"})
    assert tool.ended.is_set()


async def test_only_what_is_declared_safe_is_tried_again():
    safe = ScriptedTool("look", ToolError("busy", retryable=True), safe=True)
    deed = ScriptedTool("book", ToolError("busy", retryable=True))
    desk = Desk(safe, deed)
    assert (await desk.run("look")).outcome == "error"
    assert (await desk.run("book", call="call_2")).outcome == "error"
    assert (len(safe.calls), len(deed.calls)) == (2, 1)


async def test_a_deed_is_done_once_until_the_caller_knows_of_it():
    tool = ScriptedTool("book", Result("booked"))
    desk = Desk(tool)
    first = await desk.run("book", '{"day": "friday", "time": "10"}')
    again = await desk.run("book", '{"time": "10", "day": "friday"}', "call_2")
    assert (first.outcome, again.outcome, again.output) == ("ok", "repeated", "booked")
    assert len(tool.calls) == 1
    await desk.runner.told(("call_1", "call_2"))
    later = await desk.run("book", '{"day": "friday", "time": "10"}', "call_3")
    assert later.outcome == "ok"
    assert tool.calls[0].idempotency_key != tool.calls[1].idempotency_key


async def test_two_identical_calls_at_once_are_one_deed():
    gate = asyncio.Event()
    tool = ScriptedTool("book", gate, Result("booked"))
    desk = Desk(tool)
    desk.start("book")
    await tool.started.wait()
    desk.start("book", call="call_2")
    gate.set()
    outcomes = {(await desk.finished()).outcome, (await desk.finished()).outcome}
    assert outcomes == {"ok", "repeated"}
    assert len(tool.calls) == 1


async def test_a_lookup_may_be_asked_again():
    tool = ScriptedTool("look", Result("sunny"), safe=True)
    desk = Desk(tool)
    assert [(await desk.run("look", call=f"call_{n}")).outcome for n in (1, 2)] == ["ok", "ok"]


async def test_a_deed_outlives_the_session_that_began_it_and_is_not_done_again_in_the_next():
    ledger, gate = MemoryLedger(), asyncio.Event()
    tool = ScriptedTool("book", gate, Result("booked"), on_interrupt="finish")
    first = Desk(tool, ledger=ledger, scope="+49301234")
    first.start("book")
    await tool.started.wait()
    first.runner.close()
    gate.set()
    await tool.ended.wait()
    second = Desk(tool, session="sess_2", ledger=ledger, scope="+49301234")
    assert (await second.run("book", call="call_9")).output == "booked"
    assert len(tool.calls) == 1
    assert first.facts.empty()


async def test_a_deed_whose_outcome_nobody_knows_is_not_done_again():
    ledger = MemoryLedger()
    tool = ScriptedTool("book", Result("booked"))
    desk = Desk(tool, ledger=ledger, scope="+49301234")
    await desk.run("book")
    (deed,) = [call.idempotency_key.partition(".")[0] for call in tool.calls]
    await ledger.abandon(deed)
    assert await ledger.begin(deed, tool.calls[0], tool.contexts[0]) is None
    fact = await Desk(tool, ledger=ledger, scope="+49301234").run("book")
    assert fact.outcome == "uncertain"
    assert "nobody knows" in json.loads(fact.output)["hint"]
    assert len(tool.calls) == 1


async def test_a_call_that_is_stopped_tells_nothing_and_may_be_made_again():
    tool = ScriptedTool("look", asyncio.Event(), on_interrupt="cancel")
    desk = Desk(tool)
    desk.start("look")
    await tool.started.wait()
    desk.runner.stop("call_1")
    await tool.ended.wait()
    tool.started.clear()
    desk.start("look", call="call_2")
    await tool.started.wait()
    desk.runner.close()
    assert desk.facts.empty()


async def test_what_was_tried_again_after_a_timeout_carries_the_same_key_and_what_is_wished_anew_another():
    hangs = ScriptedTool("book", asyncio.Event(), timeout_s=0.01)
    keys = []
    ledger = MemoryLedger()
    for number in range(2):
        desk = Desk(hangs, session=f"sess_{number}", ledger=ledger, scope="+49301234")
        assert (await desk.run("book")).outcome == "timeout"
        keys.append(hangs.calls[-1].idempotency_key)
        await desk.runner.told(("call_1",))
    works = ScriptedTool("book", Result("booked"))
    for number in range(2, 4):
        desk = Desk(works, session=f"sess_{number}", ledger=ledger, scope="+49301234")
        assert (await desk.run("book")).outcome == "ok"
        keys.append(works.calls[-1].idempotency_key)
        await desk.runner.told(("call_1",))
    assert keys[0] == keys[1] == keys[2] != keys[3]


class _Slow(MemoryLedger):
    """Takes its time to write an outcome down."""

    def __init__(self) -> None:
        super().__init__()
        self.writing, self.go, self.written = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def finish(self, deed: str, outcome: str, output: str, seconds: float) -> None:
        self.writing.set()
        await self.go.wait()
        await super().finish(deed, outcome, output, seconds)
        self.written.set()


async def test_a_call_that_is_stopped_when_it_has_happened_has_happened():
    ledger = _Slow()
    tool = ScriptedTool("book", Result("booked"), on_interrupt="cancel")
    desk = Desk(tool, ledger=ledger)
    desk.start("book")
    await ledger.writing.wait()
    desk.runner.stop("call_1")
    ledger.go.set()
    await ledger.written.wait()
    assert (await desk.run("book", call="call_2")).outcome == "repeated"
    assert len(tool.calls) == 1


async def test_a_deed_that_a_server_going_down_cuts_off_is_not_forgotten():
    ledger = MemoryLedger()
    tool = ScriptedTool("book", asyncio.Event())
    desk = Desk(tool, ledger=ledger, scope="+49301234")
    desk.start("book")
    await tool.started.wait()
    # What the event loop does to all tasks at the end.
    desk.runner.stop("call_1")
    await tool.ended.wait()
    again = Desk(tool, session="sess_2", ledger=ledger, scope="+49301234")
    assert (await again.run("book")).outcome == "uncertain"
    assert len(tool.calls) == 1


async def test_a_deed_of_which_nobody_knows_is_told_so_and_keeps_its_key_when_it_is_asked_for_again():
    tool = ScriptedTool("book", ToolError("no answer, nobody knows", uncertain=True))
    desk = Desk(tool)
    fact = await desk.run("book")
    assert (fact.outcome, json.loads(fact.output)) == ("uncertain", {"error": "no answer, nobody knows"})
    assert (await desk.run("book", call="call_2")).outcome == "repeated"
    assert len(tool.calls) == 1
    await desk.runner.told(("call_1",))
    await desk.run("book", call="call_3")
    first, second = tool.calls
    assert first.idempotency_key == second.idempotency_key


async def test_of_a_lookup_nobody_need_know_whether_it_happened():
    tool = ScriptedTool("look", ToolError("no answer", uncertain=True), safe=True)
    await Desk(tool).run("look")
    assert len(tool.calls) == 2


async def test_a_session_is_over_when_its_last_call_has_ended():
    over = asyncio.Event()
    go_on = asyncio.Event()
    slow = ScriptedTool("book", go_on, Result("booked"), on_interrupt="finish")
    look = ScriptedTool("look", asyncio.Event(), on_interrupt="cancel")
    desk = Desk(slow, look, over=over.set)
    desk.start("book")
    desk.start("look", call="call_2")
    await slow.started.wait()
    await look.started.wait()
    desk.runner.close()
    await look.ended.wait()
    assert not over.is_set()
    go_on.set()
    await over.wait()
    assert slow.ended.is_set()


def test_a_session_without_calls_is_over_at_once():
    said: list[str] = []
    ToolRunner("sess_1", Toolbox(over=lambda: said.append("over")), asyncio.Queue().put, lambda: 0.0).close()
    assert said == ["over"]


class _Full(MemoryLedger):
    async def finish(self, *_: object) -> None:
        raise StoreError("disk full")


async def test_of_what_was_done_and_could_not_be_written_down_the_outcome_is_told_all_the_same():
    tool = ScriptedTool("book", Result("booked"))
    desk = Desk(tool, ledger=_Full())
    fact = await desk.run("book")
    assert (fact.outcome, fact.output) == ("ok", "booked")
    assert (await desk.run("book", call="call_2")).outcome == "uncertain"
    assert len(tool.calls) == 1


async def test_an_agent_cannot_call_the_tools_of_another():
    book, price = ScriptedTool("book", Result(1)), ScriptedTool("price", Result(2))
    desk = Desk(agents={"router": {"price": price}, "booking": {"book": book}})
    desk.runner.start(e.RunTool("call_1", "book", "{}", "resp_1", "", "en", agent="router"))
    fact = await desk.finished()
    assert (fact.outcome, json.loads(fact.output)["hint"]) == (
        "unknown_tool",
        "There is no such tool; there are: price",
    )
    assert book.calls == []
    desk.runner.start(e.RunTool("call_2", "book", "{}", "resp_1", "", "en", agent="booking"))
    assert (await desk.finished()).outcome == "ok"


class _Unwritable(MemoryLedger):
    async def begin(self, *_: object) -> None:
        raise StoreError("disk full")


async def test_what_cannot_be_written_down_is_not_done():
    tool = ScriptedTool("book", Result("booked"))
    fact = await Desk(tool, ledger=_Unwritable()).run("book")
    assert fact.outcome == "error"
    assert "disk" not in fact.output
    assert tool.calls == []
