"""Tools that the server runs: when they start, what is said meanwhile, when their results are told, what ends them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from server.core import events as e
from tests.core.script import Script, names

HOURS = e.ServerTool(
    e.Tool("get_opening_hours", "Opening hours.", {"type": "object"}),
    e.ToolPolicy(
        on_interrupt="cancel",
        filler={"en": "One moment.", "": "Moment."},
        second_filler={"en": "Still looking."},
        slow_after_s=3,
    ),
)
BOOK = e.ServerTool(e.Tool("book", "Books.", {"type": "object"}), e.ToolPolicy(on_interrupt="finish"))
CLIENTS = e.Tool("open_door", "Opens the door.", {"type": "object"})
OPEN = '{"open": "09:00"}'


class Call(Script):
    """A conversation with two server tools and one of the client's."""

    def __init__(self, **config: object) -> None:
        super().__init__(server_tools=(HOURS, BOOK), tools=(CLIENTS,), **config)

    def calls(self, response: str, *names: str, first: int = 1) -> list[e.Output]:
        said: list[e.Output] = []
        for number, name in enumerate(names, first):
            said += self.tell(e.ResponseToolCall(response, f"call_{number}", name, "{}", done=True))
        return said

    def found(self, call: str = "call_1", output: str = OPEN, **more: object) -> list[e.Output]:
        return self.tell(e.ToolFinished(call, e.ToolOutcome.OK, output, 0.1, **more))  # type: ignore[arg-type]

    def asks(self, samples: int = 24_000) -> str:
        """A question whose answer calls the opening hours and says something, a second long, before."""
        response = self.question()
        self.says(response, "One moment.", samples)
        self.calls(response, "get_opening_hours")
        self.finished(response)
        return response

    def floor(self) -> list[e.Output]:
        """What is being said ends."""
        timer = [timer for timer in self.all(e.StartTimer) if timer.kind is e.TimerKind.FLOOR][-1]
        return self.tell(e.TimerFired(timer.kind, timer.token))

    @property
    def running(self) -> list[str]:
        stopped = {output.call_id for output in self.all(e.StopTool)}
        return [run.call_id for run in self.all(e.RunTool) if run.call_id not in stopped]


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


def test_the_result_becomes_an_item_once_the_response_is_over():
    call = Call()
    response = call.question()
    call.calls(response, "get_opening_hours")
    assert names(call.found()) == []
    said = call.finished(response)
    added = next(output for output in said if isinstance(output, e.ItemAdded))
    assert names(said)[:3] == ["ResponseDone", "ItemAdded", "ItemDone"]
    assert (added.item.kind, added.item.call_id, added.item.output) == ("function_call_output", "call_1", OPEN)


def test_the_report_is_prepared_while_speech_plays_and_goes_out_when_it_ends():
    call = Call()
    call.asks()
    said = call.found()
    assert names(said) == ["ItemAdded", "ItemDone", "PrepareResponse"]
    report = call.last(e.PrepareResponse).generation
    assert [(m.role, m.text) for m in report.messages[-2:]] == [("assistant", "One moment."), ("tool", OPEN)]
    call.says(report.response_id, "From nine.")
    call.finished(report.response_id)
    assert call.last(e.ResponseCreated).response.id != report.response_id
    said = call.floor()
    assert names(said)[:3] == ["AdoptResponse", "ResponseCreated", "OutputItemAdded"]
    assert call.last(e.ResponseDone).response.status is e.ResponseStatus.COMPLETED


def test_the_report_leads_the_end_of_speech_by_a_quarter_of_a_second():
    call = Call()
    call.asks(samples=24_000)
    assert call.last(e.StartTimer) == e.StartTimer(e.TimerKind.FLOOR, 1, 750)


def test_a_report_goes_out_at_once_when_nothing_is_being_said():
    call = Call()
    call.asks()
    call.floor()
    assert names(call.found()) == ["ItemAdded", "ItemDone", "PrepareResponse", "AdoptResponse", "ResponseCreated"]


def test_typed_answers_need_no_floor():
    call = Call(modality="text", turn_detection=None)
    call.tell(e.CreateResponse(None))
    response = call.last(e.ResponseCreated).response.id
    call.calls(response, "get_opening_hours")
    call.finished(response)
    call.found()
    assert call.last(e.ResponseCreated).response.modality == "text"
    assert call.last(e.ResponseCreated).response.id != response


