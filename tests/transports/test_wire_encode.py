"""Every event, as the Realtime API's clients want it.

client_parse_cases.json holds events that the receive code of openai-agents 0.24 (Python), @openai/agents-realtime 0.20
and pipecat 1.14 was found to take, by the name of the case.
"""

import base64
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai._models import BaseModel
from openai.types.realtime import RealtimeServerEvent

from server.core import events as ev
from server.transports.wire import RealtimeCodec
from server.transports.wire_events import MAX_DELTA_FRAME

CASES: dict[str, Any] = json.loads(Path(__file__).with_name("client_parse_cases.json").read_text())
MODELS = {
    get_args(model.model_fields["type"].annotation)[0]: model for model in get_args(get_args(RealtimeServerEvent)[0])
}

CONFIG = ev.SessionConfig(voice="marin")
USER = ev.Item("i", ev.ItemKind.MESSAGE, role="user", content=(ev.ContentPart("input_audio", None),))
SPOKEN = ev.Item("i", ev.ItemKind.MESSAGE, role="assistant", content=(ev.ContentPart("output_audio", "x"),))
CALL = ev.Item("i", ev.ItemKind.FUNCTION_CALL, call_id="c", name="f", arguments="{}")
OUTPUT = ev.Item("i", ev.ItemKind.FUNCTION_CALL_OUTPUT, call_id="c", output="x")


def view(status: ev.ResponseStatus = ev.ResponseStatus.COMPLETED, **values: Any) -> ev.ResponseView:
    common: dict[str, Any] = {
        "conversation": "c",
        "modality": "audio",
        "voice": "marin",
        "output_format": ev.AudioFormat.PCM,
        "max_output_tokens": None,
        "metadata": None,
    }
    return ev.ResponseView("r", status, **(common | values))


def updated(**values: Any) -> ev.SessionUpdated:
    return ev.SessionUpdated("s", ev.SessionConfig(**{"voice": "marin", **values}))


EVENT_OF_CASE: dict[str, ev.Event] = {
    "baseline session.created": ev.SessionCreated("s", CONFIG),
    "baseline delta": ev.OutputAudioDelta("r", "i", 0, b"\0\0\0", 0, 1),
    "baseline item added user": ev.ItemAdded(USER, None),
    "baseline output_item.done assistant": ev.OutputItemDone("r", 0, SPOKEN),
    "baseline fc done": ev.OutputItemDone("r", 0, CALL),
    "baseline response.done": ev.ResponseDone(view()),
    "baseline tc duration": ev.TranscriptionCompleted("i", "x", 1.5),
    "baseline full usage": ev.ResponseDone(view(usage=ev.TokenUsage(1, 1, 0, 1, 0))),
    "noise_reduction strength": updated(
        extras={"audio.input.noise_reduction": {"type": "near_field", "strength": 1}},
    ),
    "done failed error": ev.ResponseDone(view(ev.ResponseStatus.FAILED, error_code="x", error_message="m")),
    "audio.input extra key": updated(extras={"audio.input.x_ext": 1}),
    "fca.done with name": ev.FunctionArgumentsDone("r", "i", 0, "c", "f", "{}"),
    "metadata str": ev.ResponseDone(view(metadata={"a": "1"})),
    "error all": ev.Error("c", "m"),
    "transcription model+language+prompt": updated(
        transcription=ev.InputTranscription("whisper-large-v3", "de", "x"),
    ),
    "pcmu plain": updated(input_format=ev.AudioFormat.PCMU),
    "voice custom string": updated(voice="en_US-lessac-medium"),
    "committed prev null": ev.AudioCommitted("i", None),
    "truncated": ev.ItemTruncated("i", 0, 5),
    "part text": ev.ContentPartAdded("r", "i", 0, "text"),
    "vad null": updated(turn_detection=None),
    "session extra key": updated(extras={"x_ext": {"a": 1}}),
    "done cancelled turn_detected": ev.ResponseDone(view(ev.ResponseStatus.CANCELLED, reason="turn_detected")),
    "part audio": ev.ContentPartAdded("r", "i", 0, "audio"),
    "rate ok": ev.RateLimits((ev.RateLimit("tokens", 1, 1, 0.5),)),
    "tdelta with content_index": ev.TranscriptionDelta("i", "x"),
    "truncation retention echo": updated(
        extras={"truncation": {"type": "retention_ratio", "retention_ratio": 0.8}},
    ),
}

