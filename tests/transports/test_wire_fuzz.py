"""No frame breaks the codec, and what it takes it can tell to strict clients."""

import json
from typing import Any, get_args

from hypothesis import given
from hypothesis import strategies as st
from openai.types.realtime.session_updated_event import SessionUpdatedEvent

from scripts.fuzz_events import EVENTS, JSON, UPDATES, nearly_valid
from server.core import events as ev
from server.transports.base import AudioAppend
from server.transports.wire import RealtimeCodec

DECODED = (*get_args(ev.Input), AudioAppend)


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
