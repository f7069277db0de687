"""How much one frame may hold, and that what holds too much is not even taken apart."""

from __future__ import annotations

import json
import tracemalloc

import pytest

from server.core import events as ev
from server.transports.base import AudioAppend
from server.transports.wire import RealtimeCodec
from server.transports.wire_beta import BetaCodec, UndecidedCodec

_MIB = 1024 * 1024


def decode(frame: str) -> object:
    return RealtimeCodec("m", 1).decode(frame, 0)


def update(instructions: str) -> str:
    return json.dumps(
        {"type": "session.update", "event_id": "e", "session": {"type": "realtime", "instructions": instructions}}
    )


def item(**fields: object) -> str:
    return json.dumps({"type": "conversation.item.create", "event_id": "e", "item": fields})


@pytest.mark.parametrize("body", ['{"a":[' + "[]," * 5_000_000 + "[]]}", "[" * 10_000_000, '{"a":' * 1_000_000])
def test_a_frame_of_very_many_values_is_refused_before_it_costs_memory(body: str):
    tracemalloc.start()
    answer = decode(body)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(answer, ev.InvalidEvent)
    assert answer.code == "invalid_event"
    assert peak < _MIB


@pytest.mark.parametrize("around", [lambda codec: codec, BetaCodec, UndecidedCodec], ids=["ga", "beta", "undecided"])
def test_an_event_without_audio_is_a_few_mebibytes_at_most(around):
    codec = around(RealtimeCodec("m", 1))
    assert isinstance(codec.decode(update("x" * 3 * _MIB), 0), ev.UpdateSession)
    refused = codec.decode(update("x" * 5 * _MIB), 0)
    assert isinstance(refused, ev.InvalidEvent)
    assert (refused.code, refused.event_id) == ("invalid_event", "e")
    assert "4194304" in refused.message


def test_an_event_with_audio_may_be_longer():
    audio = "A" * 8 * _MIB
    assert isinstance(decode(json.dumps({"type": "input_audio_buffer.append", "audio": audio})), AudioAppend)
    content = [{"type": "input_audio", "audio": audio}]
    assert isinstance(decode(item(type="message", role="user", content=content)), ev.CreateItem)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        (
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": None}]},
            "item.content[0].text",
        ),
        (
            {"type": "message", "role": "user", "content": [{"type": "input_audio", "transcript": None}]},
            "item.content[0].transcript",
        ),
        ({"type": "function_call_output", "call_id": "c", "output": None}, "item.output"),
        ({"type": "function_call", "name": "f", "arguments": None}, "item.arguments"),
    ],
)
def test_a_text_is_a_mebibyte_at_most(fields, param: str):
    def filled(text: str) -> str:
        return json.dumps(json.loads(item(**fields)), default=str).replace("null", json.dumps(text), 1)

    refused = decode(filled("x" * (_MIB + 1)))
    assert isinstance(refused, ev.InvalidEvent)
    assert (refused.param, refused.event_id) == (param, "e")
    fits = decode(filled('{"a": "' + "x" * (_MIB - 9) + '"}'))
    assert isinstance(fits, ev.CreateItem)


@pytest.mark.parametrize("properties", [5, [1], "x", True])
def test_a_tools_properties_are_an_object(properties: object):
    tool = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": properties}}
    refused = decode(json.dumps({"type": "session.update", "session": {"type": "realtime", "tools": [tool]}}))
    assert isinstance(refused, ev.InvalidEvent)
    assert refused.param == "session.tools[0].parameters.properties"