def test_several_calls_run_side_by_side_and_are_reported_together():
    call = Call()
    response = call.question()
    call.calls(response, "get_opening_hours", "book")
    assert call.running == ["call_1", "call_2"]
    call.finished(response)
    assert "PrepareResponse" not in names(call.found("call_2", "booked"))
    call.found("call_1")
    report = call.last(e.PrepareResponse).generation
    assert [(m.role, m.call_id, m.text) for m in report.messages[-2:]] == [
        ("tool", "call_1", OPEN),
        ("tool", "call_2", "booked"),
    ]


def test_told_results_are_told_once():
    call = Call()
    call.asks()
    call.found()
    call.floor()
    report = call.last(e.PrepareResponse).generation.response_id
    assert call.all(e.ToolsTold) == []
    call.says(report, "From nine.")
    call.finished(report)
    assert call.all(e.ToolsTold) == [e.ToolsTold(("call_1",))]
    made = len(call.all(e.ResponseCreated))
    call.silence(4000)
    assert len(call.all(e.ResponseCreated)) == made


def test_what_led_to_another_call_is_told_with_what_that_finds():
    call = Call()
    call.asks(samples=240)
    call.found()
    second = call.last(e.ResponseCreated).response.id
    call.calls(second, "book", first=2)
    call.finished(second)
    assert call.all(e.ToolsTold) == []
    call.found("call_2", "booked")
    report = call.last(e.ResponseCreated).response.id
    assert report != second
    call.says(report, "Booked.")
    call.finished(report)
    assert call.all(e.ToolsTold) == [e.ToolsTold(("call_1", "call_2"))]


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


def test_a_call_that_has_to_finish_is_reported_after_the_turn_that_broke_in():
    call = Call()
    response = call.question()
    call.says(response, "I book it.")
    call.calls(response, "book")
    call.finished(response)
    call.speech()
    assert call.running == ["call_1"]
    call.silence()
    call.heard("and are you open on friday")
    call.silence(480)
    answer = call.last(e.ResponseCreated).response.id
    asked = call.last(e.PrepareResponse).generation.messages
    assert [m.text for m in asked if m.role == "tool"] == ['{"status": "pending"}']
    call.says(answer, "Yes.")
    call.finished(answer)
    call.found("call_1", "booked")
    late = call.last(e.PrepareResponse).generation
    assert [(m.role, m.text, len(m.calls)) for m in late.messages[-3:]] == [
        ("assistant", "Yes.", 0),
        ("assistant", "", 1),
        ("tool", "booked", 0),
    ]
    call.floor()
    assert call.last(e.ResponseCreated).response.id == late.response_id


def test_what_was_cut_off_does_not_hold_up_a_report():
    call = Call()
    response = call.question()
    call.says(response, "I book it for you now.", samples=96_000)
    call.calls(response, "book")
    call.finished(response)
    call.speech()
    call.silence()
    call.heard("")
    call.silence(480)
    assert "AdoptResponse" in names(call.found("call_1", "booked"))


def test_nothing_is_reported_while_the_caller_speaks():
    call = Call()
    call.asks(samples=2400)
    call.silence(500)
    call.speech()
    made = len(call.all(e.ResponseCreated))
    call.found()
    call.speech(640)
    assert len(call.all(e.ResponseCreated)) == made
    call.silence()
    call.heard("")
    call.silence(480)
    assert len(call.all(e.ResponseCreated)) == made + 1


def test_the_answer_to_a_new_question_reports_what_was_found_for_the_old_one():
    call = Call()
    call.asks(samples=2400)
    call.silence(500)
    call.speech()
    call.found()
    call.silence()
    call.heard("hello")
    call.silence(480)
    report = call.last(e.ResponseCreated).response.id
    call.says(report, "From nine.")
    call.finished(report)
    assert call.last(e.ToolsTold).call_ids == ("call_1",)
    made = len(call.all(e.ResponseCreated))
    call.silence(3000)
    assert len(call.all(e.ResponseCreated)) == made


def test_a_report_that_nobody_heard_is_made_again():
    call = Call()
    call.asks()
    call.found()
    call.floor()
    call.speech()
    assert call.last(e.ResponseDone).response.status is e.ResponseStatus.CANCELLED
    call.silence()
    call.heard("")
    call.silence(480)
    assert OPEN in [m.text for m in call.last(e.PrepareResponse).generation.messages]
    assert call.all(e.ToolsTold) == []


