"""Whatever is sent over HTTP is either understood or refused with one clear error."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.base import ChatRequest
from server.errors import ClientError
from server.transports.chat_wire import read_chat
from server.transports.media import AudioFile
from server.transports.rest import error_object
from server.transports.speech import read_speech
from server.transports.wire_fields import Fields
from tests.transports.sound_files import KINDS, encoded

WORDS = st.sampled_from(
    [
        *(
            "role",
            "user",
            "system",
            "assistant",
            "tool",
            "content",
            "type",
            "text",
            "refusal",
            "image_url",
            "json",
            "{}",
        ),
        *("tool_calls", "tool_call_id", "id", "function", "name", "arguments", "parameters", "object", "get_time"),
        *("auto", "none", "required", "allowed_tools", "mode", "tools", "include_usage"),
    ]
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 2**40) | st.floats() | WORDS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)
FUNCTION = {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object"}}}
CHAT = {
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "Hello."}]},
        {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "get_time", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "noon"},
    ],
    "tools": [FUNCTION],
    "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [FUNCTION]}},
    "stream": True,
    "stream_options": {"include_usage": True},
    "stop": ["x"],
    "temperature": 1,
    "max_tokens": 5,
    "n": 1,
    "modalities": ["text"],
    "response_format": {"type": "text"},
}
SPEECH = {"input": "Hello.", "voice": {"id": "x"}, "response_format": "mp3", "speed": 1, "stream_format": "sse"}


@st.composite
def altered(draw: st.DrawFn, whole: Any) -> Any:
    """The same with something else in one or two places, at any depth."""
    if not isinstance(whole, dict | list) or draw(st.integers(0, 9)) == 0:
        return draw(ANYTHING)
    places = list(whole) if isinstance(whole, dict) else list(range(len(whole)))
    copy = whole.copy()
    for place in draw(st.lists(st.sampled_from(places), max_size=2, unique=True)):
        copy[place] = draw(altered(whole[place]))
    return copy


def refused(error: ClientError) -> None:
    """It names the field at fault."""
    shown = error_object(error)["error"]
    assert shown["message"].startswith(("Invalid '", "Missing required parameter: '"))
    assert shown["param"]


@given(altered(CHAT).filter(lambda body: isinstance(body, dict)))
def test_any_chat_request_is_read_or_refused(body: dict[str, Any]):
    try:
        wish = read_chat(Fields(body), "default")
    except ClientError as error:
        refused(error)
        return
    assert isinstance(wish.request, ChatRequest)
    assert wish.request.messages
    known = {tool.name for tool in wish.request.tools}
    assert wish.request.tool_choice in {"auto", "none", "required", *known}


@given(altered(SPEECH).filter(lambda body: isinstance(body, dict)))
def test_any_speech_request_is_read_or_refused(body: dict[str, Any]):
    try:
        wish = read_speech(Fields(body))
    except ClientError as error:
        refused(error)
        return
    assert wish.text.strip()
    assert 0.25 <= wish.speed <= 4


@lru_cache
def sound(kind: str) -> bytes:
    noise = np.random.default_rng(1).normal(0, 3000, 24_000).astype(np.int16)
    return encoded(noise, 48_000, kind)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_damaged_sound_file_is_heard_or_refused(kind: str, data: st.DataObject):
    """Most damage is done to the first bytes, where the sizes are."""
    file = bytearray(sound(kind))
    places = st.integers(0, 200) | st.integers(0, len(file) - 1)
    for place, value in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=6)):
        file[min(place, len(file) - 1)] = value
    file = file[: data.draw(st.integers(0, len(file)) | st.just(len(file)))]
    audio = AudioFile(io.BytesIO(file), max_seconds=60)
    try:
        while len(piece := audio.read()):
            assert piece.dtype == np.int16
    except ClientError as error:
        refused(error)
    finally:
        audio.close()
