"""Gemini Live as a dialect: what is sent for what is asked, and the events that come of what it says."""

from __future__ import annotations

import base64
import json
from itertools import count
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.cloud import base as b
from server.cloud.gemini import GeminiDialect
from server.cloud.gemini_setup import GeminiOptions
from server.core import events as e
from tests.cloud import gemini_wire as service
from tests.cloud.protocol import Order

NEW, OLD = "gemini-3.8-live", "gemini-live-2.5-flash-native-audio"
PCM = np.full(2400, 900, "<i2").tobytes()
TOOL = e.Tool("get_opening_hours", "When it is open.", {"type": "object", "properties": {"day": {"type": "string"}}})
DEFAULT = e.SessionConfig()
BY_HAND = e.SessionConfig(turn_detection=None)


class Session:
    """A dialect, set up; what it sends is checked as the service would, its events as a client would."""

    def __init__(self, model: str = NEW, config: e.SessionConfig = DEFAULT, *items: e.Item) -> None:
        numbers = count(1)
        options = GeminiOptions(model, "key-of-the-operator")
        self.dialect = GeminiDialect(options, "conv_1", lambda prefix: f"{prefix}_{next(numbers)}")
        self.order = Order()
        self.sent: list[tuple[str, Any]] = []
        self.open(config, *items)

    def open(self, config: e.SessionConfig = DEFAULT, *items: e.Item) -> None:
        """A new connection."""
        self.see(self.dialect.open(b.Start(config, items)))
        self.says(setupComplete={})

    def see(self, steps: list[b.Step]) -> list[b.Step]:
        self.sent += [service.read(step.frame) for step in steps if isinstance(step, b.Send)]
        events = [step for step in steps if not isinstance(step, b.Send)]
        self.order.see(events)
        return events

    def says(self, **message: Any) -> list[b.Step]:
        """A message of the service, as a binary frame."""
        return self.see(self.dialect.read(json.dumps(message).encode()))

    def content(self, **content: Any) -> list[b.Step]:
        """The same, a serverContent."""
        return self.says(serverContent=content)

    def speaks(self, ms: int = 40, rate: int = 24_000) -> list[b.Step]:
        """A piece of an answer."""
        data = base64.b64encode(np.full(rate * ms // 1000, 700, "<i2").tobytes()).decode()
        return self.content(modelTurn={"parts": [{"inlineData": {"mimeType": f"audio/pcm;rate={rate}", "data": data}}]})

    def tell(self, command: b.Command) -> list[b.Step]:
        return self.see(self.dialect.tell(command))

    def hear(self, ms: int = 1000) -> None:
        """Sound of the caller."""
        steps = self.dialect.hear(PCM * (ms // 100), e.AudioFormat.PCM)
        self.sent += [service.read(step.frame) for step in steps]

    def types(self, text: str, item_id: str = "typed") -> None:
        item = e.Item(item_id, e.ItemKind.MESSAGE, role="user", content=(e.ContentPart("input_text", text),))
        self.tell(e.CreateItem("e1", item, None))

    def last(self) -> tuple[str, Any]:
        return self.sent[-1]


def kinds(steps: list[b.Step]) -> list[str]:
    return [type(step).__name__ for step in steps]


def only(steps: list[b.Step], kind: type[Any]) -> Any:
    (found,) = [step for step in steps if isinstance(step, kind)]
    return found


def message(item_id: str, role: str, text: str) -> e.Item:
    kind = "output_text" if role == "assistant" else "input_text"
    return e.Item(item_id, e.ItemKind.MESSAGE, role=role, content=(e.ContentPart(kind, text),))


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


# --------------------------------------------------------------------------------- whatever comes

_JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_SOUND = base64.b64encode(PCM[:960]).decode()
_PART = st.sampled_from(
    [
        {"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": _SOUND}},
        {"inlineData": {"mimeType": "audio/pcm;rate=16000", "data": _SOUND}},
        {"inlineData": {"mimeType": "audio/pcm;rate=7", "data": "!"}},
        {"text": "word"},
        {"text": "hm", "thought": True},
    ]
)
_WORDS = st.fixed_dictionaries({"text": st.sampled_from(["", " yes", "no"])}, optional={"finished": st.booleans()})
_CONTENT = st.fixed_dictionaries(
    {},
    optional={
        "modelTurn": st.fixed_dictionaries({"parts": st.lists(_PART, max_size=2)}) | _JUNK,
        "inputTranscription": _WORDS | _JUNK,
        "outputTranscription": _WORDS | _JUNK,
        "generationComplete": st.booleans(),
        "interrupted": st.booleans(),
        "turnComplete": st.booleans(),
    },
)
_IDS = st.sampled_from(["f1", "f2", "f3", ""])
_CALL = st.fixed_dictionaries({"name": st.sampled_from(["a", ""])}, optional={"id": _IDS | _JUNK, "args": _JUNK})
_ACTIVITY = st.sampled_from(["ACTIVITY_START", "ACTIVITY_END", "?"])
_MESSAGE = st.fixed_dictionaries(
    {},
    optional={
        "serverContent": _CONTENT,
        "toolCall": st.fixed_dictionaries({"functionCalls": st.lists(_CALL, max_size=2)}) | _JUNK,
        "toolCallCancellation": st.fixed_dictionaries({"ids": st.lists(_IDS, max_size=2)}) | _JUNK,
        "voiceActivity": st.fixed_dictionaries({"voiceActivityType": _ACTIVITY, "audioOffset": st.just("0.1s")}),
        "usageMetadata": _JUNK,
        "goAway": _JUNK,
        "sessionResumptionUpdate": _JUNK,
    },
)
_FRAME = st.one_of(
    _MESSAGE.map(lambda value: json.dumps(value).encode()),
    _JUNK.map(json.dumps),
    st.binary(max_size=20),
    st.text(max_size=20),
)


def _commands() -> st.SearchStrategy[b.Command]:
    ids = st.sampled_from(["i1", "i2", "i3"])
    typed = ids.map(lambda item_id: message(item_id, "user", "Hello"))
    output = _IDS.map(lambda call: e.Item(f"o{call}", e.ItemKind.FUNCTION_CALL_OUTPUT, call_id=call, output="{}"))
    return st.one_of(
        (typed | output).map(lambda item: e.CreateItem("e", item, None)),
        ids.map(lambda item_id: e.DeleteItem("e", item_id)),
        ids.map(lambda item_id: e.TruncateItem("e", item_id, 0, 10)),
        st.builds(e.CommitAudio, st.just("e"), st.just(0)),
        st.builds(e.ClearAudio, st.just("e"), st.just(0)),
        st.just(e.CreateResponse("e")),
        st.just(e.CreateResponse("e", e.ResponseOverrides(instructions="Greet."))),
        st.just(e.CancelResponse("e")),
        st.just(e.Say("Good day.")),
    )


def _carried_out(session: Session, action: object) -> None:
    match action:
        case int():
            session.hear(action)
        case str() | bytes():
            session.see(session.dialect.read(action))
        case _:
            session.tell(action)  # type: ignore[arg-type]


@pytest.mark.parametrize("model", [NEW, OLD])
@pytest.mark.parametrize("by_hand", [False, True])
@settings(max_examples=60, deadline=None)
@given(actions=st.lists(st.one_of(_FRAME, _FRAME, _commands(), st.sampled_from([100, 300])), max_size=30))
def test_whatever_comes_the_events_keep_their_order(model: str, by_hand: bool, actions: list[object]):
    session = Session(model, BY_HAND if by_hand else e.SessionConfig())
    for action in actions:
        _carried_out(session, action)
    for _ in range(2):
        session.content(turnComplete=True)
    assert not session.order.open


@pytest.mark.parametrize(
    "frame", ['{"serverContent": {"modelTurn": 3}}', '{"toolCall": null}', "[]", "nonsense", '{"a":']
)
def test_what_is_not_understood_is_passed_over(frame: str):
    assert Session().dialect.read(frame) == []