def test_the_second_filler_comes_when_the_tool_is_slow():
    call = Call()
    call.asks(samples=2400)
    call.silence(3000)
    timer = next(timer for timer in call.all(e.StartTimer) if timer.kind is e.TimerKind.SLOW_TOOL)
    assert timer.after_ms == 3000
    call.tell(e.TimerFired(timer.kind, timer.token))
    filler = call.last(e.StartResponse).generation
    assert filler.script == "Still looking."
    call.says(filler.response_id, "Still looking.")
    call.finished(filler.response_id)
    call.found()
    messages = call.last(e.PrepareResponse).generation.messages
    assert [(m.role, m.text) for m in messages[-2:]] == [("assistant", "One moment. Still looking."), ("tool", OPEN)]


def test_no_second_filler_when_the_result_is_there():
    call = Call()
    call.asks()
    call.found()
    made = len(call.all(e.StartResponse))
    timer = next(timer for timer in call.all(e.StartTimer) if timer.kind is e.TimerKind.SLOW_TOOL)
    call.tell(e.TimerFired(timer.kind, timer.token))
    assert len(call.all(e.StartResponse)) == made


def test_partial_results_are_spoken_as_they_come_and_the_report_follows():
    call = Call()
    call.asks()
    call.tell(e.ToolPartial("call_1", "I found two. "), e.ToolPartial("call_1", "The first is at nine."))
    first = call.last(e.StartResponse).generation
    assert first.script == "I found two."
    call.says(first.response_id, "I found two.")
    call.finished(first.response_id)
    second = call.last(e.StartResponse).generation
    assert second.script == "The first is at nine."
    call.found()
    call.says(second.response_id, "The first is at nine.")
    call.finished(second.response_id)
    messages = call.last(e.PrepareResponse).generation.messages
    said = "One moment. I found two. The first is at nine."
    assert [(m.role, m.text) for m in messages[-2:]] == [("assistant", said), ("tool", OPEN)]


def test_a_tool_may_give_the_words_of_its_report():
    call = Call()
    call.asks()
    call.found(say="We open at nine.")
    assert call.last(e.PrepareResponse).generation.script == "We open at nine."


def test_a_hand_off_is_in_force_before_the_report():
    call = Call()
    call.asks()
    call.found(changes={"instructions": "You book tables.", "server_tools": (BOOK,)})
    report = call.last(e.PrepareResponse).generation
    assert report.messages[0].text == "You book tables."
    assert [tool.name for tool in report.tools] == ["book", "open_door"]


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


def test_a_report_that_fails_while_prepared_is_tried_once_more_for_all_to_see():
    call = Call()
    call.asks()
    call.found()
    prepared = call.last(e.PrepareResponse).generation.response_id
    call.tell(e.ResponseFailed(prepared, "engine_error", "gone"))
    call.floor()
    report = call.last(e.StartResponse).generation.response_id
    call.tell(e.ResponseFailed(report, "engine_error", "gone"))
    assert call.last(e.ResponseDone).response.status is e.ResponseStatus.FAILED
    made = len(call.all(e.ResponseCreated))
    call.silence(2000)
    assert len(call.all(e.ResponseCreated)) == made


def test_a_report_without_a_word_is_apologised_for():
    call = Call(apologies={"en": "I am sorry."})
    call.asks()
    call.found()
    call.floor()
    call.finished(call.last(e.ResponseCreated).response.id)
    assert call.last(e.StartResponse).generation.script == "I am sorry."


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


def test_a_tool_knows_what_was_said_before_its_call_and_if_that_was_enough_nothing_more_is_said():
    call = Call()
    response = call.asks()
    assert call.last(e.RunTool).said == "One moment."
    told = call.found(say="I am connecting you.", repeats=True)
    assert e.ToolsTold(("call_1",)) in told
    assert call.last(e.ItemDone).item.output == OPEN
    assert call.last(e.ResponseCreated).response.id == response
    assert [output for output in told if isinstance(output, e.StartTimer | e.PrepareResponse | e.StartResponse)] == []


def test_what_an_answer_that_was_cut_short_has_said_is_said_again_by_its_tool():
    call = Call()
    response = call.question()
    call.says(response, "I am connecting you.", samples=96_000)
    call.calls(response, "book")
    call.finished(response)
    call.speech()
    call.silence()
    call.heard("")
    call.silence(480)
    call.found(say="I am connecting you.", repeats=True)
    assert call.last(e.PrepareResponse).generation.script == "I am connecting you."
    assert call.all(e.ToolsTold) == []


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
