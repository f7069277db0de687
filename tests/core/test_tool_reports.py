"""What is said while tools of the server run, and when and how their results are told."""

from __future__ import annotations

from server.core import events as e
from tests.core.script import names
from tests.core.tool_script import BOOK, OPEN, Call


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
    call.books_and_is_cut_off("I book it for you now.")
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
    call.books_and_is_cut_off("I am connecting you.")
    call.found(say="I am connecting you.", repeats=True)
    assert call.last(e.PrepareResponse).generation.script == "I am connecting you."
    assert call.all(e.ToolsTold) == []
