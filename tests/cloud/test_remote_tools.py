"""Server tools behind a hosted session, call by call."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from server.cloud.remote_tools import RemoteTools
from server.core import events as e
from server.runtime.tools import Result
from tests.cloud.clock_tool import Clock, with_tool

DONE = e.ResponseView("resp_1", e.ResponseStatus.COMPLETED, "conv_1", "audio", "", e.AudioFormat.PCM, None, None)


class Bench:
    """One session's tools, and a tool that waits. facts: what they tell the session."""

    def __init__(self, tool: Clock) -> None:
        self.config, toolbox = with_tool(tool)
        self.facts: asyncio.Queue[e.Input] = asyncio.Queue()
        self.tools = RemoteTools("sess_1", toolbox, self.facts.put, asyncio.get_running_loop().time)

    def call(self, number: int = 1) -> None:
        """The model calls the tool, and its response is done."""
        item = e.Item(f"item_{number}", e.ItemKind.FUNCTION_CALL, call_id=f"call_{number}", name="tell_time")
        self.tools.called(f"resp_{number}", item, "", self.config)
        self.tools.response_done(replace(DONE, id=f"resp_{number}"))

    async def finished(self) -> None:
        """A call has its result."""
        async with asyncio.timeout(20):
            fact = await self.facts.get()
        assert isinstance(fact, e.ToolFinished)
        self.tools.finished(fact)


@pytest.fixture
def tool() -> Clock:
    return Clock(Result("noon"))


async def test_of_calls_that_the_provider_called_off_there_is_nothing_to_report(tool: Clock):
    bench = Bench(tool)
    bench.call()
    bench.tools.cancel(("call_1",))
    assert not bench.tools.running
    assert bench.tools.report() is None
    bench.tools.close()


async def test_a_deed_that_is_to_be_finished_is_finished_though_the_provider_called_it_off():
    tool = Clock(Result("noon"), on_interrupt="finish")
    bench = Bench(tool)
    bench.call()
    bench.tools.cancel(("call_1",))
    assert bench.tools.running
    tool.go.set()
    await bench.finished()
    assert bench.tools.report() is not None
    bench.tools.close()


async def test_words_that_are_spoken_while_a_result_comes_do_not_tell_it(tool: Clock):
    bench = Bench(tool)
    bench.call()
    bench.tools.response_began()
    tool.go.set()
    await bench.finished()
    spoken = replace(DONE, id="resp_2", output=(e.Item("item_2", e.ItemKind.MESSAGE, role="assistant"),))
    assert bench.tools.response_done(spoken) == ()
    bench.tools.response_began()
    assert bench.tools.response_done(replace(spoken, id="resp_3")) == ("call_1",)
    bench.tools.close()


async def test_a_session_that_ends_leaves_no_alarm():
    tool = Clock(Result("noon"), second_filler={"": "Still looking."}, slow_after_s=3600.0)
    bench = Bench(tool)
    before = asyncio.all_tasks()
    bench.call()
    bench.tools.close()
    begun = asyncio.all_tasks() - before
    await asyncio.wait_for(asyncio.gather(*begun, return_exceptions=True), 20)


async def test_a_result_that_the_response_has_told_itself_needs_no_other_words(tool: Clock):
    tool = Clock(Result("noon", say="It is noon.", repeats=True))
    bench = Bench(tool)
    bench.call()
    tool.go.set()
    await bench.finished()
    report = bench.tools.report()
    assert report is not None
    assert (report.say, report.quiet) == ("", True)
    bench.tools.close()