F, BOTH = ev.ToolFilter(frozenset({"f"})), ev.ToolFilter(frozenset({"f"}), read_only=True)
MCP_CALL = ev.Item("i", ev.ItemKind.MCP_CALL, call_id="c", name="f", arguments="{}", server_label="w")

EVENTS: list[ev.Event] = [
    *EVENT_OF_CASE.values(),
    ev.SessionUpdated(
        "s",
        ev.SessionConfig(
            modality="text",
            tools=(ev.Tool("f", "does it", {"type": "object", "properties": {}}),),
            tool_choice="f",
            parallel_tool_calls=False,
            max_output_tokens=100,
            output_format=ev.AudioFormat.PCMA,
            turn_detection=ev.TurnDetection("semantic_vad", eagerness="low"),
            transcription=ev.InputTranscription(),
            extras={"tracing": "auto", "reasoning": {"effort": "low"}, "include": None},
        ),
    ),
    updated(extras={"type": "transcription"}),
    updated(extras={"type": "transcription"}, turn_detection=ev.TurnDetection("semantic_vad")),
    ev.Error("invalid_value", "m", "item.id", "client_1", "server_error"),
    ev.SpeechStarted("i", 12),
    ev.SpeechStopped("i", 512),
    ev.TimeoutTriggered("i", 512, 6512),
    ev.AudioCommitted("i", "p"),
    ev.AudioCleared(),
    ev.ItemAdded(CALL, "p"),
    ev.ItemAdded(OUTPUT, "p"),
    ev.ItemAdded(ev.Item("i", ev.ItemKind.MESSAGE, ev.ItemStatus.IN_PROGRESS, role="assistant"), "p"),
    ev.ItemDone(ev.Item("i", ev.ItemKind.MESSAGE, role="system", content=(ev.ContentPart("input_text", "t"),)), None),
    ev.ItemRetrieved(SPOKEN),
    ev.ItemDeleted("i"),
    ev.TranscriptionFailed("i", "m"),
    ev.ResponseCreated(view(ev.ResponseStatus.IN_PROGRESS, conversation="", modality="text", max_output_tokens=7)),
    ev.ResponseDone(view(ev.ResponseStatus.INCOMPLETE, reason="max_output_tokens", output=(SPOKEN, CALL))),
    ev.ResponseDone(view(usage=ev.TokenUsage(10, 5, 12, 3, 40))),
    ev.OutputItemAdded("r", 1, CALL),
    ev.ContentPartDone("r", "i", 0, "audio", "x"),
    ev.ContentPartDone("r", "i", 0, "text", "x"),
    ev.OutputTextDelta("r", "i", 0, "x"),
    ev.OutputTextDone("r", "i", 0, "x"),
    ev.OutputAudioDone("r", "i", 0),
    ev.OutputTranscriptDelta("r", "i", 0, "x"),
    ev.OutputTranscriptDone("r", "i", 0, "x"),
    ev.FunctionArgumentsDelta("r", "i", 0, "c", "{"),
    ev.RateLimits((ev.RateLimit("tokens", 600, 590, 12.5),)),
    updated(mcp=(ev.McpEndpoint("w", "https://w.example/mcp", "secret", {"X-Key": "secret"}, F),)),
    updated(mcp=(ev.McpEndpoint("w", "https://w.example/mcp", approval=ev.NO_APPROVAL),)),
    updated(mcp=(ev.McpEndpoint("w", "https://w.example/mcp", approval=ev.Approval(F)),)),
    updated(mcp=(ev.McpEndpoint("w", "https://w.example/mcp", allowed=BOTH, approval=ev.Approval(F, BOTH)),)),
    ev.McpListInProgress("i"),
    ev.McpListCompleted("i"),
    ev.McpListFailed("i"),
    ev.ItemAdded(
        ev.Item(
            "i", ev.ItemKind.MCP_LIST_TOOLS, server_label="w", tools=(ev.Tool("f", "does it", {"type": "object"}),)
        ),
        None,
    ),
    ev.OutputItemAdded("r", 0, MCP_CALL),
    ev.OutputItemDone("r", 0, replace(MCP_CALL, output="sunny", approval_request_id="a")),
    ev.OutputItemDone("r", 0, replace(MCP_CALL, error="timeout")),
    ev.OutputItemDone("r", 0, replace(MCP_CALL, kind=ev.ItemKind.MCP_APPROVAL_REQUEST)),
    ev.ItemDone(ev.Item("i", ev.ItemKind.MCP_APPROVAL_RESPONSE, approval_request_id="a", approve=True), "p"),
    ev.McpArgumentsDelta("r", "i", 0, "{"),
    ev.McpArgumentsDone("r", "i", 0, "{}"),
    ev.McpCallInProgress("i", 0),
    ev.McpCallCompleted("i", 0),
    ev.McpCallFailed("i", 0),
]


