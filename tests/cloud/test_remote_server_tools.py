"""Tools of the server in a session that a provider serves: they run here, and their results are sent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

from server.core import events as e
from server.runtime.tools import Partial, Result, Toolbox, ToolCall, ToolContext, offered
from tests.cloud.clock_tool import Clock, with_tool
from tests.cloud.stand_in import Provider, calling, refuse, typed


async def test_a_tool_of_the_server_runs_here_and_its_result_is_sent_before_the_answer_is_asked_for(provider: Provider):
    tool = Clock(Result({"time": "noon"}, changes={"instructions": "Be punctual."}))
    tool.go.set()
    config, toolbox = with_tool(tool)
    async with calling(provider, config, toolbox=toolbox) as call:
        there = await provider.connection()
        opened = await there.until("session.update")
        assert [entry["name"] for entry in opened["session"]["tools"]] == ["tell_time"]
        await there.call("tell_time", "{}")
        await there.until("response.create")
        kinds = [event["type"] for event in there.received if event["type"] != "input_audio_buffer.append"]
        assert kinds == ["session.update", "session.update", "conversation.item.create", "response.create"]
        assert there.received[1]["session"]["instructions"] == "Be punctual."
        item = there.of("conversation.item.create")[0]["item"]
        assert (item["type"], item["call_id"], item["output"]) == ("function_call_output", "call_1", '{"time":"noon"}')
        # Nobody asked for a change of the session: nobody is told of one.
        assert not call.door.of(e.SessionUpdated)


async def test_a_tool_knows_which_agent_has_called_it(provider: Provider):
    seen: list[str] = []

    class Asking(Clock):
        async def run(self, call: ToolCall, context: ToolContext) -> AsyncIterator[Partial | Result]:
            seen.append(context.agent)
            yield Result("noon")

    tool = Asking()
    config = e.SessionConfig(server_tools=(offered(tool),), agent="router")
    async with calling(provider, config, toolbox=Toolbox(agents={"router": {"tell_time": tool}})):
        there = await provider.connection()
        await there.call("tell_time", "{}")
        await there.until("response.create")
    assert seen == ["router"]


async def test_a_tool_that_has_the_words_has_them_recited(provider: Provider):
    tool = Clock(Partial("Let me look."), Result("noon", say="It is noon."))
    tool.go.set()
    config, toolbox = with_tool(tool)
    async with calling(provider, config, toolbox=toolbox):
        there = await provider.connection()
        await there.call("tell_time", "{}")
        first = await there.until("response.create")
        assert first["response"]["instructions"].endswith("Let me look.")
        await there.respond("Let me look.", 2)
        second = await there.until("response.create", 2)
        assert second["response"]["instructions"].endswith("It is noon.")


async def test_while_a_tool_runs_the_caller_hears_what_is_set_down_for_that(provider: Provider):
    words = {"filler": {"": "One moment."}, "second_filler": {"": "Still looking."}}
    tool = Clock(Result("noon"), slow_after_s=0.0, **words)
    config, toolbox = with_tool(tool)
    async with calling(provider, config, toolbox=toolbox) as call:
        there = await provider.connection()
        await there.call("tell_time", "{}")
        said = [(await there.until("response.create", 1))["response"]["instructions"]]
        await there.respond("One moment.", 2)
        said.append((await there.until("response.create", 2))["response"]["instructions"])
        await there.respond("Still looking.", 3)
        await call.door.until_number(e.ResponseDone, 3)
        tool.go.set()
        answer = await there.until("response.create", 3)
        assert sorted(text.partition(": ")[2] for text in said) == ["One moment.", "Still looking."]
        assert "instructions" not in answer["response"]


async def test_a_model_that_has_said_so_itself_is_given_no_other_words(provider: Provider):
    tool = Clock(Result("noon"), filler={"": "One moment."})
    config, toolbox = with_tool(tool)
    async with calling(provider, config, toolbox=toolbox) as call:
        there = await provider.connection()
        spoken = {"id": "item_9", "type": "message", "role": "assistant", "content": []}
        await there.call("tell_time", "{}", also=[spoken])
        await call.door.until(e.ResponseDone)
        tool.go.set()
        assert "instructions" not in (await there.until("response.create"))["response"]


async def test_a_call_that_is_told_twice_is_run_once_and_for_its_agent(provider: Provider):
    tool = Clock(Result("noon"), safe=True)
    config, toolbox = with_tool(tool)
    async with calling(provider, replace(config, agent="reception"), toolbox=toolbox) as call:
        there = await provider.connection()
        item = {"id": "item_1", "type": "function_call", "name": "tell_time", "call_id": "call_1", "arguments": "{}"}
        await there.say("response.created", response={"id": "resp_1", "status": "in_progress"})
        for _ in range(2):
            await there.say("response.output_item.done", response_id="resp_1", output_index=0, item=item)
        await call.door.until_number(e.OutputItemDone, 2)
        tool.go.set()
        await there.until("conversation.item.create")
        await call.runner.receive(typed("Thanks."))
        await there.until("conversation.item.create", 2)
        assert [context.agent for context in tool.runs] == ["reception"]


async def test_a_caller_can_reach_a_human_when_all_other_calls_are_used_up(provider: Provider):
    tool = Clock(Result("noon"), unlimited=True)
    tool.go.set()
    config, toolbox = with_tool(tool)
    async with calling(provider, replace(config, tool_limits=e.ToolLimits(0, 0)), toolbox=toolbox):
        there = await provider.connection()
        await there.call("tell_time", "{}")
        assert (await there.until("conversation.item.create"))["item"]["output"] == "noon"


async def test_a_call_that_is_run_is_in_the_replay_of_its_result(provider: Provider):
    tool = Clock(Result("noon"))
    config, toolbox = with_tool(tool)
    async with calling(provider, config, toolbox=toolbox) as call:
        first = await provider.connection()
        item = {"id": "item_1", "type": "function_call", "name": "tell_time", "call_id": "call_1", "arguments": "{}"}
        begun = {**item, "status": "in_progress"}
        await first.say("response.created", response={"id": "resp_1", "status": "in_progress"})
        await first.say("conversation.item.added", item=begun, previous_item_id=None)
        await first.say("response.output_item.added", response_id="resp_1", output_index=0, item=begun)
        await first.say("response.output_item.done", response_id="resp_1", output_index=0, item=item)
        await call.door.until(e.OutputItemDone)
        await first.close()
        second = await provider.connection(2)
        await second.until("conversation.item.create", 1)
        tool.go.set()
        await second.until("conversation.item.create", 2)
        assert [event["item"]["type"] for event in second.of("conversation.item.create")] == [
            "function_call",
            "function_call_output",
        ]


async def test_a_caller_who_goes_on_ends_a_call_that_is_of_no_use_then(provider: Provider):
    config, toolbox = with_tool(Clock(Result("noon")))
    async with calling(provider, config, toolbox=toolbox) as call:
        there = await provider.connection()
        await there.call("tell_time", "{}")
        await call.door.until(e.ResponseDone)
        await there.say("input_audio_buffer.speech_started", item_id="item_u", audio_start_ms=0)
        item = (await there.until("conversation.item.create"))["item"]
        assert "cancelled" in item["output"]
        await there.say("input_audio_buffer.committed", item_id="item_u", previous_item_id=None)
        await there.respond("As you like.", 2)
        await call.door.until_number(e.ResponseDone, 2)
        await call.runner.receive(typed("Thanks."))
        await there.until("conversation.item.create", 2)
        assert not there.of("response.create")


async def test_a_call_that_goes_on_meanwhile_is_reported_when_nobody_speaks(provider: Provider):
    tool = Clock(Result("noon"), on_interrupt="finish")
    config, toolbox = with_tool(tool)
    async with calling(provider, config, toolbox=toolbox) as call:
        there = await provider.connection()
        await there.call("tell_time", "{}")
        await call.door.until(e.ResponseDone)
        await there.say("input_audio_buffer.speech_started", item_id="item_u", audio_start_ms=0)
        await call.door.until(e.SpeechStarted)
        tool.go.set()
        await there.until("conversation.item.create")
        assert not there.of("response.create")
        await there.say("input_audio_buffer.committed", item_id="item_u", previous_item_id=None)
        await there.respond("As you like.", 2)
        await there.until("response.create")


async def test_a_result_that_the_callers_own_answer_knew_of_is_not_reported_again(provider: Provider):
    tool = Clock(Result("noon"), on_interrupt="finish")
    config, toolbox = with_tool(tool)
    async with calling(provider, config, toolbox=toolbox) as call:
        there = await provider.connection()
        await there.call("tell_time", "{}")
        await call.door.until(e.ResponseDone)
        await there.say("input_audio_buffer.speech_started", item_id="item_u", audio_start_ms=0)
        await call.door.until(e.SpeechStarted)
        tool.go.set()
        await call.door.until_number(e.ItemAdded, 2)
        await there.say("input_audio_buffer.committed", item_id="item_u", previous_item_id=None)
        await there.respond("It is noon.", 2, done=False)
        await refuse(there)
        await there.say(
            "response.done", response={"id": "resp_2", "status": "completed", "conversation_id": "conv_there"}
        )
        await call.door.until_number(e.ResponseDone, 2)
        await call.runner.receive(e.Say("Goodbye."))
        second = await there.until("response.create", 2)
        assert second["response"]["instructions"].endswith("Goodbye.")


async def test_a_name_of_a_server_tool_is_not_for_clients(provider: Provider):
    config, toolbox = with_tool(Clock(Result("noon")))
    async with calling(provider, config, toolbox=toolbox) as call:
        await call.runner.receive(e.UpdateSession("event_1", {"tools": (e.Tool("tell_time", "", {}),)}))
        await call.door.until(e.Error)
        endpoint = e.McpEndpoint("crm", "https://crm.example/mcp")
        await call.runner.receive(e.UpdateSession("event_2", {"mcp": (endpoint,)}))
        await call.door.until_number(e.Error, 2)
        own = e.ResponseOverrides(tools=(e.Tool("tell_time", "", {}),))
        await call.runner.receive(e.CreateResponse("event_3", own))
        await call.door.until_number(e.Error, 3)
        assert [error.event_id for error in call.door.of(e.Error)] == ["event_1", "event_2", "event_3"]
        there = await provider.connection()
        assert len(there.of("session.update")) <= 1
        assert not there.of("response.create")
