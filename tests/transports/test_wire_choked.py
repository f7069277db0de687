"""No event of ours has a fault over which a real client was seen to fail, to throw, to crash or to lose the event.

client_choke_cases.json holds events with one fault each that the receive code of openai-agents 0.24 (Python),
@openai/agents-realtime 0.20 or pipecat 1.14 did not take. Here the faults are said in general, found in those events,
and looked for in all of ours.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from server.core import events as ev
from server.transports.wire import RealtimeCodec
from tests.transports.test_wire_encode import EVENTS

Json = dict[str, Any]
CASES: dict[str, Json] = json.loads(Path(__file__).with_name("client_choke_cases.json").read_text())

_ASSISTANT = ("output_text", "output_audio")
_REASONS = ("turn_detected", "client_cancelled", "max_output_tokens", "content_filter", None)
_STATES = ("in_progress", "completed", "cancelled", "failed", "incomplete")
_STREAMED = ("response.output_", "response.content_part", "response.function_call_arguments")


def items(event: Json) -> list[Json]:
    return [*([event["item"]] if "item" in event else []), *event.get("response", {}).get("output", [])]


def parts(event: Json, role: str) -> Iterator[Json]:
    return (part for item in items(event) if item.get("role") == role for part in item["content"])


def is_call(item: Json) -> bool:
    return item["type"] == "function_call"


def response(event: Json) -> Json:
    return event.get("response") or {}


def session(event: Json) -> Json:
    return event.get("session") or {}


def numbers(value: Any) -> Iterator[Any]:
    for entry in value.values() if isinstance(value, dict) else ():
        yield from numbers(entry) if isinstance(entry, dict) else [entry]


def without(field: str, *kinds: str) -> Callable[[Json], bool]:
    return lambda event: event["type"].startswith(kinds) and field not in event


def no_event_id(event: Json) -> bool:
    return "event_id" not in event


def no_arguments(event: Json) -> bool:
    return any(is_call(item) and not isinstance(item.get("arguments"), str) for item in items(event))


def no_item_status(event: Json) -> bool:
    return any(
        item.get("status", "completed") not in ("in_progress", "completed", "incomplete") for item in items(event)
    )


def other_content(event: Json) -> bool:
    return any(part["type"] not in _ASSISTANT for part in parts(event, "assistant"))


def input_session(event: Json) -> Json:
    return session(event).get("audio", {}).get("input", {})


FAULTS: dict[str, Callable[[Json], bool]] = {
    "delta no output_index": without("output_index", *_STREAMED),
    "delta no response_id": without("response_id", *_STREAMED),
    "delta no content_index": without("content_index", "response.output_audio", "response.output_text"),
    "tdelta no content_index": without("content_index", "conversation.item.input_audio_transcription"),
    "fca.done without name": without("name", "response.function_call_arguments.done"),
    "delta no event_id": no_event_id,
    "error no event_id": no_event_id,
    "session.created no event_id": no_event_id,
    "error no type": lambda event: event["type"] == "error" and not event["error"].get("type"),
    "item no id": lambda event: any("id" not in item for item in items(event)),
    "item status cancelled": no_item_status,
    "item status null": no_item_status,
    "fc item no arguments": no_arguments,
    "fc item arguments null": no_arguments,
    "fc output_item.done arguments null": no_arguments,
    "item assistant content type audio": other_content,
    "response.done output content type audio": other_content,
    "assistant output_text no text": lambda event: any(
        part["type"] == "output_text" and "text" not in part for part in parts(event, "assistant")
    ),
    "input_image item": lambda event: any(part["type"] == "input_image" for part in parts(event, "user")),
    "mcp_list_tools item": lambda event: any(item["type"].startswith("mcp") for item in items(event)),
    "legacy conversation.item.created": lambda event: event["type"] == "conversation.item.created",
    "beta response.audio.delta": lambda event: event["type"].startswith(("response.audio", "response.text")),
    "part output_audio": lambda event: "part" in event and event["part"]["type"] not in ("text", "audio"),
    "part null fields": lambda event: None in event.get("part", {}).values(),
    "response status queued": lambda event: "response" in event and response(event)["status"] not in _STATES,
    "done reason custom": lambda event: (response(event).get("status_details") or {}).get("reason") not in _REASONS,
    "usage null numbers": lambda event: None in numbers(response(event).get("usage")),
    "metadata int": lambda event: (
        not all(isinstance(value, str) for value in (response(event).get("metadata") or {}).values())
    ),
    "tc usage null": lambda event: event["type"].endswith("transcription.completed") and not event["usage"],
    "rate custom name": lambda event: any(
        limit["name"] not in ("requests", "tokens") for limit in event.get("rate_limits", [])
    ),
    "session no type": lambda event: "session" in event and "type" not in session(event),
    "voice object": lambda event: (
        not isinstance(session(event).get("audio", {}).get("output", {}).get("voice", ""), str)
    ),
    "vad custom type": lambda event: (
        (input_session(event).get("turn_detection") or {"type": "server_vad"})["type"]
        not in ("server_vad", "semantic_vad")
    ),
    "tool_choice object": lambda event: not isinstance(session(event).get("tool_choice", ""), str),
}


def asked_for(event: ev.Event) -> bool:
    """Only a client that forces a function is told so, and only one that names an MCP server sees items about it."""
    item = getattr(event, "item", None)
    if item is not None and item.kind.startswith("mcp"):
        return True
    return isinstance(event, ev.SessionUpdated) and event.config.tool_choice not in ("auto", "none", "required")


def test_every_case_is_looked_for():
    assert set(FAULTS) == set(CASES)


@pytest.mark.parametrize("case", FAULTS)
def test_no_event_has_the_fault(case: str):
    fault, codec = FAULTS[case], RealtimeCodec("m", 1)
    assert fault(CASES[case]), "the fault is not found where it is"
    frames = [frame for event in EVENTS if not asked_for(event) for frame in codec.encode(event)]
    assert [frame for frame in frames if fault(json.loads(frame))] == []
