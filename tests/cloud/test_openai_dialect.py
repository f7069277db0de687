"""The OpenAI dialect, frame by frame."""

from __future__ import annotations

import base64
import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.cloud import base as b
from server.cloud.openai import OpenAIDialect, Service
from server.cloud.openai_events import _READERS
from server.cloud.openai_session import Wishes
from server.core import events as e
from tests.cloud.provider import KEY

SERVICE = Service("openai", "wss://api.openai.com/v1/", KEY, "gpt-realtime", Wishes("marin", "gpt-4o-mini-transcribe"))
WHERE = {"response_id": "resp_1", "item_id": "item_1", "output_index": 0, "content_index": 0}


def opened(config: e.SessionConfig | None = None, *items: e.Item, service: Service = SERVICE) -> tuple[Any, list[Any]]:
    """A dialect, and what it sent first."""
    dialect = OpenAIDialect(service, "conv_1")
    return dialect, sent(dialect.open(b.Start(config or e.SessionConfig(), items, offset_ms=2000)))


def sent(steps: list[b.Step]) -> list[Any]:
    return [orjson.loads(step.frame) for step in steps if isinstance(step, b.Send)]


def read(dialect: OpenAIDialect, kind: str, **fields: Any) -> list[b.Step]:
    return dialect.read(json.dumps({"type": kind, "event_id": "event_1", **fields}))


def refusal(dialect: OpenAIDialect, code: str, **fields: Any) -> list[b.Step]:
    return read(dialect, "error", error={"type": "invalid_request_error", "code": code, "message": "No.", **fields})


# ------------------------------------------------------------------------------------------- asking


def test_the_key_is_in_the_header_that_the_service_reads_and_is_never_shown():
    assert SERVICE.address().url == "wss://api.openai.com/v1/realtime?model=gpt-realtime"
    assert SERVICE.address().headers == {"Authorization": f"Bearer {KEY}"}
    azure = Service("azure", "wss://us.openai.azure.com/openai/v1", KEY, "our model/1")
    assert azure.address().url == "wss://us.openai.azure.com/openai/v1/realtime?model=our+model%2F1"
    assert azure.address().headers == {"api-key": KEY}
    assert KEY not in repr([SERVICE, azure, azure.address()])


def test_a_session_is_opened_with_all_that_it_is_and_the_conversation_so_far():
    tool = e.Tool("look_up", "Looks it up.", {"type": "object"})
    own = e.ServerTool(e.Tool("book", "Books it.", {"type": "object"}))
    config = e.SessionConfig(
        instructions="Be brief.",
        voice="en_US",
        tools=(tool,),
        server_tools=(own,),
        tool_choice="book",
        input_format=e.AudioFormat.PCMU,
        max_output_tokens=200,
        extras={"reasoning": {"effort": "low"}, "tracing": "auto", "type": "transcription"},
    )
    call = e.Item("item_2", e.ItemKind.FUNCTION_CALL, call_id="call_1", name="book", arguments="{}")
    _, frames = opened(config, call)
    assert [frame["type"] for frame in frames] == ["session.update", "conversation.item.create"]
    session = frames[0]["session"]
    assert session["type"] == "realtime"
    assert session["instructions"] == "Be brief."
    assert [entry["name"] for entry in session["tools"]] == ["look_up", "book"]
    assert session["tool_choice"] == {"type": "function", "name": "book"}
    assert session["max_output_tokens"] == 200
    assert session["reasoning"] == {"effort": "low"}
    assert "tracing" not in session
    assert session["audio"]["input"]["format"] == {"type": "audio/pcmu"}
    assert session["audio"]["input"]["transcription"] == {"model": "gpt-4o-mini-transcribe"}
    assert session["audio"]["input"]["turn_detection"]["silence_duration_ms"] == 500
    # A voice of this machine means nothing there.
    assert session["audio"]["output"] == {
        "format": {"type": "audio/pcm", "rate": 24000},
        "voice": "marin",
        "speed": 1.0,
    }
    wanted = {"type": "function_call", "id": "item_2", "name": "book", "call_id": "call_1", "arguments": "{}"}
    assert frames[1]["item"] == wanted


def test_a_client_gets_the_voice_that_the_provider_has_and_manual_turns():
    _, [update] = opened(e.SessionConfig(voice="Cedar", turn_detection=None))
    assert update["session"]["audio"]["output"]["voice"] == "Cedar"
    assert update["session"]["audio"]["input"]["turn_detection"] is None


