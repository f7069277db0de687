"""What of a long conversation the model gets to read, and callers who say nothing."""

from __future__ import annotations

from itertools import pairwise

import pytest

from server.core import events as e
from tests.core.script import Script, names


def talk(script: Script, turns: int) -> None:
    for number in range(turns):
        item = e.Item("", e.ItemKind.MESSAGE, role="user", content=(e.ContentPart("input_text", f"{number} " * 40),))
        script.tell(e.CreateItem(None, item, None), e.CreateResponse(None))
        if script.rules.working:
            response = script.last(e.ResponseCreated).response.id
            script.tell(e.ResponseText(response, "yes " * 20))
            read = script.last(e.StartResponse).generation.messages
            tokens = sum(len(message.text) for message in read) // 4
            script.tell(e.ResponseFinished(response, e.TokenUsage(input_text=tokens, output_text=20)))


def read_tokens(script: Script) -> int:
    return sum(len(message.text) for message in script.last(e.StartResponse).generation.messages) // 4


def test_an_hour_of_talk_never_overflows_the_model():
    script = Script(modality="text", instructions="Be brief.", context_tokens=1000)
    talk(script, 100)
    assert len(script.all(e.ResponseDone)) == 100
    assert all(
        sum(len(message.text) for message in started.generation.messages) // 4 < 1000
        for started in script.all(e.StartResponse)
    )
    assert script.last(e.StartResponse).generation.messages[0].text == "Be brief."


def test_the_prompts_beginning_stays_the_same_for_many_turns():
    script = Script(modality="text", context_tokens=1000)
    talk(script, 60)
    beginnings = [started.generation.messages[0].text for started in script.all(e.StartResponse)]
    changes = sum(one != other for one, other in pairwise(beginnings))
    assert changes <= 60 // 3


def test_what_is_left_stays_though_it_was_first_read_before_it_was_an_item():
    script = Script(context_tokens=600, instructions="brief " * 120)
    long_ago = e.Item("", e.ItemKind.MESSAGE, role="user", content=(e.ContentPart("input_text", "long ago " * 60),))
    script.tell(e.CreateItem(None, long_ago, None))
    script.says(script.question("a haircut on friday"), "May I have your name?")
    prepared = script.last(e.PrepareResponse).generation
    assert [message.text for message in prepared.messages] == ["brief " * 120, "a haircut on friday"]
    tokens = sum(len(message.text) for message in prepared.messages) // 6
    script.tell(e.ResponseFinished(prepared.response_id, e.TokenUsage(input_text=tokens, output_text=5)))
    script.silence(1500)
    script.question("my name is paul")
    messages = script.last(e.PrepareResponse).generation.messages
    assert [message.text for message in messages[1:]] == [
        "a haircut on friday",
        "May I have your name?",
        "my name is paul",
    ]


def test_disabled_truncation_fails_the_response_and_says_why():
    script = Script(modality="text", context_tokens=1000, truncation=e.Truncation("disabled"))
    talk(script, 40)
    done = script.last(e.ResponseDone).response
    assert (done.status, done.error_code) == (e.ResponseStatus.FAILED, "context_length_exceeded")
    script.tell(e.UpdateSession(None, {"truncation": e.Truncation()}), e.CreateResponse(None))
    assert names(script.log)[-1] == "StartResponse"


@pytest.mark.parametrize("limit", [200, 400])
def test_a_limit_for_the_conversation_alone(limit: int):
    truncation = e.Truncation("retention_ratio", 0.8, limit)
    script = Script(modality="text", context_tokens=4000, truncation=truncation)
    talk(script, 40)
    assert read_tokens(script) <= limit


def test_a_result_never_stays_without_its_call():
    script = Script(modality="text", context_tokens=700)
    for number in range(30):
        call = e.Item("", e.ItemKind.FUNCTION_CALL, call_id=f"call_{number}", name="look", arguments="{}" + " " * 60)
        output = e.Item("", e.ItemKind.FUNCTION_CALL_OUTPUT, call_id=f"call_{number}", output="sunny " * 20)
        script.tell(e.CreateItem(None, call, None), e.CreateItem(None, output, None))
        talk(script, 1)
        messages = script.last(e.StartResponse).generation.messages
        calls = [item.call_id for message in messages for item in message.calls]
        assert [message.call_id for message in messages if message.role == "tool"] == calls


