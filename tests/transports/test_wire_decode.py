"""Whatever a client sends becomes an Input, audio, or one InvalidEvent that says what was wrong."""

import base64
import json
from typing import Any

import pytest

from server.core import events as ev
from server.transports.base import AudioAppend
from server.transports.wire import MAX_APPEND, RealtimeCodec

NOWHERE = ev.ResponseOverrides()


def new_codec() -> RealtimeCodec:
    return RealtimeCodec("m", 1, lambda prefix: f"{prefix}_new")


def decode(event: Any, codec: RealtimeCodec | None = None, position: int = 0) -> Any:
    return (codec or new_codec()).decode(json.dumps(event), position)


def create(item: Any, **fields: Any) -> Any:
    return decode({"type": "conversation.item.create", "item": item, **fields})


def respond(response: Any) -> Any:
    return decode({"type": "response.create", "response": response})


def message(role: str, *parts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": list(parts), **fields}


def text(words: str, kind: str = "input_text") -> dict[str, Any]:
    return {"type": kind, "text": words}


SAID = ev.Item("", ev.ItemKind.MESSAGE, role="user", content=(ev.ContentPart("input_text", "hi"),))


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"type": "input_audio_buffer.append", "audio": "AAEC/w=="}, AudioAppend(None, b"\0\1\2\xff")),
        ({"type": "input_audio_buffer.append", "audio": "", "event_id": "a"}, AudioAppend("a", b"")),
        ({"type": "input_audio_buffer.commit", "event_id": "a"}, ev.CommitAudio("a", 77)),
        ({"type": "input_audio_buffer.clear", "event_id": None}, ev.ClearAudio(None, 77)),
        (
            {"type": "conversation.item.create", "item": message("user", text("hi")), "event_id": "a"},
            ev.CreateItem("a", SAID, None),
        ),
        (
            {"type": "conversation.item.create", "item": message("user", text("hi")), "previous_item_id": "root"},
            ev.CreateItem(None, SAID, "root"),
        ),
        ({"type": "conversation.item.retrieve", "item_id": "i", "event_id": "a"}, ev.RetrieveItem("a", "i")),
        ({"type": "conversation.item.delete", "item_id": "i", "event_id": "a"}, ev.DeleteItem("a", "i")),
        (
            {"type": "conversation.item.truncate", "item_id": "i", "content_index": 0, "audio_end_ms": 1500.0},
            ev.TruncateItem(None, "i", 0, 1500),
        ),
        ({"type": "response.create"}, ev.CreateResponse(None, NOWHERE)),
        ({"type": "response.create", "response": None, "event_id": "a"}, ev.CreateResponse("a", NOWHERE)),
        ({"type": "response.cancel"}, ev.CancelResponse(None, None)),
        ({"type": "response.cancel", "response_id": "r", "event_id": "a"}, ev.CancelResponse("a", "r")),
        ({"type": "session.update", "session": {"type": "realtime"}}, ev.UpdateSession(None, {})),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else "",
)
def test_a_client_event_becomes_its_input(event: dict[str, Any], expected: Any) -> None:
    assert decode(event, position=77) == expected


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (
            message("system", text("be brief"), text("be kind")),
            ev.Item(
                "",
                ev.ItemKind.MESSAGE,
                role="system",
                content=(ev.ContentPart("input_text", "be brief"), ev.ContentPart("input_text", "be kind")),
            ),
        ),
        (
            message("assistant", text("yes", "output_text"), id="f" * 64, status="incomplete", object="realtime.item"),
            ev.Item(
                "f" * 64,
                ev.ItemKind.MESSAGE,
                ev.ItemStatus.INCOMPLETE,
                role="assistant",
                content=(ev.ContentPart("output_text", "yes"),),
            ),
        ),
        (
            message("user", {"type": "input_audio", "transcript": "hello", "audio": "AAAA"}, status="in_progress"),
            ev.Item("", ev.ItemKind.MESSAGE, role="user", content=(ev.ContentPart("input_audio", "hello"),)),
        ),
        (
            {"type": "function_call", "name": "f", "arguments": '{"a": 1}', "call_id": "call_1"},
            ev.Item("", ev.ItemKind.FUNCTION_CALL, call_id="call_1", name="f", arguments='{"a": 1}'),
        ),
        (
            {"type": "function_call", "name": "f", "arguments": ""},
            ev.Item("", ev.ItemKind.FUNCTION_CALL, call_id="call_new", name="f", arguments="{}"),
        ),
        (
            {"type": "function_call_output", "call_id": "call_1", "output": ""},
            ev.Item("", ev.ItemKind.FUNCTION_CALL_OUTPUT, call_id="call_1", output=""),
        ),
    ],
    ids=["system", "assistant", "audio", "call", "call without id", "output"],
)
def test_an_item_of_each_kind_can_be_created(item: dict[str, Any], expected: ev.Item) -> None:
    assert create(item) == ev.CreateItem(None, expected, None)


