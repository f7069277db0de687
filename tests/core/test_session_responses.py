"""Responses: their events in order, barge-in, cancel, truncate, what the model gets to read."""

from __future__ import annotations

import pytest

from server.core import events as e
from tests.core.script import Script, names


def user(text: str, item_id: str = "") -> e.Item:
    return e.Item(item_id, e.ItemKind.MESSAGE, role="user", content=(e.ContentPart("input_text", text),))


def test_a_text_response_in_protocol_order():
    script = Script(modality="text")
    script.tell(e.CreateItem(None, user("Hello"), None))
    script.tell(e.CreateResponse(None, e.ResponseOverrides(metadata={"topic": "greeting"})))
    response = script.last(e.ResponseCreated).response.id
    script.log.clear()
    script.tell(e.ResponseText(response, "Good"), e.ResponseText(response, " day."))
    script.finished(response)
    assert names(script.log) == [
        "OutputItemAdded",
        "ItemAdded",
        "ContentPartAdded",
        "OutputTextDelta",
        "OutputTextDelta",
        "OutputTextDone",
        "ContentPartDone",
        "ItemDone",
        "OutputItemDone",
        "ResponseDone",
    ]
    done = script.last(e.ResponseDone).response
    assert done.metadata == {"topic": "greeting"}
    assert done.usage == e.TokenUsage(input_text=10, output_text=4)
    assert [item.content[0].text for item in done.output] == ["Good day."]


def test_a_call_closes_the_words_before_it_and_has_valid_json_at_its_end():
    script = Script()
    response = script.question()
    script.says(response, "One moment.")
    script.log.clear()
    script.tell(
        e.ResponseToolCall(response, "call_1", "get_opening_hours", "", done=False),
        e.ResponseToolCall(response, "call_1", "get_opening_hours", '{"day": ', done=False),
        e.ResponseToolCall(response, "call_1", "get_opening_hours", '"friday"}', done=False),
        e.ResponseToolCall(response, "call_1", "get_opening_hours", "", done=True),
        e.ResponseToolCall(response, "call_2", "get_directions", "", done=False),
        e.ResponseToolCall(response, "call_2", "get_directions", "", done=True),
    )
    script.finished(response)
    assert names(script.log)[:5] == [
        "OutputAudioDone",
        "OutputTranscriptDone",
        "ContentPartDone",
        "ItemDone",
        "OutputItemDone",
    ]
    assert [d.arguments for d in script.all(e.FunctionArgumentsDone)] == ['{"day": "friday"}', "{}"]
    kinds = [item.kind for item in script.last(e.ResponseDone).response.output]
    assert kinds == ["message", "function_call", "function_call"]


def test_the_result_of_a_call_is_read_with_the_words_before_it():
    script = Script(instructions="Be brief.")
    response = script.question()
    script.says(response, "One moment.")
    script.tell(e.ResponseToolCall(response, "call_1", "get_opening_hours", '{"day":"friday"}', done=True))
    script.finished(response)
    output = e.Item("", e.ItemKind.FUNCTION_CALL_OUTPUT, call_id="call_1", output='{"open":"9 to 5"}')
    script.tell(e.CreateItem(None, output, None), e.CreateResponse(None))
    messages = script.last(e.StartResponse).generation.messages
    assert [(m.role, m.text, len(m.calls)) for m in messages] == [
        ("system", "Be brief.", 0),
        ("user", "are you open on friday", 0),
        ("assistant", "One moment.", 1),
        ("tool", '{"open":"9 to 5"}', 0),
    ]


def test_barge_in_ends_the_answer_in_one_step_with_its_tail_in_order():
    script = Script()
    response = script.question()
    script.says(response, "We are open from nine to five.", samples=72_000)
    script.silence(960)
    barged = script.speech(160)
    assert names(barged) == [
        "SpeechStarted",
        "OpenUtterance",
        "ClearPlayout",
        "StopResponse",
        "OutputAudioDone",
        "OutputTranscriptDone",
        "ContentPartDone",
        "ItemDone",
        "OutputItemDone",
        "ResponseDone",
    ]
    done = script.last(e.ResponseDone).response
    assert (done.status, done.reason) == (e.ResponseStatus.CANCELLED, "turn_detected")
    assert done.output[0].status is e.ItemStatus.INCOMPLETE


def test_a_cough_does_not_stop_the_answer():
    script = Script()
    response = script.question()
    script.says(response, "We are open from nine to five.", samples=72_000)
    assert script.speech(128) == []
    assert script.silence(320) == []
    assert names(script.finished(response))[-1] == "ResponseDone"


def test_after_barge_in_the_model_reads_only_what_was_heard():
    script = Script()
    response = script.question()
    script.says(response, "We are open from nine to five.", samples=7 * 24_000)
    script.finished(response)
    script.silence(2016)
    script.speech(192)
    script.silence(96)
    script.heard("thanks")
    # 2.1 of 7 seconds, one word a second.
    assert script.last(e.PrepareResponse).generation.messages[-2] == e.ContextMessage("assistant", "We are")