def test_a_caller_who_says_nothing_is_asked():
    script = Script(turn_detection=e.TurnDetection(idle_timeout_ms=6000))
    response = script.question()
    script.says(response, "We are open.", samples=48_000)
    script.finished(response)
    assert script.last(e.StartIdleTimer).after_ms == pytest.approx(2000 + 6000, abs=40)
    script.silence(8000)
    asked = script.tell(e.IdleTimeout())
    assert names(asked) == [
        "TimeoutTriggered",
        "AudioCommitted",
        "ItemAdded",
        "ItemDone",
        "ResponseCreated",
        "StartResponse",
    ]
    assert script.last(e.TimeoutTriggered).audio_end_ms == script.position // 16
    assert script.last(e.StartResponse).generation.messages[-1] == e.ContextMessage("user", "...")


def test_a_timer_that_runs_out_while_somebody_speaks_means_nothing():
    script = Script(turn_detection=e.TurnDetection(idle_timeout_ms=6000))
    script.speech()
    assert script.tell(e.IdleTimeout()) == []


def test_without_the_setting_nobody_is_asked():
    script = Script()
    script.finished(script.question())
    assert script.all(e.StartIdleTimer) == []
    assert script.tell(e.IdleTimeout()) == []


def test_audio_that_comes_with_an_item_is_heard_before_it_is_answered():
    script = Script()
    item = e.Item("item_mine", e.ItemKind.MESSAGE, role="user", content=(e.ContentPart("input_audio", None),))
    audio = bytes(2 * 24_000)
    assert names(script.tell(e.CreateItem(None, item, None, audio))) == ["ItemAdded", "ItemDone", "HearAudio"]
    assert names(script.tell(e.CreateResponse(None))) == ["ResponseCreated"]
    assert "StartResponse" in names(script.heard("are you open"))
    assert script.last(e.StartResponse).generation.messages[-1].text == "are you open"
    assert script.last(e.TranscriptionCompleted).seconds == 1.0


def test_words_of_more_tokens_than_usual_are_tried_again_with_fewer_of_them():
    script = Script(modality="text", context_tokens=1000)
    for number in range(10):
        text = "😀" * 100 + str(number)
        item = e.Item("", e.ItemKind.MESSAGE, role="user", content=(e.ContentPart("input_text", text),))
        script.tell(e.CreateItem(None, item, None))
    script.tell(e.CreateResponse(None))
    response = script.last(e.ResponseCreated).response.id
    (first,) = script.all(e.StartResponse)
    assert len(first.generation.messages) > 3
    again = script.tell(e.ContextExceeded(response, "too long", 400 * len(first.generation.messages)))
    assert names(again) == ["StopResponse", "StartResponse"]
    messages = script.last(e.StartResponse).generation.messages
    assert 1 <= len(messages) <= 2
    assert messages[-1].text.endswith("9")
    script.tell(e.ResponseText(response, "Nice."))
    script.finished(response)
    assert script.last(e.ResponseDone).response.status is e.ResponseStatus.COMPLETED


def test_a_last_turn_that_does_not_fit_alone_fails_and_the_next_one_is_answered():
    script = Script(modality="text", context_tokens=1000)
    for text in ("x" * 50_000, "short"):
        item = e.Item("", e.ItemKind.MESSAGE, role="user", content=(e.ContentPart("input_text", text),))
        script.tell(e.CreateItem(None, item, None), e.CreateResponse(None))
        generation = script.last(e.StartResponse).generation
        if text != "short":
            script.tell(e.ContextExceeded(generation.response_id, "too long", None))
            done = script.last(e.ResponseDone).response
            assert (done.status, done.error_code) == (e.ResponseStatus.FAILED, "context_length_exceeded")
    assert [message.text for message in generation.messages] == ["short"]


def test_an_answer_prepared_from_too_much_is_thrown_away_and_made_from_less():
    script = Script(context_tokens=1000)
    for _ in range(10):
        item = e.Item("", e.ItemKind.MESSAGE, role="user", content=(e.ContentPart("input_text", "😀" * 100),))
        script.tell(e.CreateItem(None, item, None))
    script.speech()
    script.silence(96)
    script.heard("are you open")
    prepared = script.last(e.PrepareResponse).generation
    assert names(script.tell(e.ContextExceeded(prepared.response_id, "too long", 4000))) == ["StopResponse"]
    script.silence(480)
    started = script.last(e.StartResponse).generation
    assert len(started.messages) < len(prepared.messages)
    assert started.messages[-1].text == "are you open"