def test_commands_are_the_events_of_the_api():
    dialect, _ = opened()
    item = e.Item("item_1", e.ItemKind.MESSAGE, role="user", content=(e.ContentPart("input_audio", None),))
    overrides = e.ResponseOverrides(
        conversation="none",
        modality="text",
        voice="en_US",
        input=("item_1",),
        metadata={"a": "b"},
        tools=(),
        parallel_tool_calls=False,
    )
    commands = (
        (e.CreateItem("event_1", item, "root", b"\1\2"), "conversation.item.create"),
        (e.DeleteItem("event_1", "item_1"), "conversation.item.delete"),
        (e.TruncateItem("event_1", "item_1", 0, 700), "conversation.item.truncate"),
        (e.CommitAudio("event_1", 0), "input_audio_buffer.commit"),
        (e.ClearAudio("event_1", 0), "input_audio_buffer.clear"),
        (e.CancelResponse("event_1", "resp_1"), "response.cancel"),
        (e.CreateResponse("event_1", overrides), "response.create"),
    )
    frames = [frame for command, _ in commands for frame in sent(dialect.tell(command))]
    assert [frame.pop("type") for frame in frames] == [kind for _, kind in commands]
    assert len({frame.pop("event_id") for frame in frames}) == len(frames)
    created, deleted, truncated, _, _, cancelled, asked = frames
    assert created["previous_item_id"] == "root"
    assert created["item"]["content"] == [{"type": "input_audio", "audio": base64.b64encode(b"\1\2").decode()}]
    assert deleted == {"item_id": "item_1"}
    assert truncated == {"item_id": "item_1", "content_index": 0, "audio_end_ms": 700}
    assert cancelled == {"response_id": "resp_1"}
    assert asked["response"] == {
        "conversation": "none",
        "output_modalities": ["text"],
        "tools": [],
        "parallel_tool_calls": False,
        "input": [{"type": "item_reference", "id": "item_1"}],
        "metadata": {"a": "b"},
    }


def test_sound_goes_out_as_it_is():
    dialect, _ = opened()
    [frame] = sent(dialect.hear(b"\1\2\3", e.AudioFormat.PCMA))
    assert frame == {"type": "input_audio_buffer.append", "audio": base64.b64encode(b"\1\2\3").decode()}


# ------------------------------------------------------------------------------------------ reading