def test_an_answer_that_was_heard_to_its_end_stays_whole():
    script = Script()
    response = script.question()
    script.says(response, "We are open.", samples=24_000)
    script.finished(response)
    script.silence(1600)
    script.speech(96)
    script.silence(96)
    script.heard("thanks")
    assert script.last(e.PrepareResponse).generation.messages[-2].text == "We are open."


def test_marks_of_the_carrier_say_what_was_heard():
    script = Script(marks=True)
    response = script.question()
    script.says(response, "We are open from nine to five.", samples=7 * 24_000)
    item = script.last(e.OutputAudioDelta).item_id
    script.silence(3008)
    script.tell(e.Played(item, 4 * 24_000))
    script.speech(192)
    script.silence(96)
    script.heard("thanks")
    assert script.last(e.PrepareResponse).generation.messages[-2].text == "We are open from"


def test_late_facts_of_a_cancelled_response_change_nothing():
    script = Script()
    response = script.question()
    script.tell(e.CancelResponse(None))
    assert script.says(response, "Too late.") == []
    assert script.finished(response) == []


def test_without_interrupting_the_next_turn_is_answered_after_this_one():
    script = Script(turn_detection=e.TurnDetection(interrupt_response=False))
    first = script.question("are you open on friday")
    script.says(first, "Yes.")
    script.speech()
    script.silence()
    script.heard("and on saturday")
    script.silence(480)
    assert len(script.all(e.ResponseCreated)) == 1
    script.finished(first)
    assert len(script.all(e.ResponseCreated)) == 2
    assert script.last(e.StartResponse).generation.messages[-1].text == "and on saturday"


def test_a_second_response_is_refused_while_one_is_active():
    script = Script()
    first = script.question()
    (error,) = script.tell(e.CreateResponse("event_9"))
    assert isinstance(error, e.Error)
    assert (error.code, error.event_id) == ("conversation_already_has_active_response", "event_9")
    assert first in error.message


def test_an_out_of_band_response_runs_beside_and_leaves_no_item():
    script = Script()
    script.question()
    overrides = e.ResponseOverrides(conversation="none", modality="text", input=(), instructions="Name the topic.")
    script.tell(e.CreateResponse(None, overrides))
    aside = script.last(e.ResponseCreated).response
    assert aside.conversation == ""
    assert script.last(e.StartResponse).generation.messages == (e.ContextMessage("system", "Name the topic."),)
    script.log.clear()
    script.tell(e.ResponseText(aside.id, "opening hours"))
    script.finished(aside.id)
    assert not script.all(e.ItemAdded)
    assert script.last(e.ResponseDone).response.status is e.ResponseStatus.COMPLETED


@pytest.mark.parametrize(
    ("in_session", "in_response", "allowed"),
    [(True, None, True), (False, None, False), (True, False, False), (False, True, True)],
)
def test_whether_a_response_may_make_several_calls(in_session: bool, in_response: bool | None, allowed: bool):
    script = Script(parallel_tool_calls=in_session)
    script.tell(e.CreateResponse(None, e.ResponseOverrides(parallel_tool_calls=in_response)))
    assert script.last(e.StartResponse).generation.parallel_tool_calls is allowed


def test_cancelling_nothing_says_so():
    script = Script()
    (error,) = script.tell(e.CancelResponse("event_4"))
    assert isinstance(error, e.Error)
    assert error.code == "response_cancel_not_active"
    assert error.message.startswith("Cancellation failed")


def test_a_call_that_is_cut_off_is_never_run():
    script = Script()
    response = script.question()
    script.tell(e.ResponseToolCall(response, "call_1", "book_appointment", '{"day": "fri', done=False))
    script.tell(e.CancelResponse(None))
    assert script.all(e.FunctionArgumentsDone) == []
    assert script.last(e.OutputItemDone).item.status is e.ItemStatus.INCOMPLETE


def test_a_failing_engine_fails_the_response_and_not_the_session():
    script = Script()
    response = script.question()
    script.says(response, "We are")
    script.tell(e.ResponseFailed(response, "engine_error", "The voice worker died."))
    done = script.last(e.ResponseDone).response
    assert (done.status, done.error_code) == (e.ResponseStatus.FAILED, "engine_error")
    assert script.question("hello") != response


def test_truncating_keeps_the_words_up_to_there():
    script = Script()
    response = script.question()
    script.says(response, "We are open from nine to five.", samples=7 * 24_000)
    script.finished(response)
    item = script.last(e.OutputAudioDelta).item_id
    outputs = script.tell(e.TruncateItem(None, item, 0, 3100))
    assert outputs == [e.DropAudio(item, 3100 * 24), e.ItemTruncated(item, 0, 3100)]
    script.tell(e.RetrieveItem(None, item))
    assert script.last(e.ItemRetrieved).item.content[0].text == "We are open"