@pytest.fixture
def codec() -> RealtimeCodec:
    return RealtimeCodec("m", 1)


def encoded(codec: RealtimeCodec, event: ev.Event) -> dict[str, Any]:
    (frame,) = codec.encode(event)
    body = json.loads(frame)
    assert isinstance(body, dict)
    return body


def extra_fields(value: Any, path: str = "") -> set[str]:
    """Paths of all fields that the SDK's models do not know."""
    if isinstance(value, list):
        return {found for entry in value for found in extra_fields(entry, f"{path}[]")}
    if not isinstance(value, BaseModel):
        return set()
    known = {name: getattr(value, name) for name in type(value).model_fields}
    below = {found for name, field in known.items() for found in extra_fields(field, f"{path}.{name}")}
    return below | {f"{path}.{name}" for name in value.model_extra or ()}


@pytest.mark.parametrize("case", EVENT_OF_CASE)
def test_an_event_is_what_strict_clients_were_seen_to_take(case: str, codec: RealtimeCodec) -> None:
    assert encoded(codec, EVENT_OF_CASE[case]) | {"event_id": "e"} == CASES[case]


@pytest.mark.parametrize(
    ("case", "item"),
    [
        (
            "fc item arguments empty",
            ev.Item("i", ev.ItemKind.FUNCTION_CALL, ev.ItemStatus.IN_PROGRESS, "", (), "c", "f"),
        ),
        ("function_call_output item", OUTPUT),
    ],
)
def test_an_item_is_what_strict_clients_were_seen_to_take(case: str, item: ev.Item, codec: RealtimeCodec) -> None:
    assert encoded(codec, ev.ItemAdded(item, "p"))["item"] == CASES[case]["item"]


def test_a_failed_transcription_has_the_fields_that_strict_clients_were_seen_to_take(codec: RealtimeCodec) -> None:
    body, case = encoded(codec, ev.TranscriptionFailed("i", "m")), CASES["tfailed no param"]
    assert set(body) == set(case)
    assert set(body["error"]) == set(case["error"])


def test_a_retrieved_item_has_its_audio(codec: RealtimeCodec) -> None:
    body = json.loads(codec.encode_retrieved(SPOKEN, b"\0\0\0"))
    assert body | {"event_id": "e"} == CASES["retrieved"]
    assert "audio" not in json.loads(codec.encode_retrieved(SPOKEN, None))["item"]["content"][0]
    assert json.loads(codec.encode_retrieved(CALL, None))["item"]["arguments"] == "{}"


def test_times_of_a_response_can_be_told_without_disturbing_strict_clients(codec: RealtimeCodec) -> None:
    done = ev.ResponseDone(view())
    frame = codec.encode_done(done, {"stt_final": 12.5, "first_segment": None})
    parsed = MODELS["response.done"].model_validate_json(frame, strict=True)
    assert extra_fields(parsed) == {".response.kammerton"}
    assert json.loads(frame)["response"]["kammerton"] == {"timings_ms": {"stt_final": 12.5, "first_segment": None}}
    assert json.loads(codec.encode_done(done, None))["response"] == encoded(codec, done)["response"]


def test_the_language_of_a_response_can_be_told_without_disturbing_strict_clients(codec: RealtimeCodec) -> None:
    started = view(ev.ResponseStatus.IN_PROGRESS, language="de", switched_from="en")
    (created,) = codec.encode(ev.ResponseCreated(started))
    parsed = MODELS["response.created"].model_validate_json(created, strict=True)
    assert parsed.response.kammerton == {"language": "de", "switched_from": "en"}
    assert extra_fields(parsed) == {".response.kammerton"}
    done = json.loads(codec.encode_done(ev.ResponseDone(view(language="de")), {"stt_final": 1.5}))
    assert done["response"]["kammerton"] == {"language": "de", "timings_ms": {"stt_final": 1.5}}


