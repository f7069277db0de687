"""Gemini Live as a dialect: what is sent for what is asked, and the events that come of what it says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from server.cloud import base as b
from server.core import events as e
from tests.cloud import gemini_wire as service
from tests.cloud.gemini_dialect import BY_HAND, DEFAULT, NEW, OLD, PCM, TOOL, Session, kinds, message, only


def test_a_session_is_set_up_with_what_the_client_wants():
    config = e.SessionConfig(
        instructions="Be brief.",
        voice="puck",
        tools=(TOOL,),
        turn_detection=e.TurnDetection(silence_duration_ms=700, interrupt_response=False),
        max_output_tokens=200,
    )
    session = Session(NEW, config)
    kind, setup = session.sent[0]
    assert kind == "setup"
    assert setup["model"] == f"models/{NEW}"
    assert setup["generationConfig"]["speechConfig"]["voiceConfig"]["prebuiltVoiceConfig"]["voiceName"] == "Puck"
    assert setup["generationConfig"]["maxOutputTokens"] == 200
    assert setup["systemInstruction"]["parts"] == [{"text": "Be brief."}]
    assert setup["tools"][0]["functionDeclarations"][0]["parametersJsonSchema"] == TOOL.parameters
    assert setup["realtimeInputConfig"] == {
        "automaticActivityDetection": {"silenceDurationMs": 700},
        "activityHandling": "NO_INTERRUPTION",
    }
    assert setup["sessionResumption"] == {}
    assert setup["inputAudioTranscription"] == setup["outputAudioTranscription"] == {}


def test_turns_by_hand_switch_the_services_detection_off():
    _, setup = Session(NEW, BY_HAND).sent[0]
    assert setup["realtimeInputConfig"] == {"automaticActivityDetection": {"disabled": True}}


def test_nothing_is_sent_before_the_session_is_set_up():
    session = Session()
    steps = session.dialect.open(b.Start(e.SessionConfig()))
    assert [service.read(step.frame)[0] for step in steps if isinstance(step, b.Send)] == ["setup"]
    assert not session.dialect.hear(PCM, e.AudioFormat.PCM)
    session.sent.clear()
    opened = session.says(setupComplete={})
    assert kinds(opened) == ["Opened"]
    assert [kind for kind, _ in session.sent] == ["realtimeInput"]


def test_a_spoken_turn_comes_as_the_realtime_api_tells_it():
    session = Session()
    session.hear()
    events = session.content(inputTranscription={"text": "When are"})
    events += session.content(inputTranscription={"text": " you open?"})
    events += session.speaks()
    events += session.content(outputTranscription={"text": "At nine."})
    events += session.content(generationComplete=True)
    usage = {
        "promptTokenCount": 70,
        "responseTokenCount": 20,
        "cachedContentTokenCount": 10,
        "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 50}, {"modality": "TEXT", "tokenCount": 20}],
        "responseTokensDetails": [{"modality": "AUDIO", "tokenCount": 20}],
    }
    events += session.says(serverContent={"turnComplete": True}, usageMetadata=usage)
    assert kinds(events) == [
        *("SpeechStarted", "TranscriptionDelta", "TranscriptionDelta"),
        *("SpeechStopped", "AudioCommitted", "ItemAdded", "ItemDone"),
        *("ResponseCreated", "OutputItemAdded", "ItemAdded", "ContentPartAdded", "OutputAudioDelta"),
        *("OutputTranscriptDelta", "TranscriptionCompleted"),
        *("OutputAudioDone", "OutputTranscriptDone", "ContentPartDone", "ItemDone", "OutputItemDone", "ResponseDone"),
    ]
    assert only(events, e.TranscriptionCompleted).transcript == "When are you open?"
    done = only(events, e.ResponseDone).response
    assert done.status == "completed"
    assert done.usage == e.TokenUsage(input_text=20, input_audio=50, cached=10, output_audio=20)


def test_where_the_model_tells_of_speech_its_places_are_told():
    session = Session()
    session.hear(3000)
    started = session.says(voiceActivity={"voiceActivityType": "ACTIVITY_START", "audioOffset": "0.500s"})
    ended = session.says(voiceActivity={"voiceActivityType": "ACTIVITY_END", "audioOffset": "2.25s"})
    assert only(started, e.SpeechStarted).audio_start_ms == 500
    assert only(ended, e.SpeechStopped).audio_end_ms == 2250
    assert kinds(session.speaks())[0] == "ResponseCreated"


def test_an_answer_without_a_word_heard_of_the_question_still_ends_the_callers_turn():
    session = Session()
    session.hear()
    events = session.speaks()
    assert kinds(events)[:5] == ["SpeechStarted", "SpeechStopped", "AudioCommitted", "ItemAdded", "ItemDone"]
    late = session.content(inputTranscription={"text": "Hello?", "finished": True})
    assert only(late, e.TranscriptionCompleted).item_id == only(events, e.SpeechStarted).item_id


def test_what_is_spoken_over_is_cancelled_and_truncated_once_it_is_whole():
    session = Session()
    session.hear()
    item_id = only(session.speaks(400), e.OutputAudioDelta).item_id
    interrupted = session.content(interrupted=True)
    assert kinds(interrupted) == ["TranscriptionCompleted", "SpeechStarted"]
    assert session.tell(e.TruncateItem("e2", item_id, 0, 120)) == []
    events = session.says(serverContent={"turnComplete": True}, usageMetadata={"responseTokenCount": 9})
    done = only(events, e.ResponseDone).response
    assert (done.status, done.reason) == ("cancelled", "turn_detected")
    assert done.usage is not None
    assert done.usage.output_text == 9
    assert kinds(events).index("ItemTruncated") > kinds(events).index("ResponseDone")


def test_words_that_come_before_their_interruption_are_of_the_turn_that_interrupts():
    session = Session(OLD)
    session.hear()
    session.content(inputTranscription={"text": "A story.", "finished": True})
    session.speaks()
    assert session.content(inputTranscription={"text": "Stop"}) == []
    assert kinds(session.content(interrupted=True)) == ["SpeechStarted", "TranscriptionDelta"]


def test_words_that_come_when_their_turn_is_complete_are_of_no_other():
    session = Session(OLD)
    session.hear()
    session.speaks()
    session.content(generationComplete=True)
    assert session.content(inputTranscription={"text": " please"}) == []
    session.content(turnComplete=True)
    session.hear()
    assert only(session.content(inputTranscription={"text": "Hello"}), e.TranscriptionDelta).delta == "Hello"


def test_an_answer_is_told_at_the_rate_and_in_the_format_of_the_client():
    session = Session(NEW, e.SessionConfig(output_format=e.AudioFormat.PCMU))
    session.hear()
    events = [*session.speaks(200), *session.content(generationComplete=True), *session.content(turnComplete=True)]
    deltas = [event for event in events if isinstance(event, e.OutputAudioDelta)]
    assert sum(delta.samples for delta in deltas) == sum(len(delta.audio) for delta in deltas) == 1600


def test_who_wants_text_gets_the_words_alone():
    session = Session(NEW, e.SessionConfig(modality="text"))
    session.types("Hello")
    session.tell(e.CreateResponse("e2"))
    events = [*session.speaks(), *session.content(outputTranscription={"text": "Hi."})]
    events += session.content(turnComplete=True)
    assert "OutputAudioDelta" not in kinds(events)
    assert only(events, e.OutputTextDone).text == "Hi."


def test_thoughts_are_not_spoken():
    session = Session()
    session.hear()
    assert session.content(modelTurn={"parts": [{"text": "Let me see.", "thought": True}]}) == []


def test_a_call_is_answered_and_goes_on_within_its_turn():
    session = Session(NEW, e.SessionConfig(tools=(TOOL,)))
    session.hear()
    called = session.says(toolCall={"functionCalls": [{"id": "f1", "name": TOOL.name, "args": {"day": "friday"}}]})
    done = only(called, e.FunctionArgumentsDone)
    assert (done.call_id, done.name, json.loads(done.arguments)) == ("f1", TOOL.name, {"day": "friday"})
    assert only(called, e.ResponseDone).response.status == "completed"
    output = e.Item("o1", e.ItemKind.FUNCTION_CALL_OUTPUT, call_id="f1", output='{"open": "nine"}')
    sent = len(session.sent)
    assert kinds(session.tell(e.CreateItem("e1", output, None))) == ["ItemAdded", "ItemDone"]
    assert len(session.sent) == sent
    assert kinds(session.tell(e.CreateResponse("e2"))) == ["ResponseCreated"]
    response = {"id": "f1", "name": TOOL.name, "response": {"output": {"open": "nine"}}}
    assert session.last() == ("toolResponse", {"functionResponses": [response]})
    assert kinds(session.speaks())[0] == "OutputItemAdded"


@pytest.mark.parametrize("model", [NEW, OLD])
def test_of_calls_that_the_caller_has_spoken_over_no_result_is_sent(model: str):
    session = Session(model, e.SessionConfig(tools=(TOOL,)))
    session.hear()
    session.says(toolCall={"functionCalls": [{"id": "f1", "name": TOOL.name}, {"id": "f2", "name": TOOL.name}]})
    assert session.says(toolCallCancellation={"ids": ["f1", "f2", "f3"]}) == [b.ToolsCancelled(("f1", "f2"))]
    session.content(interrupted=True)
    session.content(turnComplete=True)
    sent = len(session.sent)
    session.tell(e.CreateItem("e1", e.Item("o1", e.ItemKind.FUNCTION_CALL_OUTPUT, call_id="f1", output="9"), None))
    assert len(session.sent) == sent


def test_results_that_come_after_the_answer_was_asked_for_are_sent_at_once():
    session = Session(NEW, e.SessionConfig(tools=(TOOL,)))
    session.hear()
    session.says(toolCall={"functionCalls": [{"id": "f1", "name": TOOL.name}, {"id": "f2", "name": TOOL.name}]})
    for call_id in ("f1", "f2"):
        output = e.Item(f"o{call_id}", e.ItemKind.FUNCTION_CALL_OUTPUT, call_id=call_id, output="nine")
        session.tell(e.CreateItem("e1", output, None))
        if call_id == "f1":
            session.tell(e.CreateResponse("e2"))
        assert session.last()[1]["functionResponses"] == [
            {"id": call_id, "name": TOOL.name, "response": {"output": "nine"}}
        ]


def test_a_call_within_an_answer_that_was_cancelled_is_not_run():
    session = Session()
    session.hear()
    session.speaks()
    session.tell(e.CancelResponse("e1"))
    assert session.says(toolCall={"functionCalls": [{"id": "f1", "name": TOOL.name}]}) == []
    responses = [{"id": "f1", "name": TOOL.name, "response": {"error": "cancelled"}}]
    assert session.last() == ("toolResponse", {"functionResponses": responses})


def test_who_asks_for_the_answer_that_is_due_gets_that_one():
    session = Session()
    session.hear()
    session.says(voiceActivity={"voiceActivityType": "ACTIVITY_START"})
    assert only(session.tell(e.CreateResponse("e1")), b.Refused).error.code.startswith("conversation_already_has")
    session.says(voiceActivity={"voiceActivityType": "ACTIVITY_END"})
    sent = len(session.sent)
    assert kinds(session.tell(e.CreateResponse("e2"))) == ["ResponseCreated"]
    assert len(session.sent) == sent
    assert kinds(session.speaks())[0] == "OutputItemAdded"


@pytest.mark.parametrize(
    ("model", "frame"),
    [
        (NEW, ("realtimeInput", {"text": "Hello"})),
        (OLD, ("clientContent", {"turns": [], "turnComplete": True})),
    ],
)
def test_a_typed_turn_is_sent_as_the_model_takes_it(model: str, frame: tuple[str, Any]):
    session = Session(model)
    session.types("Hello")
    assert kinds(session.tell(e.CreateResponse("e2", e.ResponseOverrides(metadata={"a": "b"})))) == ["ResponseCreated"]
    assert session.last() == frame
    if model == OLD:
        told = {"turns": [{"role": "user", "parts": [{"text": "Hello"}]}], "turnComplete": False}
        assert session.sent[-2] == ("clientContent", told)


def test_a_turn_by_hand_is_sent_when_it_is_to_be_answered():
    session = Session(NEW, BY_HAND)
    session.hear(300)
    assert kinds(session.tell(e.ClearAudio("e1", 0))) == ["AudioCleared"]
    assert only(session.tell(e.CommitAudio("e2", 0)), b.Refused).error.code == "input_audio_buffer_commit_empty"
    session.hear(500)
    assert kinds(session.tell(e.CommitAudio("e3", 0))) == ["AudioCommitted", "ItemAdded", "ItemDone"]
    assert [kind for kind, _ in session.sent] == ["setup"]
    session.tell(e.CreateResponse("e4"))
    inputs = [next(iter(value)) for kind, value in session.sent if kind == "realtimeInput"]
    assert inputs[0] == "activityStart"
    assert set(inputs[1:-1]) == {"audio"}
    assert inputs[-1] == "activityEnd"
    sound = b"".join(service.samples(value["audio"])[0] for _, value in session.sent[2:-1])
    assert len(sound) / 32 == pytest.approx(500, abs=5)


def test_a_cancelled_answer_is_heard_no_more_and_the_next_one_is():
    session = Session()
    session.types("Hello")
    session.tell(e.CreateResponse("e2"))
    session.speaks()
    cancelled = session.tell(e.CancelResponse("e3"))
    assert only(cancelled, e.ResponseDone).response.reason == "client_cancelled"
    assert session.speaks() == []
    session.types("And now?", "typed2")
    session.tell(e.CreateResponse("e4"))
    assert session.speaks() == session.content(interrupted=True) == session.content(turnComplete=True) == []
    assert "OutputAudioDelta" in kinds(session.speaks())


def test_who_asks_while_an_answer_plays_gets_the_next_one():
    session = Session()
    session.types("Hello")
    session.tell(e.CreateResponse("e2"))
    session.speaks()
    assert (
        only(session.tell(e.CreateResponse("e3")), b.Refused).error.code == "conversation_already_has_active_response"
    )
    session.content(generationComplete=True)
    session.types("And now?", "typed2")
    assert kinds(session.tell(e.CreateResponse("e4")))[-2:] == ["ResponseDone", "ResponseCreated"]
    assert session.content(interrupted=True) == session.speaks() == session.content(turnComplete=True) == []
    assert kinds(session.speaks())[0] == "OutputItemAdded"
    assert only(session.content(turnComplete=True), e.ResponseDone).response.status == "completed"


def test_instructions_and_tools_change_within_a_connection_where_the_model_can():
    changed = e.SessionConfig(instructions="Be long.", tools=(TOOL,))
    session = Session(NEW)
    assert kinds(session.see(session.dialect.configure(changed, "e1"))) == ["Configured"]
    kind, update = session.last()
    assert kind == "contextUpdate"
    assert update["systemInstruction"]["parts"] == [{"text": "Be long."}]
    assert update["tools"]["tools"][0]["functionDeclarations"][0]["name"] == TOOL.name
    session.see(session.dialect.configure(e.SessionConfig(), "e2"))
    assert session.last()[1]["tools"] == {"tools": []}
    assert kinds(Session(OLD).dialect.configure(changed, "e1")) == ["Configured", "Reopen"]
    assert kinds(session.dialect.configure(e.SessionConfig(voice="Puck"), "e3")) == ["Configured", "Reopen"]


@pytest.mark.parametrize(
    ("config", "param"),
    [
        (e.SessionConfig(tool_choice="required"), "session.tool_choice"),
        (
            e.SessionConfig(turn_detection=e.TurnDetection(create_response=False)),
            "session.audio.input.turn_detection.create_response",
        ),
    ],
)
def test_what_gemini_cannot_do_is_refused_and_named(config: e.SessionConfig, param: str):
    refused = only(Session().dialect.configure(config, "e1"), b.ConfigRefused)
    assert refused.error.param == param


@pytest.mark.parametrize(
    ("overrides", "param"),
    [
        (e.ResponseOverrides(conversation="none"), "response.conversation"),
        (e.ResponseOverrides(input=()), "response.input"),
        (e.ResponseOverrides(modality="text"), "response.output_modalities"),
        (e.ResponseOverrides(tools=(TOOL,)), "response.tools"),
        (e.ResponseOverrides(tool_choice="required"), "response.tool_choice"),
    ],
)
def test_wishes_for_one_response_that_cannot_be_had_are_refused(overrides: e.ResponseOverrides, param: str):
    assert only(Session().tell(e.CreateResponse("e1", overrides)), b.Refused).error.param == param


def test_a_connection_goes_on_with_the_handle_as_long_as_that_knows_the_whole_conversation():
    session = Session()
    session.types("Hello", "i1")
    session.tell(e.CreateResponse("e2"))
    session.says(sessionResumptionUpdate={"newHandle": "h1", "resumable": True})
    session.says(sessionResumptionUpdate={"newHandle": "h2", "resumable": False})
    hello, more = message("i1", "user", "Hello"), message("i2", "user", "More")
    session.open(e.SessionConfig(), hello)
    assert session.last()[1]["sessionResumption"] == {"handle": "h1"}
    session.open(e.SessionConfig(), hello, more)
    setup, history = session.sent[-2:]
    assert setup[1]["sessionResumption"] == {}
    assert setup[1]["historyConfig"] == {"initialHistoryInClientContent": True}
    assert history[1]["turns"] == [{"role": "user", "parts": [{"text": "Hello"}, {"text": "More"}]}]


def test_a_handle_does_not_bring_back_words_that_were_yet_to_be_told():
    session = Session(NEW)
    session.types("Hello", "i1")
    session.says(sessionResumptionUpdate={"newHandle": "h1", "resumable": True})
    session.open(e.SessionConfig(), message("i1", "user", "Hello"))
    setup, history = session.sent[-2:]
    assert setup[1]["sessionResumption"] == {}
    assert history[1]["turns"] == [{"role": "user", "parts": [{"text": "Hello"}]}]


def test_a_turn_by_hand_outlives_the_connection_that_it_was_not_sent_on():
    session = Session(NEW, BY_HAND)
    session.hear()
    session.tell(e.CommitAudio("e1", 0))
    session.open(BY_HAND)
    session.tell(e.CreateResponse("e2"))
    sent = [name for name, _ in session.sent]
    assert [content for _, content in session.sent if "activityStart" in content or "activityEnd" in content] == [
        {"activityStart": {}},
        {"activityEnd": {}},
    ]
    assert sum("audio" in content for _, content in session.sent) == len(sent) - 4


def test_words_of_the_server_do_not_make_gemini_forget_its_calls():
    session = Session(NEW, e.SessionConfig(tools=(TOOL,)))
    session.hear()
    session.says(toolCall={"functionCalls": [{"id": "f1", "name": TOOL.name}]})
    assert not session.dialect.may_say
    refused = only(session.tell(e.Say("One moment.")), b.Refused)
    assert refused.error.code == "conversation_already_has_active_response"
    session.tell(e.CreateItem("e1", e.Item("o1", e.ItemKind.FUNCTION_CALL_OUTPUT, call_id="f1", output="9"), None))
    assert session.dialect.may_say
    assert kinds(session.tell(e.Say("We open at nine."))) == ["ResponseCreated"]
    [response] = session.last()[1]["functionResponses"]
    assert response["response"]["output"] == 9
    assert response["response"]["instructions"].endswith("We open at nine.")


def test_what_a_tool_of_the_server_has_done_after_it_was_called_off_is_told_with_the_next_answer():
    session = Session(NEW, e.SessionConfig(tools=(TOOL,)))
    session.hear()
    session.says(toolCall={"functionCalls": [{"id": "f1", "name": TOOL.name}]})
    session.says(toolCallCancellation={"ids": ["f1"]})
    session.content(turnComplete=True)
    session.tell(e.CreateItem(b.OWN, e.Item("o1", e.ItemKind.FUNCTION_CALL_OUTPUT, call_id="f1", output="9"), None))
    session.tell(e.CreateResponse(b.OWN))
    assert session.last() == ("realtimeInput", {"text": f"(The result of {TOOL.name}: 9)"})


def test_a_handle_that_is_refused_is_not_tried_again():
    session = Session()
    session.says(sessionResumptionUpdate={"newHandle": "h1", "resumable": True})
    session.dialect.open(b.Start(e.SessionConfig()))
    assert session.dialect.closed(1007, "Request contains an invalid argument.").retryable
    session.open()
    assert session.last()[1]["sessionResumption"] == {}


def test_a_replay_tells_calls_in_words_and_notes_as_instructions():
    call = e.Item("c", e.ItemKind.FUNCTION_CALL, call_id="f1", name="look_up", arguments='{"a": 1}')
    result = e.Item("r", e.ItemKind.FUNCTION_CALL_OUTPUT, call_id="f1", output="7")
    items = (message("s", "system", "The caller is Ann."), message("u", "user", "Hello"), call, result)
    session = Session(OLD, e.SessionConfig(instructions="Be brief."), *items)
    setup, history = session.sent
    assert setup[1]["systemInstruction"]["parts"] == [{"text": "Be brief.\n\nThe caller is Ann."}]
    assert "historyConfig" not in setup[1]
    assert history[1]["turnComplete"] is False
    assert [turn["role"] for turn in history[1]["turns"]] == ["user", "model", "user"]
    assert history[1]["turns"][2]["parts"] == [{"text": "(The result of look_up: 7)"}]


def test_what_is_deleted_or_put_in_between_makes_a_fresh_session():
    session = Session()
    session.types("Hello", "i1")
    session.tell(e.CreateResponse("e1"))
    session.content(turnComplete=True)
    session.says(sessionResumptionUpdate={"newHandle": "h1", "resumable": True})
    assert kinds(session.tell(e.DeleteItem("e2", "i1"))) == ["ItemDeleted", "Reopen"]
    session.open()
    assert session.last()[1]["sessionResumption"] == {}
    assert only(session.tell(e.DeleteItem("e3", "i1")), b.Refused).error.code == "item_delete_invalid_item_id"


@pytest.mark.parametrize("model", [NEW, OLD])
def test_a_conversation_that_is_tidied_up_before_it_is_told_is_told_once(model: str):
    items = [message(f"i{n}", "user" if n % 2 else "assistant", str(n)) for n in range(1, 5)]
    session = Session(model)
    items.append(message("s", "system", "Note."))
    session.order.knows(items)
    session.see(session.dialect.open(b.Start(DEFAULT, items)))
    for item_id in ("i1", "i4"):
        assert kinds(session.tell(e.DeleteItem("e1", item_id))) == ["ItemDeleted"]
    assert kinds(session.tell(e.CreateItem("e2", message("i0", "user", "0"), "root"))) == ["ItemAdded", "ItemDone"]
    assert kinds(session.tell(e.DeleteItem("e3", "s"))) == ["ItemDeleted", "Reopen"]
    session.types("New", "i5")
    session.says(setupComplete={})
    told = next(value for kind, value in session.sent if kind == "clientContent")
    assert [part["text"] for turn in told["turns"] for part in turn["parts"]] == ["0", "2", "3"]
    assert kinds(session.tell(e.DeleteItem("e4", "i2"))) == ["ItemDeleted", "Reopen"]


@pytest.mark.parametrize(
    ("code", "reason", "retryable", "named"),
    [
        (1011, "Deadline expired before operation could complete.", True, "provider_unavailable"),
        (1011, "Internal error encountered.", True, "provider_unavailable"),
        (1006, "", True, "provider_unavailable"),
        (1007, "API key expired. Please renew the API key.", False, "invalid_api_key"),
        (1007, "API key not valid. Please pass a valid API key.", False, "invalid_api_key"),
        (
            1011,
            "You exceeded your current quota, please check your plan and billing details.",
            False,
            "insufficient_quota",
        ),
        (1011, "Your prepayment credits are depleted.", False, "insufficient_quota"),
        (1008, "models/x is not found for API version v1beta", False, "model_not_found"),
    ],
)
def test_the_reason_of_a_close_decides_whether_to_try_again(code: int, reason: str, retryable: bool, named: str):
    ended = Session().dialect.closed(code, reason)
    assert (ended.retryable, ended.code) == (retryable, named)


def test_a_setup_that_is_wrong_is_not_sent_again():
    dialect = Session().dialect
    dialect.open(b.Start(e.SessionConfig()))
    assert not dialect.closed(1007, 'Invalid JSON payload received. Unknown name "x"').retryable
    assert "key-of-the-operator" not in dialect.closed(1007, "not good: key-of-the-operator").reason
    assert not dialect.rejected(403, "").retryable
    assert dialect.rejected(503, "").retryable


def test_the_service_says_when_it_leaves():
    assert Session().says(goAway={"timeLeft": "50s"}) == [b.GoingAway(50.0)]
