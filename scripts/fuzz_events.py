"""Client events to try a server with: valid ones, nearly valid ones, and any that the wire's types allow."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st
from openai.types.realtime.realtime_client_event_param import RealtimeClientEventParam

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


def typed() -> st.SearchStrategy[str]:
    """JSON of any event that the `openai` package's types describe: each field there or not, its value of its type."""
    st.register_type_strategy(object, JSON)
    # Hypothesis takes any iterable for an Iterable, and JSON has arrays only.
    return st.from_type(RealtimeClientEventParam).map(lambda event: json.dumps(event, default=list))