def test_truncating_while_it_is_spoken_holds_when_the_item_ends():
    script = Script()
    response = script.question()
    script.says(response, "We are open from nine to five.", samples=7 * 24_000)
    item = script.last(e.OutputAudioDelta).item_id
    script.tell(e.TruncateItem(None, item, 0, 1000))
    script.tell(e.CancelResponse(None))
    script.tell(e.RetrieveItem(None, item))
    assert script.last(e.ItemRetrieved).item.content[0].text == "We"


def test_the_clients_truncation_outdoes_the_estimate():
    script = Script()
    response = script.question()
    script.says(response, "We are open from nine to five.", samples=7 * 24_000)
    script.finished(response)
    item = script.last(e.OutputAudioDelta).item_id
    script.silence(2016)
    script.speech(192)
    script.tell(e.TruncateItem(None, item, 0, 5000))
    script.silence(96)
    script.heard("thanks")
    assert script.last(e.PrepareResponse).generation.messages[-2].text == "We are open from nine"


@pytest.mark.parametrize(
    ("index", "end_ms", "param"),
    [(1, 500, "content_index"), (0, 1101, "audio_end_ms")],
)
def test_truncating_what_is_not_there_names_the_field(index: int, end_ms: int, param: str):
    script = Script()
    response = script.question()
    script.says(response, "We are open.", samples=24_000)
    item = script.last(e.OutputAudioDelta).item_id
    (error,) = script.tell(e.TruncateItem("event_5", item, index, end_ms))
    assert isinstance(error, e.Error)
    assert (error.code, error.param, error.event_id) == ("invalid_value", param, "event_5")
    script.tell(e.TruncateItem(None, item, 0, 1100))
    assert script.last(e.ItemTruncated).audio_end_ms == 1100


def test_only_spoken_answers_can_be_truncated():
    script = Script()
    script.tell(e.CreateItem(None, user("Hello", "item_mine"), None))
    (error,) = script.tell(e.TruncateItem(None, "item_mine", 0, 0))
    assert isinstance(error, e.Error)
    assert error.param == "item_id"


@pytest.mark.parametrize("action", ["retrieve", "delete", "truncate"])
def test_unknown_items_are_named(action: str):
    script = Script()
    fact = {
        "retrieve": e.RetrieveItem("event_1", "item_x"),
        "delete": e.DeleteItem("event_1", "item_x"),
        "truncate": e.TruncateItem("event_1", "item_x", 0, 0),
    }[action]
    (error,) = script.tell(fact)
    assert isinstance(error, e.Error)
    assert (error.code, error.event_id) == (f"item_{action}_invalid_item_id", "event_1")
    assert "item_x" in error.message


def test_items_go_where_the_client_puts_them():
    script = Script()
    for item, after in (("b", None), ("a", "root"), ("d", None), ("c", "b")):
        script.tell(e.CreateItem(None, user(item, item), after))
    assert [item.id for item in script.session.conversation] == ["a", "b", "c", "d"]
    (duplicate,) = script.tell(e.CreateItem("event_1", user("a", "a"), None))
    assert isinstance(duplicate, e.Error)
    assert duplicate.code == "item_create_duplicate_item_id"


def test_the_voice_cannot_change_once_it_was_heard():
    script = Script()
    response = script.question()
    script.tell(e.UpdateSession(None, {"voice": "de_DE"}))
    script.says(response, "We are open.")
    (error,) = script.tell(e.UpdateSession("event_1", {"voice": "en_US", "instructions": "Sing."}))
    assert isinstance(error, e.Error)
    assert error.code == "cannot_update_voice"
    assert script.session.config.instructions == ""


def test_the_answer_speaks_the_callers_language():
    script = Script()
    script.speech()
    script.silence(96)
    script.heard("Wann haben Sie geöffnet?", "de")
    assert script.last(e.PrepareResponse).generation.language == "de"


def test_words_that_were_never_spoken_are_not_read_as_said():
    script = Script()
    response = script.question()
    script.tell(e.ResponseText(response, "We are open from nine to five."))
    script.speech()
    script.silence()
    script.heard("wait")
    assert [m.text for m in script.last(e.PrepareResponse).generation.messages] == ["are you open on friday", "wait"]


def test_words_behind_the_last_sound_are_not_read_as_said():
    script = Script()
    response = script.question()
    script.says(response, "We are open.", samples=24_000)
    script.tell(e.ResponseText(response, " From nine to five."))
    script.silence(1984)
    script.tell(e.ResponseFailed(response, "engine_error", "the voice is gone", mute=True))
    script.speech()
    script.silence()
    script.heard("wait")
    assert script.last(e.PrepareResponse).generation.messages[-2].text == "We are open."
