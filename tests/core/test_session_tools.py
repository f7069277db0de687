"""Tools that the server runs: when they start, what ends them, how many there may be, and whose names they are."""

from __future__ import annotations

from dataclasses import replace

import pytest

from server.core import events as e
from tests.core.script import names
from tests.core.tool_script import BOOK, CLIENTS, OPEN, Call


def test_a_tool_runs_as_soon_as_its_call_is_complete():
    call = Call()
    response = call.question()
    call.calls(response, "get_opening_hours")
    asked = call.last(e.AudioCommitted).item_id
    assert call.all(e.RunTool) == [e.RunTool("call_1", "get_opening_hours", "{}", response, asked, "en")]


def test_the_model_is_offered_both_kinds_and_the_client_sees_its_own():
    call = Call()
    call.question()
    generation = call.last(e.PrepareResponse).generation
    assert [tool.name for tool in generation.tools] == ["get_opening_hours", "book", "open_door"]
    assert generation.fillers["get_opening_hours"] == "One moment."
    assert call.session.config.tools == (CLIENTS,)


def test_no_tool_runs_for_a_turn_that_is_not_committed():
    call = Call()
    call.speech()
    call.silence()
    call.heard("are you open on friday")
    response = call.last(e.PrepareResponse).generation.response_id
    call.says(response, "One moment.")
    call.calls(response, "get_opening_hours")
    call.finished(response)
    assert call.all(e.RunTool) == []
    call.silence(480)
    assert call.running == ["call_1"]


def test_a_discarded_answer_runs_nothing():
    call = Call()
    call.speech()
    call.silence()
    call.heard("are you open on friday")
    response = call.last(e.PrepareResponse).generation.response_id
    call.calls(response, "get_opening_hours")
    call.speech()
    call.calls(response, "book", first=2)
    assert call.all(e.RunTool) == []


def test_with_calls_of_the_client_the_client_goes_on():
    call = Call()
    response = call.question()
    call.calls(response, "get_opening_hours", "open_door")
    call.finished(response)
    call.found()
    assert call.running == ["call_1"]
    result = e.Item("", e.ItemKind.FUNCTION_CALL_OUTPUT, call_id="call_2", output="open")
    call.tell(e.CreateItem(None, result, None))
    assert call.last(e.ResponseCreated).response.id == response
    call.tell(e.CreateResponse(None))
    assert [m.text for m in call.last(e.StartResponse).generation.messages[-2:]] == [OPEN, "open"]


def test_a_response_that_the_client_wants_early_waits_for_the_tool():
    call = Call()
    response = call.question()
    call.calls(response, "get_opening_hours")
    call.finished(response)
    said = call.tell(e.CreateResponse(None))
    assert names(said) == ["ResponseCreated"]
    assert names(call.found()) == ["ItemAdded", "ItemDone", "StartResponse"]


def test_a_result_that_the_client_invents_is_not_read():
    call = Call()
    call.asks()
    invented = e.Item("", e.ItemKind.FUNCTION_CALL_OUTPUT, call_id="call_1", output="no such tool")
    assert names(call.tell(e.CreateItem(None, invented, None)))[:2] == ["ItemAdded", "ItemDone"]
    call.found()
    messages = call.last(e.PrepareResponse).generation.messages
    assert [m.text for m in messages if m.role == "tool"] == [OPEN]


def test_speaking_over_the_filler_ends_the_call_and_the_model_learns_it():
    call = Call()
    call.asks()
    call.speech()
    assert call.running == []
    call.silence()
    call.heard("never mind")
    call.silence(480)
    messages = call.last(e.StartResponse if call.all(e.StartResponse) else e.PrepareResponse).generation.messages
    assert [m.text for m in messages if m.role == "tool"] == ['{"error": "cancelled, the caller went on speaking"}']


def test_speaking_into_the_silence_of_a_slow_tool_ends_nothing():
    call = Call()
    call.asks(samples=2400)
    call.silence(500)
    call.speech()
    assert call.running == ["call_1"]


def test_calls_over_the_limit_are_refused_and_the_model_has_to_speak():
    call = Call(tool_limits=e.ToolLimits(turn=1, session=9))
    response = call.question()
    call.calls(response, "get_opening_hours", "book")
    assert [run.refusal for run in call.all(e.RunTool)] == ["", "limit"]
    call.finished(response)
    call.found("call_1")
    call.found("call_2", '{"error": "too many calls"}')
    assert call.last(e.PrepareResponse).generation.tool_choice == "none"