def test_a_response_can_override_the_session() -> None:
    created = respond(
        {
            "conversation": "none",
            "instructions": "",
            "output_modalities": ["text"],
            "audio": {"output": {"voice": {"id": "v"}, "format": {"type": "audio/pcmu", "rate": 8000}}},
            "tools": [{"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}}],
            "tool_choice": {"type": "function", "name": "f"},
            "parallel_tool_calls": False,
            "max_output_tokens": 50,
            "metadata": {"client_event_id": "x"},
            "reasoning": {"effort": "low"},
            "prompt": None,
            "something_new": [1],
            "input": [message("user", text("hi")), {"type": "item_reference", "id": "i"}],
        }
    )
    assert created.overrides == ev.ResponseOverrides(
        conversation="none",
        instructions="",
        modality="text",
        voice="v",
        output_format=ev.AudioFormat.PCMU,
        tools=(ev.Tool("f", "d", {"type": "object"}),),
        tool_choice="f",
        parallel_tool_calls=False,
        max_output_tokens=50,
        input=(SAID, "i"),
        metadata={"client_event_id": "x"},
    )


def test_no_input_at_all_is_not_the_same_as_an_empty_one() -> None:
    assert respond({}).overrides.input is None
    assert respond({"input": []}).overrides.input == ()
    assert respond({"tools": []}).overrides.tools == ()


def test_a_response_without_limit_is_not_held_to_the_sessions_limit() -> None:
    codec = new_codec()
    event = {"type": "response.create", "response": {"max_output_tokens": "inf"}}
    assert decode(event, codec).overrides.max_output_tokens is None
    codec.encode(ev.SessionUpdated("s", ev.SessionConfig(max_output_tokens=10)))
    assert decode(event, codec).overrides.max_output_tokens == 4096


def test_appended_audio_is_taken_for_the_sessions_input_format() -> None:
    codec = new_codec()
    odd = {"type": "input_audio_buffer.append", "audio": base64.b64encode(bytes(161)).decode()}
    assert decode(odd, codec).code == "invalid_value"
    codec.encode(ev.SessionUpdated("s", ev.SessionConfig(input_format=ev.AudioFormat.PCMU)))
    assert decode(odd, codec) == AudioAppend(None, bytes(161))


def test_an_append_of_exactly_15_mib_is_taken() -> None:
    audio = decode({"type": "input_audio_buffer.append", "audio": "A" * MAX_APPEND}).audio
    assert len(audio) == MAX_APPEND // 4 * 3


MISSING, INVALID = "missing_required_parameter", "invalid_value"
IMAGE = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}


@pytest.mark.parametrize(
    ("frame", "code", "param", "said"),
    [
        ("", "invalid_json", None, "JSON"),
        ("hello", "invalid_json", None, "JSON"),
        ('{"type": "response.create"', "invalid_json", None, "JSON"),
        ('{"type": NaN}', "invalid_json", None, "JSON"),
        ('"\ud800"', "invalid_json", None, "JSON"),
        ("[" * 5000 + "]" * 5000, "invalid_json", None, "JSON"),
        ("[]", "invalid_event", None, "an array"),
        ("null", "invalid_event", None, "null"),
        (b'{"type": "response.create"}', "invalid_event", None, "text frame"),
        (b"\0\1", "invalid_event", None, "text frame"),
        ({}, "invalid_event", "type", "'type'"),
        ({"type": 3}, "invalid_event", "type", "'type'"),
        ({"type": "session.upgrade"}, INVALID, "type", "session.update"),
        ({"type": "transcription_session.update"}, INVALID, "type", "Supported types"),
        ({"type": "output_audio_buffer.clear"}, INVALID, "type", "WebRTC"),
        ({"type": "response.create", "event_id": 5}, INVALID, "event_id", "a string, not 5"),
        ({"type": "response.create", "event_id": "x" * 513}, INVALID, "event_id", "512"),
        ({"type": "input_audio_buffer.append"}, MISSING, "audio", "audio"),
        ({"type": "input_audio_buffer.append", "audio": [0, 1]}, INVALID, "audio", "a string, not an array"),
        ({"type": "input_audio_buffer.append", "audio": "AA=A"}, INVALID, "audio", "base64"),
        ({"type": "input_audio_buffer.append", "audio": "AAA"}, INVALID, "audio", "base64"),
        ({"type": "input_audio_buffer.append", "audio": "äöüß"}, INVALID, "audio", "base64"),
        ({"type": "input_audio_buffer.append", "audio": "AAAA"}, INVALID, "audio", "odd number of bytes (3)"),
        ({"type": "input_audio_buffer.append", "audio": "A" * (MAX_APPEND + 4)}, INVALID, "audio", "15 MiB"),
        ({"type": "session.update"}, MISSING, "session", "session"),
        ({"type": "session.update", "session": []}, INVALID, "session", "an object, not an array"),
        ({"type": "conversation.item.create"}, MISSING, "item", "item"),
        ({"type": "conversation.item.retrieve"}, MISSING, "item_id", "item_id"),
        ({"type": "conversation.item.delete", "item_id": None}, MISSING, "item_id", "item_id"),
        ({"type": "conversation.item.delete", "item_id": {}}, INVALID, "item_id", "a string, not an object"),
        ({"type": "conversation.item.truncate", "item_id": "i", "audio_end_ms": 1}, MISSING, "content_index", ""),
        ({"type": "conversation.item.truncate", "item_id": "i", "content_index": 0}, MISSING, "audio_end_ms", ""),
        (
            {"type": "conversation.item.truncate", "item_id": "i", "content_index": 0, "audio_end_ms": 12.5},
            INVALID,
            "audio_end_ms",
            "integer",
        ),
        (
            {"type": "conversation.item.truncate", "item_id": "i", "content_index": 0, "audio_end_ms": -1},
            INVALID,
            "audio_end_ms",
            "from 0",
        ),
        (
            {"type": "conversation.item.truncate", "item_id": "i", "content_index": True, "audio_end_ms": 1},
            INVALID,
            "content_index",
            "not true",
        ),
        ({"type": "response.cancel", "response_id": 1}, INVALID, "response_id", "a string, not 1"),
        ({"type": "response.create", "response": "now"}, INVALID, "response", "an object, not 'now'"),
        (
            {"type": "conversation.item.create", "item": message("user"), "previous_item_id": 1},
            INVALID,
            "previous_item_id",
            "a string, not 1",
        ),
    ],
)
def test_a_broken_event_is_named_by_code_and_field(frame: Any, code: str, param: str | None, said: str) -> None:
    if isinstance(frame, dict):
        frame = json.dumps(frame)
    answer = new_codec().decode(frame, 0)
    assert isinstance(answer, ev.InvalidEvent)
    assert (answer.code, answer.param) == (code, param)
    assert said in answer.message


@pytest.mark.parametrize(
    ("item", "code", "param", "said"),
    [
        ({}, MISSING, "item.type", ""),
        ({"type": "mcp_call"}, INVALID, "item.type", "'function_call'"),
        ({"type": "message", "content": []}, MISSING, "item.role", ""),
        (message("robot"), INVALID, "item.role", "'assistant'"),
        ({"type": "message", "role": "user"}, MISSING, "item.content", ""),
        ({"type": "message", "role": "user", "content": "hi"}, INVALID, "item.content", "an array, not 'hi'"),
        ({"type": "message", "role": "user", "content": ["hi"]}, INVALID, "item.content[0]", "an object, not 'hi'"),
        (message("user", {"text": "hi"}), MISSING, "item.content[0].type", ""),
        (message("user", text("hi"), {"type": "input_text"}), MISSING, "item.content[1].text", ""),
        (message("user", {"type": "input_text", "text": 1}), INVALID, "item.content[0].text", "a string, not 1"),
        (message("user", text("hi", "output_text")), INVALID, "item.content[0].type", "'input_text'"),
        (message("user", IMAGE), INVALID, "item.content[0].type", "cannot see"),
        (message("user", {"type": "input_audio", "audio": "AAAA"}), INVALID, "item.content[0].audio", "odd number"),
        (message("user", {"type": "input_audio"}), MISSING, "item.content[0].audio", ""),
        (
            message("user", {"type": "input_audio", "audio": "AAA="}, {"type": "input_text", "text": "Hello"}),
            INVALID,
            "item.content[0].transcript",
            "one part",
        ),
        (message("system", {"type": "input_audio", "transcript": "a"}), INVALID, "item.content[0].type", ""),
        (message("assistant", {"type": "output_audio", "transcript": "a"}), INVALID, "item.content[0].type", "words"),
        (message("assistant", text("hi")), INVALID, "item.content[0].type", "'output_text'"),
        (message("user", id="x" * 65), INVALID, "item.id", "64"),
        (message("user", status="cancelled"), INVALID, "item.status", "'completed'"),
        ({"type": "function_call", "arguments": "{}"}, MISSING, "item.name", ""),
        ({"type": "function_call", "name": "f"}, MISSING, "item.arguments", ""),
        ({"type": "function_call", "name": "f", "arguments": {}}, INVALID, "item.arguments", "a string"),
        ({"type": "function_call", "name": "f", "arguments": "{"}, INVALID, "item.arguments", "JSON"),
        ({"type": "function_call", "name": "f", "arguments": "[1]"}, INVALID, "item.arguments", "object"),
        ({"type": "function_call_output", "output": "x"}, MISSING, "item.call_id", ""),
        ({"type": "function_call_output", "call_id": "c"}, MISSING, "item.output", ""),
        ({"type": "function_call_output", "call_id": "c", "output": {"a": 1}}, INVALID, "item.output", "a string"),
    ],
)
def test_a_broken_item_is_named_by_code_and_field(item: Any, code: str, param: str, said: str) -> None:
    answer = create(item, event_id="mine")
    assert isinstance(answer, ev.InvalidEvent)
    assert (answer.event_id, answer.code, answer.param) == ("mine", code, param)
    assert said in answer.message


@pytest.mark.parametrize(
    ("response", "code", "param"),
    [
        ({"conversation": "other"}, INVALID, "response.conversation"),
        ({"instructions": ["a"]}, INVALID, "response.instructions"),
        ({"output_modalities": ["audio", "text"]}, INVALID, "response.output_modalities"),
        ({"output_modalities": "text"}, INVALID, "response.output_modalities"),
        ({"audio": {"output": {"format": {"type": "audio/opus"}}}}, INVALID, "response.audio.output.format.type"),
        ({"audio": {"output": {"voice": 1}}}, INVALID, "response.audio.output.voice"),
        ({"max_output_tokens": 0}, INVALID, "response.max_output_tokens"),
        ({"max_output_tokens": 4097}, INVALID, "response.max_output_tokens"),
        ({"max_output_tokens": "all"}, INVALID, "response.max_output_tokens"),
        ({"tools": [{"type": "function"}]}, MISSING, "response.tools[0].name"),
        ({"tool_choice": "maybe"}, INVALID, "response.tool_choice"),
        ({"parallel_tool_calls": 1}, INVALID, "response.parallel_tool_calls"),
        ({"prompt": {"id": "p"}}, INVALID, "response.prompt"),
        ({"reasoning": {"effort": "huge"}}, INVALID, "response.reasoning.effort"),
        ({"metadata": []}, INVALID, "response.metadata"),
        ({"metadata": {"a": 1}}, INVALID, "response.metadata.a"),
        ({"metadata": {"a": "x" * 513}}, INVALID, "response.metadata.a"),
        ({"metadata": {"k" * 65: "x"}}, INVALID, "response.metadata"),
        ({"metadata": {str(index): "" for index in range(17)}}, INVALID, "response.metadata"),
        ({"input": {}}, INVALID, "response.input"),
        ({"input": [{"type": "item_reference"}]}, MISSING, "response.input[0].id"),
        ({"input": [message("user", text("a")), message("user", IMAGE)]}, INVALID, "response.input[1].content[0].type"),
    ],
)
def test_a_broken_response_is_named_by_code_and_field(response: Any, code: str, param: str) -> None:
    answer = respond(response)
    assert isinstance(answer, ev.InvalidEvent)
    assert (answer.code, answer.param) == (code, param)


def test_nesting_is_taken_as_far_as_it_can_be_written_again() -> None:
    codec = new_codec()
    deep, endless = (
        codec.decode(f'{{"type": "session.update", "session": {{"type": "realtime", "x": {"[" * n + "]" * n}}}}}', 0)
        for n in (60, 300)
    )
    assert isinstance(deep, ev.UpdateSession)
    assert b"[" * 60 in codec.encode(ev.SessionUpdated("s", ev.SessionConfig(**deep.changes)))[0]
    assert isinstance(endless, ev.InvalidEvent)
    assert endless.code == INVALID
    assert "64 levels" in endless.message


def test_a_message_repeats_little_of_what_was_wrong() -> None:
    answer = decode({"type": "x" * 100_000})
    assert len(answer.message) < 600


def test_a_message_may_be_audio_whose_words_are_yet_to_be_found() -> None:
    told = create(message("user", {"type": "input_audio", "audio": "AAECAw=="}))
    item = ev.Item("", ev.ItemKind.MESSAGE, role="user", content=(ev.ContentPart("input_audio", None),))
    assert told == ev.CreateItem(None, item, None, b"\0\1\2\3")


@pytest.mark.parametrize(
    ("wanted", "meant"),
    [
        ("auto", ev.Truncation()),
        ("disabled", ev.Truncation("disabled")),
        ({"type": "retention_ratio", "retention_ratio": 0.5}, ev.Truncation("retention_ratio", 0.5)),
        (
            {"type": "retention_ratio", "retention_ratio": 0.5, "token_limits": {"post_instructions": 900}},
            ev.Truncation("retention_ratio", 0.5, 900),
        ),
    ],
)
def test_truncation_is_understood(wanted: Any, meant: ev.Truncation) -> None:
    told = decode({"type": "session.update", "session": {"type": "realtime", "truncation": wanted}})
    assert isinstance(told, ev.UpdateSession)
    assert told.changes["truncation"] == meant
