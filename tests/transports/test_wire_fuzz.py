"""No frame breaks the codec, and what it takes it can tell to strict clients."""

import copy
import json
from collections.abc import Iterator
from typing import Any, get_args

from hypothesis import given
from hypothesis import strategies as st
from openai.types.realtime.session_updated_event import SessionUpdatedEvent

from server.core import events as ev
from server.transports.base import AudioAppend
from server.transports.wire import RealtimeCodec

ITEMS: list[dict[str, Any]] = [
    {"type": "message", "role": "user", "id": "i", "content": [{"type": "input_text", "text": "hi"}]},
    {"type": "message", "role": "user", "content": [{"type": "input_audio", "audio": "AAAA", "transcript": "hi"}]},
    {"type": "message", "role": "assistant", "status": "completed", "content": [{"type": "output_text", "text": "a"}]},
    {"type": "function_call", "name": "f", "call_id": "c", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c", "output": "x"},
    {"type": "item_reference", "id": "i"},
]
COMMON: dict[str, Any] = {
    "output_modalities": ["audio"],
    "instructions": "Be brief.",
    "tools": [{"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}}],
    "tool_choice": {"type": "function", "name": "f"},
    "max_output_tokens": 100,
    "reasoning": {"effort": "low"},
    "prompt": None,
}
OUT: dict[str, Any] = {"format": {"type": "audio/pcm", "rate": 24000}, "voice": {"id": "v"}, "speed": 1.25}
HEARING: dict[str, Any] = {
    "format": {"type": "audio/pcmu", "rate": 8000},
    "transcription": {"model": "whisper-1", "language": "de", "prompt": "x"},
    "noise_reduction": {"type": "near_field", "strength": 1},
}
SERVER_VAD = {
    "type": "server_vad",
    "threshold": 0.5,
    "prefix_padding_ms": 300,
    "silence_duration_ms": 500,
    "idle_timeout_ms": 6000,
    "create_response": True,
    "interrupt_response": True,
}
SEMANTIC_VAD = {"type": "semantic_vad", "eagerness": "low", "create_response": True}
SESSIONS: list[dict[str, Any]] = [
    {
        "type": kind,
        **COMMON,
        "tracing": {"workflow_name": "w", "group_id": "g", "metadata": {}},
        "truncation": {"type": "retention_ratio", "retention_ratio": 0.5, "token_limits": {"post_instructions": 9}},
        "include": ["item.input_audio_transcription.logprobs"],
        "audio": {"input": {**HEARING, "turn_detection": turns}, "output": OUT},
    }
    for kind in ("realtime", "transcription")
    for turns in (SERVER_VAD, SEMANTIC_VAD)
]
UPDATES = [{"type": "session.update", "event_id": "e", "session": session} for session in SESSIONS]
EVENTS: list[dict[str, Any]] = [
    *UPDATES,
    *({"type": "conversation.item.create", "previous_item_id": "root", "item": item} for item in ITEMS[:-1]),
    {
        "type": "response.create",
        "response": {**COMMON, "input": ITEMS, "metadata": {"a": "b"}, "audio": {"output": OUT}},
    },
    {"type": "input_audio_buffer.append", "event_id": "e", "audio": "AAA="},
    {"type": "input_audio_buffer.commit", "event_id": "e"},
    {"type": "input_audio_buffer.clear", "event_id": "e"},
    {"type": "conversation.item.retrieve", "item_id": "i"},
    {"type": "conversation.item.delete", "item_id": "i"},
    {"type": "conversation.item.truncate", "item_id": "i", "content_index": 0, "audio_end_ms": 5},
    {"type": "response.cancel", "response_id": "r"},
]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(["auto", "inf", "audio/pcm", "server_vad", "semantic_vad", "function", "message", 12.0, 1e300]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
DECODED = (*get_args(ev.Input), AudioAppend)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) in a JSON value."""
    for key, child in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, key
        if isinstance(child, dict | list):
            yield from places(child)


@st.composite
def nearly_valid(draw: st.DrawFn, events: list[dict[str, Any]]) -> dict[str, Any]:
    """A valid event of which up to three places are changed, removed or added to."""
    event = copy.deepcopy(draw(st.sampled_from(events)))
    for _ in range(draw(st.integers(0, 3))):
        found = list(places(event))
        if not found:
            break
        container, key = found[draw(st.integers(0, len(found) - 1))]
        change = draw(st.sampled_from(["replace", "remove", "add", "as float"]))
        if change == "remove":
            del container[key]
        elif change == "as float" and type(container[key]) is int:
            container[key] = float(container[key])
        elif change == "add" and isinstance(container, dict):
            container[draw(st.text(max_size=8))] = draw(JSON)
        else:
            container[key] = draw(JSON)
    return event


def decode(event: dict[str, Any]) -> Any:
    return RealtimeCodec("m", 1).decode(json.dumps(event), 0)


def test_the_events_to_start_from_are_valid() -> None:
    assert [decode(event) for event in EVENTS if isinstance(decode(event), ev.InvalidEvent)] == []


@given(st.text() | st.binary() | JSON.map(json.dumps))
def test_no_frame_breaks_the_codec(frame: str | bytes) -> None:
    assert isinstance(RealtimeCodec("m", 1).decode(frame, 0), DECODED)


@given(nearly_valid(EVENTS))
def test_no_event_breaks_the_codec(event: dict[str, Any]) -> None:
    answer = decode(event)
    assert isinstance(answer, DECODED)
    if isinstance(answer, ev.InvalidEvent):
        event_id = event.get("event_id")
        assert answer.event_id == (event_id if isinstance(event_id, str) else None)
        assert answer.message


@given(st.lists(nearly_valid(UPDATES), min_size=1, max_size=3))
def test_whatever_updates_are_taken_strict_clients_can_read_the_answer(events: list[dict[str, Any]]) -> None:
    codec = RealtimeCodec("m", 1)
    config: dict[str, Any] = {}
    for event in events:
        answer = codec.decode(json.dumps(event), 0)
        if isinstance(answer, ev.UpdateSession):
            config |= answer.changes
    (frame,) = codec.encode(ev.SessionUpdated("s", ev.SessionConfig(**config)))
    SessionUpdatedEvent.model_validate_json(frame, strict=True)