def test_a_new_turn_has_calls_again_until_the_session_has_none():
    call = Call(tool_limits=e.ToolLimits(turn=1, session=2))
    refusals = []
    for number in (1, 2, 3):
        response = call.question()
        call.calls(response, "book", first=number)
        call.finished(response)
        refusals.append(call.last(e.RunTool).refusal)
        call.found(f"call_{number}", "booked")
        call.silence(1000)
        report = call.last(e.ResponseCreated).response.id
        call.says(report, "Done.", 240)
        call.finished(report)
    assert refusals == ["", "", "limit"]


def test_a_tool_that_does_not_exist_is_the_servers_to_answer():
    call = Call()
    response = call.question()
    call.calls(response, "sing")
    assert call.last(e.RunTool).name == "sing"


def test_a_demanded_call_is_not_demanded_again():
    call = Call(tool_choice="required")
    call.asks()
    call.found()
    assert call.last(e.PrepareResponse).generation.tool_choice == "auto"


@pytest.mark.parametrize("overrides", [e.ResponseOverrides(conversation="none"), e.ResponseOverrides(input=())])
def test_responses_without_a_place_for_results_are_not_offered_server_tools(overrides: e.ResponseOverrides):
    call = Call()
    call.tell(e.CreateResponse(None, overrides))
    assert [tool.name for tool in call.last(e.StartResponse).generation.tools] == ["open_door"]


def test_a_client_cannot_take_the_name_of_a_server_tool():
    call = Call()
    (error,) = call.tell(e.UpdateSession("event_1", {"tools": (replace(CLIENTS, name="book"),)}))
    assert isinstance(error, e.Error)
    assert (error.code, error.param, error.event_id) == ("invalid_value", "session.tools", "event_1")


def test_cancelling_while_only_a_tool_runs_ends_the_tool():
    call = Call()
    call.asks()
    said = call.tell(e.CancelResponse(None))
    assert names(said) == ["StopTool", "ItemAdded", "ItemDone"]
    made = len(call.all(e.ResponseCreated))
    assert call.found() == []
    assert len(call.all(e.ResponseCreated)) == made


def test_a_greeting_is_said_as_it_is():
    call = Call()
    call.tell(e.Say("Good day, this is the salon."))
    assert call.last(e.StartResponse).generation.script == "Good day, this is the salon."


def test_the_callers_silence_is_not_taken_for_an_end_while_a_tool_runs():
    detection = e.TurnDetection(idle_timeout_ms=5000)
    call = Call(turn_detection=detection)
    call.asks(samples=240)
    call.silence(1000)
    assert call.all(e.StartIdleTimer) == []
    assert call.tell(e.IdleTimeout()) == []


TAKEN = "The name 'book' is taken by a tool that this server runs; choose another one."


@pytest.mark.parametrize(
    ("fact", "param"),
    [
        (e.UpdateSession("ev", {"tools": (CLIENTS, BOOK.tool)}), "session.tools"),
        (e.CreateResponse("ev", e.ResponseOverrides(tools=(CLIENTS, BOOK.tool))), "response.tools"),
    ],
)
def test_a_clients_tool_with_the_name_of_the_servers_is_refused_by_its_name(fact: e.Input, param: str):
    call = Call()
    assert call.tell(fact) == [e.Error("invalid_value", TAKEN, param, "ev")]
    assert call.session.config.tools == (CLIENTS,)


def test_a_response_beside_the_conversation_has_no_tools_of_the_servers_and_may_use_their_names():
    call = Call()
    call.tell(e.CreateResponse(None, e.ResponseOverrides(conversation="none", input=(), tools=(BOOK.tool,))))
    assert call.last(e.StartResponse).generation.tools == (BOOK.tool,)


def test_a_name_that_a_hand_off_has_taken_does_not_stop_other_changes_of_the_session():
    call = Call()
    call.asks()
    door = replace(BOOK, tool=replace(BOOK.tool, name=CLIENTS.name))
    call.found(changes={"server_tools": (door,)})
    assert names(call.tell(e.UpdateSession(None, {"speed": 1.2})))[0] == "SessionUpdated"
