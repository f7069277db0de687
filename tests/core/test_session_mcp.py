"""The protocol's mcp tools: listing, calls inside a response, calls that the client has to approve."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from server.core import events as e
from tests.core.script import Script, names

WEATHER = e.ServerTool(e.Tool("get_weather", "Weather.", {"type": "object"}), e.ToolPolicy(on_interrupt="cancel"))
SERVER = e.McpEndpoint("weather", "https://weather.example/mcp", approval=e.NO_APPROVAL)
ASKING = e.McpEndpoint("weather", "https://weather.example/mcp")


class Call(Script):
    """A conversation with an MCP server that has told its tools."""

    def __init__(self, server: e.McpEndpoint = SERVER, **config: object) -> None:
        super().__init__(**config)
        self.tell(e.UpdateSession(None, {"mcp": (server,)}))
        self.tell(e.McpListed(self.last(e.ConnectMcp).item_id, (WEATHER,)))

    def calls(self, response: str, arguments: str = '{"location": "Berlin"}', call: str = "call_1") -> list[e.Output]:
        return self.tell(e.ResponseToolCall(response, call, "get_weather", arguments, done=True))

    def found(self, call: str = "call_1", output: str = "sunny", outcome: str = "ok") -> list[e.Output]:
        return self.tell(e.ToolFinished(call, e.ToolOutcome(outcome), output, 0.1))

    def approval(self, approve: bool) -> e.CreateItem:
        request = next(item for item in self.session.conversation if item.kind is e.ItemKind.MCP_APPROVAL_REQUEST)
        kind = e.ItemKind.MCP_APPROVAL_RESPONSE
        return e.CreateItem("event_1", e.Item("", kind, approval_request_id=request.id, approve=approve), None)


def test_a_server_that_is_named_is_asked_for_its_tools():
    script = Script()
    said = script.tell(e.UpdateSession(None, {"mcp": (SERVER,)}))
    assert names(said) == ["SessionUpdated", "McpListInProgress", "ConnectMcp"]
    item_id = script.last(e.ConnectMcp).item_id
    said = script.tell(e.McpListed(item_id, (WEATHER,)))
    assert names(said) == ["ItemAdded", "ItemDone", "McpListCompleted"]
    item = script.session.conversation[item_id]
    assert (item.kind, item.server_label, item.tools) == ("mcp_list_tools", "weather", (WEATHER.tool,))
    script.question()
    assert script.last(e.PrepareResponse).generation.tools == (WEATHER.tool,)


def test_a_server_that_cannot_be_had_is_told_and_the_session_goes_on():
    script = Script()
    script.tell(e.UpdateSession(None, {"mcp": (SERVER,)}))
    said = script.tell(e.McpListed(script.last(e.ConnectMcp).item_id, (), "not allowed."))
    assert names(said) == ["ItemAdded", "ItemDone", "McpListFailed", "Error"]
    assert script.last(e.Error).message.endswith("not allowed.")
    assert script.question()


def test_a_server_that_is_no_longer_named_is_let_go_and_the_same_one_is_not_asked_again():
    call = Call()
    assert names(call.tell(e.UpdateSession(None, {"mcp": (SERVER,)}))) == ["SessionUpdated"]
    assert "DisconnectMcp" in names(call.tell(e.UpdateSession(None, {"mcp": ()})))
    call.question()
    assert call.last(e.PrepareResponse).generation.tools == ()


def test_a_list_that_nobody_wants_any_more_is_not_shown():
    script = Script()
    script.tell(e.UpdateSession(None, {"mcp": (SERVER,)}))
    script.tell(e.UpdateSession(None, {"mcp": ()}))
    assert script.tell(e.McpListed(script.last(e.ConnectMcp).item_id, (WEATHER,))) == []


def test_names_that_are_taken_are_left_to_their_owner():
    script = Script(tools=(WEATHER.tool,))
    script.tell(e.UpdateSession(None, {"mcp": (SERVER,)}))
    script.tell(e.McpListed(script.last(e.ConnectMcp).item_id, (WEATHER,)))
    response = script.question()
    script.tell(e.ResponseToolCall(response, "call_1", "get_weather", "{}", done=True))
    assert script.all(e.RunTool) == []


def test_a_call_is_run_inside_its_response_and_reported_by_the_next():
    call = Call()
    response = call.question()
    said = call.calls(response)
    assert names(said) == [
        "OutputItemAdded",
        "ItemAdded",
        "McpArgumentsDelta",
        "McpArgumentsDone",
        "McpCallInProgress",
        "RunTool",
    ]
    assert call.finished(response) == []
    said = call.found()
    assert names(said)[:4] == ["McpCallCompleted", "ItemDone", "OutputItemDone", "ResponseDone"]
    item = call.last(e.ResponseDone).response.output[0]
    assert (item.kind, item.server_label, item.output) == ("mcp_call", "weather", "sunny")
    messages = call.last(e.PrepareResponse).generation.messages
    assert messages[-2].calls[0].name == "get_weather"
    assert (messages[-1].role, messages[-1].text) == ("tool", "sunny")
    assert call.last(e.ResponseCreated).response.id != response


def test_a_failed_call_says_so_in_its_item():
    call = Call()
    response = call.question()
    call.calls(response)
    call.finished(response)
    said = call.found(output='{"error": "timeout"}', outcome="timeout")
    assert names(said)[0] == "McpCallFailed"
    item = call.all(e.OutputItemDone)[-1].item
    assert (item.output, json.loads(item.error)) == ("", {"error": "timeout"})


def test_what_comes_behind_a_call_waits_for_it():
    call = Call()
    response = call.question()
    call.calls(response)
    assert call.says(response, "There you are.") == []
    assert names(call.calls(response, call="call_2")) == ["RunTool"]
    said = call.found()
    assert names(said)[:4] == ["McpCallCompleted", "ItemDone", "OutputItemDone", "OutputItemAdded"]
    call.finished(response)
    call.found("call_2")
    assert [item.kind for item in call.all(e.ResponseDone)[-1].response.output] == ["mcp_call", "message", "mcp_call"]


def test_calls_in_one_response_run_at_the_same_time_and_are_told_one_after_the_other():
    call = Call()
    response = call.question()
    call.calls(response)
    call.tell(e.ResponseToolCall(response, "call_2", "get_weather", '{"location"', done=False))
    call.calls(response, ': "Rome"}', call="call_2")
    assert [(run.call_id, run.arguments) for run in call.all(e.RunTool)] == [
        ("call_1", '{"location": "Berlin"}'),
        ("call_2", '{"location": "Rome"}'),
    ]
    assert call.found("call_2", "rain") == []
    call.finished(response)
    said = call.found("call_1")
    assert names(said)[:11] == [
        *("McpCallCompleted", "ItemDone", "OutputItemDone"),
        *("OutputItemAdded", "ItemAdded", "McpArgumentsDelta", "McpArgumentsDelta", "McpArgumentsDone"),
        *("McpCallInProgress", "McpCallCompleted", "ItemDone"),
    ]
    done = call.all(e.ResponseDone)[-1].response
    assert [(item.call_id, item.output) for item in done.output] == [("call_1", "sunny"), ("call_2", "rain")]
    assert len(call.all(e.RunTool)) == 2
    messages = call.last(e.PrepareResponse).generation.messages
    assert [message.text for message in messages if message.role == "tool"] == ["sunny", "rain"]


def test_a_call_that_was_run_ahead_and_never_told_is_in_the_conversation_when_its_response_is_cut_off():
    for ended in (True, False):
        call = Call()
        response = call.question()
        call.calls(response)
        call.calls(response, call="call_2")
        if ended:
            call.found("call_2", "rain")
        said = call.tell(e.CancelResponse(None))
        stopped = [output.call_id for output in said if isinstance(output, e.StopTool)]
        assert stopped == (["call_1"] if ended else ["call_1", "call_2"])
        items = [item for item in call.session.conversation if item.kind is e.ItemKind.MCP_CALL]
        assert [item.call_id for item in items] == ["call_1", "call_2"]
        assert (items[1].output, bool(items[1].error)) == (("rain", False) if ended else ("", True))
        assert call.found("call_1") == []


def test_calls_that_need_approval_are_not_run_ahead():
    call = Call()
    asking = replace(WEATHER, tool=replace(WEATHER.tool, name="delete"))
    call.tell(e.UpdateSession(None, {"mcp": (SERVER, replace(ASKING, server_label="asking"))}))
    call.tell(e.McpListed(call.last(e.ConnectMcp).item_id, (asking,)))
    response = call.question()
    call.calls(response)
    call.tell(e.ResponseToolCall(response, "call_2", "delete", "{}", done=True))
    assert [run.call_id for run in call.all(e.RunTool)] == ["call_1"]
    call.found()
    call.finished(response)
    kinds = [item.kind for item in call.all(e.ResponseDone)[-1].response.output]
    assert kinds == ["mcp_call", "mcp_approval_request"]


def test_speaking_over_a_call_ends_it_in_order():
    call = Call()
    response = call.question()
    call.says(response, "One moment.")
    call.calls(response)
    said = call.speech()
    told = [name for name in names(said) if name not in ("ClearPlayout", "SpeechStarted", "OpenUtterance")]
    assert told == ["StopResponse", "McpCallFailed", "ItemDone", "OutputItemDone", "ResponseDone", "StopTool"]
    assert call.found() == []


def test_no_mcp_tool_runs_for_a_turn_that_is_not_committed():
    call = Call()
    call.speech()
    call.silence()
    call.heard("how is the weather")
    response = call.last(e.PrepareResponse).generation.response_id
    call.calls(response)
    call.finished(response)
    assert call.all(e.RunTool) == []
    call.silence(480)
    assert call.last(e.RunTool).name == "get_weather"


def test_a_call_that_needs_approval_waits_for_the_client():
    call = Call(ASKING)
    response = call.question()
    said = call.calls(response)
    assert names(said) == ["OutputItemAdded", "ItemAdded", "ItemDone", "OutputItemDone"]
    item = call.last(e.OutputItemDone).item
    assert (item.kind, item.server_label, item.name, item.arguments) == (
        "mcp_approval_request",
        "weather",
        "get_weather",
        '{"location": "Berlin"}',
    )
    call.finished(response)
    assert call.all(e.RunTool) == []
    said = call.tell(call.approval(True))
    assert names(said) == ["ItemAdded", "ItemDone", "ItemAdded", "McpCallInProgress", "RunTool"]
    said = call.found()
    assert names(said)[:2] == ["McpCallCompleted", "ItemDone"]
    ran = call.last(e.ItemDone).item
    assert (ran.kind, ran.output, ran.approval_request_id) == ("mcp_call", "sunny", item.id)
    assert call.last(e.PrepareResponse).generation.messages[-1].text == "sunny"


def test_a_call_that_is_not_approved_is_not_made_and_the_model_learns_it():
    call = Call(ASKING)
    response = call.question()
    call.calls(response)
    call.finished(response)
    call.tell(call.approval(False))
    assert call.all(e.RunTool) == []
    messages = call.last(e.PrepareResponse).generation.messages
    assert (messages[-2].calls[0].name, messages[-1].text) == (
        "get_weather",
        '{"error": "the caller does not want this"}',
    )


def test_an_approval_counts_once_and_for_a_request_that_was_made():
    call = Call(ASKING)
    response = call.question()
    call.calls(response)
    call.finished(response)
    approval = call.approval(True)
    call.tell(approval)
    (error,) = call.tell(approval)
    assert isinstance(error, e.Error)
    assert (error.code, error.param) == ("invalid_value", "item.approval_request_id")
    assert len(call.all(e.RunTool)) == 1


READING = e.ToolFilter(read_only=True)
NAMED = e.ToolFilter(frozenset({"get_weather"}))
OTHER = e.ToolFilter(frozenset({"other"}))


@pytest.mark.parametrize(
    ("approval", "asked"),
    [
        (e.Approval(), True),
        (e.NO_APPROVAL, False),
        (e.Approval(always=NAMED), True),
        (e.Approval(always=OTHER), False),
        (e.Approval(never=NAMED), False),
        (e.Approval(never=OTHER), True),
        (e.Approval(never=READING), False),
        (e.Approval(always=e.ToolFilter(read_only=False)), False),
        (e.Approval(always=NAMED, never=READING), True),
        (e.Approval(always=OTHER, never=OTHER), True),
    ],
)
def test_the_client_is_asked_for_the_tools_that_it_wants_to_be_asked_for(approval: e.Approval, asked: bool):
    weather = replace(WEATHER, policy=e.ToolPolicy(read_only=True))
    script = Script()
    script.tell(e.UpdateSession(None, {"mcp": (replace(ASKING, approval=approval),)}))
    script.tell(e.McpListed(script.last(e.ConnectMcp).item_id, (weather,)))
    response = script.question()
    script.tell(e.ResponseToolCall(response, "call_1", "get_weather", "{}", done=True))
    assert (script.all(e.RunTool) == []) is asked