def test_every_event_of_the_core_is_tried_here() -> None:
    assert {type(event) for event in EVENTS} == set(get_args(ev.Event))


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_the_official_sdk_reads_every_event_strictly_and_knows_every_field(
    event: ev.Event, codec: RealtimeCodec
) -> None:
    (frame,) = codec.encode(event)
    kind = json.loads(frame)["type"]
    parsed = MODELS[kind].model_validate_json(frame, strict=True)
    served = {f".session.{name}" for name in ("id", "object", "expires_at")} if kind.startswith("session.") else set()
    assert {path for path in extra_fields(parsed) if not path.endswith(".x_ext")} == served


def test_event_ids_are_unique_and_in_the_apis_shape(codec: RealtimeCodec) -> None:
    frames = [frame for event in EVENTS for frame in codec.encode(event)] + RealtimeCodec("m", 1).encode(EVENTS[0])
    ids = [json.loads(frame)["event_id"] for frame in frames]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"event_[0-9A-Za-z]{16,26}", event_id) for event_id in ids)


def test_token_counts_add_up(codec: RealtimeCodec) -> None:
    usage = encoded(codec, ev.ResponseDone(view(usage=ev.TokenUsage(10, 5, 12, 3, 40))))["response"]["usage"]
    assert (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]) == (15, 43, 58)
    cached = usage["input_token_details"]["cached_tokens_details"]
    assert cached == {"text_tokens": 10, "audio_tokens": 2, "image_tokens": 0}


def test_an_out_of_band_response_belongs_to_no_conversation(codec: RealtimeCodec) -> None:
    body = encoded(codec, ev.ResponseCreated(view(ev.ResponseStatus.IN_PROGRESS, conversation="")))
    assert body["response"]["conversation_id"] is None


def test_a_transcription_session_shows_only_what_it_has(codec: RealtimeCodec) -> None:
    session = encoded(codec, updated(extras={"type": "transcription"}))["session"]
    assert set(session) == {"type", "object", "id", "expires_at", "audio", "include"}
    assert set(session["audio"]) == {"input"}
    assert set(session["audio"]["input"]["turn_detection"]) == {
        "type",
        "threshold",
        "prefix_padding_ms",
        "silence_duration_ms",
    }


@given(st.text())
def test_words_come_through_whatever_they_are(words: str) -> None:
    codec = RealtimeCodec("m", 1)
    assert encoded(codec, ev.OutputTranscriptDelta("r", "i", 0, words))["delta"] == words
    assert (
        encoded(codec, ev.SessionUpdated("s", ev.SessionConfig(instructions=words)))["session"]["instructions"] == words
    )


@pytest.mark.parametrize("size", [0, 2, 960, 48_384, 48_386, 48_768, 65_536, 65_538, 1_000_000])
def test_long_audio_is_split_between_samples_into_frames_of_64_kib(size: int, codec: RealtimeCodec) -> None:
    audio = bytes(index % 251 for index in range(size))
    frames = codec.encode(ev.OutputAudioDelta("r" * 64, "i" * 64, 10_000, audio, 0, size // 2))
    bodies = [json.loads(frame) for frame in frames]
    pieces = [base64.b64decode(body.pop("delta"), validate=True) for body in bodies]
    assert b"".join(pieces) == audio
    assert all(len(piece) % 2 == 0 for piece in pieces)
    assert max(map(len, frames)) <= MAX_DELTA_FRAME
    assert len(frames) <= size // 48_000 + 1
    assert len({body.pop("event_id") for body in bodies}) == len(frames)
    assert all(body == bodies[0] for body in bodies)


def test_audio_deltas_name_their_own_response_and_item(codec: RealtimeCodec) -> None:
    named = [("r1", "i1", 0), ("r1", "i2", 1), ("r2", 'quo"te', 0), ("r1", "i1", 0)]
    for response_id, item_id, index in named:
        body = encoded(codec, ev.OutputAudioDelta(response_id, item_id, index, b"\1\0", 0, 1))
        assert (body["response_id"], body["item_id"], body["output_index"]) == (response_id, item_id, index)
