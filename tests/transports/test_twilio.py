"""Twilio's messages: what each means, what is refused, and that Twilio understands ours."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.phone_line.twilio import TwilioEnd
from scripts.phone_line.wire import Clear, Mark, Play
from server.transports.carrier import (
    ULAW,
    Caller,
    LineAudio,
    LineFormat,
    LineKey,
    LineMark,
    LineStarted,
    LineStopped,
    RefusedCall,
    RefusedMessage,
)
from server.transports.twilio import Proofs, TwilioCodec


def begun() -> tuple[TwilioCodec, TwilioEnd]:
    """Both sides of a stream whose start has been read."""
    codec, end = TwilioCodec(), TwilioEnd("CA1", {"agent": "salon"})
    for frame in end.hello():
        codec.decode(frame)
    return codec, end


def test_a_stream_begins_with_what_the_webhook_passed_on():
    codec, end = TwilioCodec(), TwilioEnd("CA1", {"agent": "salon"})
    connected, start = end.hello()
    assert codec.decode(connected) is None
    assert codec.decode(start) == LineStarted("CA1", end.stream_sid, ULAW, {"agent": "salon"})


def test_what_a_caller_does_arrives_as_it_is():
    codec, end = begun()
    assert codec.decode(end.media(b"\xff" * 160, 40)) == LineAudio(b"\xff" * 160, 40)
    assert codec.decode(end.key("#") or "") == LineKey("#")
    assert codec.decode(end.reached("item_1:1") or "") == LineMark("item_1:1")
    assert codec.decode(end.stop() or "") == LineStopped()


def test_twilio_understands_every_word():
    codec, end = begun()
    frames = (codec.audio(b"\x01\x02" * 80), codec.mark("item_1:1"), codec.clear())
    commands = [command for frame in frames if frame is not None for command in end.read(frame)]
    assert commands == [Play(b"\x01\x02" * 80), Mark("item_1:1"), Clear()]


def test_a_wider_line_is_taken_by_what_it_says_of_itself():
    codec, end = TwilioCodec(), TwilioEnd("CA1", {})
    start = json.loads(end.hello()[1])
    start["start"]["mediaFormat"] = {"encoding": "audio/l16", "sampleRate": 24000, "channels": 1}
    started = codec.decode(json.dumps(start))
    assert isinstance(started, LineStarted)
    assert started.format == LineFormat("l16", 24_000)


def test_samples_of_an_unknown_kind_end_the_call():
    codec, end = TwilioCodec(), TwilioEnd("CA1", {})
    start = json.loads(end.hello()[1])
    start["start"]["mediaFormat"]["encoding"] = "audio/opus"
    with pytest.raises(RefusedCall, match="audio/opus at 8000"):
        codec.decode(json.dumps(start))


def changed(message: str | bytes, **fields: Any) -> str:
    return json.dumps({**json.loads(message), **fields})


def media(**fields: Any) -> str:
    body = {"track": "inbound", "chunk": "1", "timestamp": "0", "payload": base64.b64encode(b"\xff" * 160).decode()}
    message = {"event": "media", "sequenceNumber": "5", "streamSid": "MZ1", "media": {**body, **fields}}
    return json.dumps(message)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"\x00" * 160, "binary"),
        ("", "not JSON"),
        ("nonsense", "not JSON"),
        ("[]", "no JSON object"),
        ('{"event": "shutdown"}', "'event' is none of"),
        ('{"event": "media", "media": {}}', "'sequenceNumber'"),
        (changed(media(), sequenceNumber="-1"), "'sequenceNumber'"),
        (changed(media(), sequenceNumber="1"), "not higher"),
        (changed(media(), streamSid="MZ2"), "another stream"),
        (changed(media(), media="loud"), "'media' is no object"),
        (media(payload="%%%"), "no base64"),
        (media(payload=None), "'payload' is no text"),
        (media(timestamp="now"), "'timestamp'"),
        (media(timestamp="9" * 40), "'timestamp'"),
    ],
)
def test_what_is_no_message_of_this_stream_is_refused_and_the_next_one_taken(frame: str | bytes, reason: str):
    codec = TwilioCodec()
    start = json.loads(TwilioEnd("CA1", {}).hello()[1])
    start["streamSid"] = "MZ1"
    codec.decode(json.dumps(start))
    with pytest.raises(RefusedMessage, match=reason):
        codec.decode(frame)
    assert codec.decode(media()) == LineAudio(b"\xff" * 160, 0)


def test_a_replayed_message_is_refused():
    codec, end = begun()
    frame = end.media(b"\xff" * 160, 0)
    codec.decode(frame)
    with pytest.raises(RefusedMessage, match="not higher"):
        codec.decode(frame)


def test_nothing_is_taken_before_the_start():
    codec, end = TwilioCodec(), TwilioEnd("CA1", {})
    end.hello()
    with pytest.raises(RefusedMessage, match="comes once, and first"):
        codec.decode(end.media(b"\xff" * 160, 0))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELD = st.sampled_from(["event", "sequenceNumber", "streamSid", "start", "media", "mark", "dtmf", "stop"])


@given(st.lists(st.dictionaries(FIELD, JSON | st.sampled_from(["start", "media", "7", "MZ1"])), max_size=4))
def test_no_message_breaks_the_door(messages: list[dict[str, Any]]):
    codec, _ = begun()
    for message in messages:
        with suppress(RefusedMessage):
            codec.decode(json.dumps(message))


async def test_parameters_come_back_as_they_were_given():
    proofs = Proofs("token", clock=lambda: 1000.0)
    parameters = proofs.parameters("CA1", Caller("salon", "+49301"))
    assert await proofs.caller(LineStarted("CA1", "MZ1", ULAW, parameters)) == Caller("salon", "+49301")


@pytest.mark.parametrize(
    ("changes", "call"),
    [
        ({"agent": "bank"}, "CA1"),
        ({"caller": "+49302"}, "CA1"),
        ({"expires": "9999999999"}, "CA1"),
        ({"proof": ""}, "CA1"),
        ({"proof": "é"}, "CA1"),
        ({}, "CA2"),
    ],
)
async def test_parameters_that_were_not_given_are_refused(changes: dict[str, str], call: str):
    proofs = Proofs("token", clock=lambda: 1000.0)
    parameters = {**proofs.parameters("CA1", Caller("salon", "+49301")), **changes}
    with pytest.raises(RefusedCall, match="not signed"):
        await proofs.caller(LineStarted(call, "MZ1", ULAW, parameters))


async def test_parameters_of_long_ago_are_refused():
    now = [1000.0]
    proofs = Proofs("token", clock=lambda: now[0])
    parameters = proofs.parameters("CA1", Caller())
    now[0] += 61
    with pytest.raises(RefusedCall, match="expired"):
        await proofs.caller(LineStarted("CA1", "MZ1", ULAW, parameters))