def test_times_go_on_from_the_connection_before():
    dialect, _ = opened()
    started = read(dialect, "input_audio_buffer.speech_started", item_id="item_1", audio_start_ms=100)
    stopped = read(dialect, "input_audio_buffer.speech_stopped", item_id="item_1", audio_end_ms=900)
    assert [*started, *stopped] == [e.SpeechStarted("item_1", 2100), e.SpeechStopped("item_1", 2900)]
    kind = "conversation.item.input_audio_transcription.completed"
    usage = {"type": "tokens", "input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    [words] = read(dialect, kind, item_id="item_1", content_index=0, transcript="Hello.", usage=usage)
    assert words == e.TranscriptionCompleted("item_1", "Hello.", 0.8)


def test_positions_of_speech_are_counted_in_the_responses_own_format():
    dialect, _ = opened()
    response = {"id": "resp_1", "status": "in_progress", "conversation_id": "conv_there"}
    output = {"output": {"format": {"type": "audio/pcmu"}, "voice": "marin"}}
    [created] = read(dialect, "response.created", response={**response, "audio": output})
    assert created.response.conversation == "conv_1"  # type: ignore[union-attr]
    pieces = [read(dialect, "response.output_audio.delta", **WHERE, delta="AAAA")[0] for _ in range(2)]
    assert [(piece.start, piece.samples) for piece in pieces] == [(0, 3), (3, 3)]  # type: ignore[union-attr]


def test_a_response_is_told_with_its_usage_and_why_it_ended():
    dialect, _ = opened()
    usage = {
        "total_tokens": 30,
        "input_tokens": 20,
        "output_tokens": 10,
        "input_token_details": {"text_tokens": 5, "audio_tokens": 15, "cached_tokens": 4},
        "output_token_details": {"text_tokens": 2, "audio_tokens": 8},
    }
    failed = {"type": "failed", "error": {"type": "server_error", "code": "inference_service_unavailable_error"}}
    response = {"id": "resp_1", "status": "failed", "status_details": failed, "usage": usage, "output": []}
    [done] = read(dialect, "response.done", response=response)
    assert isinstance(done, e.ResponseDone)
    assert done.response.usage == e.TokenUsage(5, 15, 4, 2, 8)
    assert done.response.error_code == "inference_service_unavailable_error"
    assert done.response.conversation == ""
    odd = {"id": "resp_2", "status": "cancelled", "status_details": {"type": "cancelled", "reason": "new_reason"}}
    [done] = read(dialect, "response.done", response=odd)
    assert isinstance(done, e.ResponseDone)
    assert done.response.reason is None


def test_what_was_replayed_is_no_news():
    old = e.Item("item_0", e.ItemKind.MESSAGE, role="user", content=(e.ContentPart("input_text", "Hi."),))
    dialect, _ = opened(None, old)
    item = {"type": "message", "role": "user", "content": []}
    for kind in ("conversation.item.added", "conversation.item.done"):
        assert read(dialect, kind, item={**item, "id": "item_0"}) == []
        assert len(read(dialect, kind, item={**item, "id": "item_1"})) == 1
    assert read(dialect, "session.created", session={}) == []
    assert read(dialect, "session.updated", session={}) == [b.Opened()]
    assert read(dialect, "session.updated", session={}) == []


@pytest.mark.parametrize("kind", sorted(_READERS))
@pytest.mark.parametrize("fields", [{}, {"item": 7, "response": [], "item_id": None}, {"response": {"id": "r"}}])
def test_an_event_that_is_not_as_it_should_be_is_passed_over(kind: str, fields: dict[str, Any]):
    dialect, _ = opened()
    assert read(dialect, kind, **fields) in ([], [e.AudioCleared()])


@given(st.one_of(st.text(), st.binary()))
def test_no_frame_breaks_it(frame: str | bytes):
    dialect, _ = opened()
    assert dialect.read(frame) == []


# ------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("code", ["invalid_api_key", "insufficient_quota", "invalid_model"])
def test_some_errors_are_not_worth_another_try(code: str):
    dialect, _ = opened()
    [ended] = refusal(dialect, code, message=f"Incorrect API key provided: {KEY}")
    assert isinstance(ended, b.Ended)
    assert not ended.retryable
    assert KEY not in ended.reason


def test_a_session_that_has_expired_goes_on_over_another_connection():
    dialect, _ = opened()
    [ended] = refusal(dialect, "session_expired")
    assert isinstance(ended, b.Ended)
    assert ended.retryable


@pytest.mark.parametrize(
    ("code", "reason", "retryable"),
    [
        (3000, "invalid_request_error.invalid_api_key", False),
        (4000, "invalid_request_error.missing_model", False),
        (1008, "invalid_request_error.insufficient_quota", False),
        (1001, "invalid_request_error.session_expired", True),
        (1006, "", True),
        (1011, "keepalive ping timeout", True),
        (1013, "", True),
    ],
)
def test_a_close_says_whether_to_try_again(code: int, reason: str, retryable: bool):
    dialect, _ = opened()
    assert dialect.closed(code, reason).retryable is retryable


@pytest.mark.parametrize(
    ("status", "retryable"),
    [(401, False), (403, False), (404, False), (302, False), (429, True), (503, True), (0, True)],
)
def test_a_refused_handshake_says_whether_to_try_again(status: int, retryable: bool):
    dialect, _ = opened()
    ended = dialect.rejected(status, f"no such key: {KEY}")
    assert ended.retryable is retryable
    assert KEY not in ended.reason


def test_an_error_belongs_to_the_command_it_is_about():
    dialect, _ = opened()
    command = e.DeleteItem("event_7", "item_9")
    [frame] = sent(dialect.tell(command))
    [refused] = refusal(dialect, "item_delete_invalid_item_id", event_id=frame["event_id"])
    assert isinstance(refused, b.Refused)
    assert refused.command is command
    [told] = refusal(dialect, "rate_limit_exceeded", message=f"Too fast for {KEY}.")
    assert isinstance(told, e.Error)
    assert told.message == "Too fast for ***."


def test_a_refused_configuration_is_told_even_if_the_provider_does_not_say_which_event_it_was():
    dialect, _ = opened()
    read(dialect, "session.updated", session={})
    dialect.configure(e.SessionConfig(voice="echo"), "event_1")
    [refused] = refusal(dialect, "cannot_update_voice", param="session.audio.output.voice", event_id=None)
    assert isinstance(refused, b.ConfigRefused)


def test_a_session_that_is_refused_as_a_whole_is_not_begun_with_half_of_it():
    dialect, [update] = opened()
    [ended] = refusal(dialect, "invalid_value", param="session.tools", event_id=update["event_id"])
    assert isinstance(ended, b.Ended)
    assert not ended.retryable
