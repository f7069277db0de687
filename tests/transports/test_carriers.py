"""The wires of the other carriers: what each message means, what is refused, and that the carrier understands ours."""

from __future__ import annotations

import json
import uuid
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.audio import ulaw_encode
from scripts.phone_line.asterisk import AudioSocketEnd, WebSocketChannelEnd
from scripts.phone_line.freeswitch import AudioForkEnd
from scripts.phone_line.plivo import PlivoEnd
from scripts.phone_line.telnyx import TelnyxEnd
from scripts.phone_line.vonage import VonageEnd
from scripts.phone_line.wire import CarrierEnd, Clear, Mark, Play
from server.core.events import AudioFormat
from server.transports import plivo, telnyx, vonage
from server.transports.asterisk import AudioSocketCodec, WebSocketChannelCodec
from server.transports.carrier import (
    CarrierCodec,
    LineAudio,
    LineEvent,
    LineFormat,
    LineKey,
    LineMark,
    LineStarted,
    LineStopped,
    RefusedCall,
    RefusedMessage,
)
from server.transports.freeswitch import AudioForkCodec
from server.transports.line_samples import LineSamples
from server.transports.phone_routes import Offer
from server.transports.plivo import PlivoCodec
from server.transports.reordering import Reordering
from server.transports.telnyx import TelnyxCodec
from server.transports.vonage import VonageCodec
from tests.models.speech import noise

CALL = uuid.UUID(int=7)
WIRES: dict[str, tuple[Callable[[], CarrierCodec], Callable[[], CarrierEnd]]] = {
    "vonage": (VonageCodec, lambda: VonageEnd({"call": str(CALL), "agent": "salon"})),
    "vonage wide": (VonageCodec, lambda: VonageEnd({"call": str(CALL)}, 24_000)),
    "plivo": (PlivoCodec, lambda: PlivoEnd(str(CALL))),
    "plivo wide": (PlivoCodec, lambda: PlivoEnd(str(CALL), "audio/x-l16;rate=16000")),
    "telnyx": (TelnyxCodec, lambda: TelnyxEnd(str(CALL))),
    "telnyx A-law": (TelnyxCodec, lambda: TelnyxEnd(str(CALL), "PCMA")),
    "freeswitch": (AudioForkCodec, lambda: AudioForkEnd({"call": str(CALL)})),
    "asterisk": (WebSocketChannelCodec, lambda: WebSocketChannelEnd(str(CALL))),
    "asterisk 16 kHz": (WebSocketChannelCodec, lambda: WebSocketChannelEnd(str(CALL), "slin16")),
    "asterisk slin": (WebSocketChannelCodec, lambda: WebSocketChannelEnd(str(CALL), "slin")),
    "audiosocket": (AudioSocketCodec, lambda: AudioSocketEnd(CALL)),
}
wires = pytest.mark.parametrize("wire", WIRES)


def begun(wire: str) -> tuple[CarrierCodec, CarrierEnd, LineStarted]:
    """Both sides of a stream, and its start."""
    codec, end = (make() for make in WIRES[wire])
    events = [codec.decode(frame) for frame in end.hello()]
    (started,) = [event for event in events if event is not None]
    assert isinstance(started, LineStarted)
    return codec, end, started


@wires
def test_a_call_arrives_as_it_is(wire: str):
    codec, end, started = begun(wire)
    assert started.call_id == str(CALL)
    assert started.format.rate == end.samples.rate
    sound = end.samples.encode(noise(0.02, dbfs=-20, rate=end.samples.rate))
    event = codec.decode(end.media(sound, 0))
    assert isinstance(event, LineAudio)
    assert event.audio == sound
    assert codec.decode(end.key("#") or "") == LineKey("#")
    stop = end.stop()
    assert stop is None or codec.decode(stop) == LineStopped()


@wires
def test_the_carrier_understands_what_is_sent_and_marks_come_back(wire: str):
    codec, end, _ = begun(wire)
    sound = end.samples.encode(noise(0.02, dbfs=-20, rate=end.samples.rate))
    assert end.read(codec.audio(sound)) == [Play(sound)]
    clear, mark = codec.clear(), codec.mark("item_1:4")
    assert (mark is not None) is codec.marks
    if clear is not None and mark is not None:
        assert end.read(clear) == [Clear()]
        (placed,) = end.read(mark)
        assert isinstance(placed, Mark)
        assert codec.decode(end.reached(placed.name) or "") == LineMark("item_1:4")
    cleared = end.cleared()
    assert cleared is None or codec.decode(cleared) is None


@wires
@pytest.mark.parametrize("frame", ["nonsense", "[]", ""])
def test_what_is_no_message_is_refused_and_the_next_one_taken(wire: str, frame: str):
    codec, end, _ = begun(wire)
    with pytest.raises((RefusedMessage, RefusedCall)):
        codec.decode(frame)
    assert isinstance(codec.decode(end.media(bytes(end.samples.frame * end.samples.width), 20)), LineAudio)


@wires
def test_nothing_is_taken_before_the_start_and_nothing_starts_twice(wire: str):
    codec, end = (make() for make in WIRES[wire])
    *_, start = end.hello()
    with pytest.raises(RefusedMessage):
        codec.decode(end.media(bytes(end.samples.frame * end.samples.width), 0))
    codec.decode(start)
    with pytest.raises(RefusedMessage):
        codec.decode(start)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from(
    ["event", "media", "dtmf", "mark", "name", "payload", "stream_id", "streamId", "digit", "start"]
)
VALUES = JSON | st.sampled_from(["media", "dtmf", "mark", "start", "MEDIA_START", "websocket:notify", "playedStream"])


@given(st.sampled_from(sorted(WIRES)), st.dictionaries(FIELDS, VALUES, max_size=4) | st.binary(max_size=24))
def test_no_message_breaks_a_door(wire: str, message: dict[str, Any] | bytes):
    codec, _, _ = begun(wire)
    with suppress(RefusedMessage, RefusedCall):
        codec.decode(message if isinstance(message, bytes) else json.dumps(message))


def test_a_narrow_line_of_16_bits_is_the_telephones_own_g711():
    line = LineFormat("l16", 8_000)
    pcm = noise(0.1, dbfs=-20, rate=8_000)
    assert line.session is AudioFormat.PCMU
    samples = LineSamples(line)
    assert samples.hear(pcm.tobytes()) == ulaw_encode(pcm)
    assert samples.hear(samples.say(bytes(range(127)))) == bytes(range(127))


def test_a_line_at_16_khz_is_heard_and_spoken_in_whole_frames_two_milliseconds_later():
    line = LineFormat("l16", 16_000)
    assert line.session is AudioFormat.PCM
    samples = LineSamples(line)
    tone = (8_000 * np.sin(np.arange(16_000) / 16_000 * 2 * np.pi * 5_000)).astype("<i2")
    frames = [tone[start : start + 320].tobytes() for start in range(0, len(tone), 320)]
    heard = [samples.hear(frame) for frame in frames]
    assert {len(frame) for frame in heard} == {960}
    back = [samples.say(frame) for frame in heard]
    assert {len(frame) for frame in back} == {640}
    said = np.frombuffer(b"".join(back), "<i2").astype(float)
    late = 64  # 2 ms there, and 2 back
    error = said[1_000:] - tone[1_000 - late : -late]
    assert np.sqrt(np.mean(error**2)) < 0.01 * 8_000


def test_a_wide_line_is_asked_for_where_the_carrier_has_it():
    offer = replace(OFFER, wide=True)
    ((connect,), _) = vonage.answer(offer)
    assert connect["endpoint"][0]["content-type"] == "audio/l16;rate=16000"
    stream = ElementTree.fromstring(plivo.answer(offer)[0]).find("Stream")
    assert stream is not None
    assert stream.get("contentType") == "audio/x-l16;rate=16000"


@pytest.mark.parametrize("wire", ["plivo wide", "vonage wide", "asterisk 16 kHz"])
def test_half_a_sample_is_refused(wire: str):
    codec, end, _ = begun(wire)
    with pytest.raises(RefusedMessage, match="whole samples"):
        codec.decode(end.media(b"\x00" * 639, 0))


@pytest.mark.parametrize(("encoding", "rate"), [("l16", 48_000), ("opus", 48_000), ("ulaw", 16_000)])
def test_samples_that_no_session_takes_are_refused_with_those_that_are_allowed(encoding: str, rate: int):
    with pytest.raises(RefusedCall, match="allowed: ulaw and alaw at 8000, l16 at 8000, 16000 and 24000"):
        LineFormat(encoding, rate)


def in_order(numbers: list[int]) -> list[int]:
    order = Reordering()
    events: list[LineEvent] = []
    for number in numbers:
        events += order.push(LineAudio(b"", None, number))
    return [event.number for event in events if isinstance(event, LineAudio) and event.number is not None]


def test_frames_that_overtook_each_other_are_put_in_order():
    assert in_order([1, 3, 2, 4, 6, 5]) == [1, 2, 3, 4, 5, 6]


def test_a_lost_frame_is_not_waited_for_for_ever_and_one_that_comes_too_late_is_dropped():
    assert in_order([1, 3, 4, 5, 6, 7, 2, 8]) == [1, 3, 4, 5, 6, 7, 8]


def test_a_replayed_frame_is_heard_once():
    assert in_order([1, 2, 2, 1, 3]) == [1, 2, 3]


OFFER = Offer("call-1", "salon", "+49301", "wss://a.example/x/stream?token=a&b", "https://a.example/x/voice?token=a&b")


def test_what_carriers_are_told_leads_back_here():
    ((connect,), kind) = vonage.answer(OFFER)
    assert (connect["endpoint"][0]["uri"], kind) == (OFFER.stream_url, "application/json")
    body, _ = plivo.answer(OFFER)
    told = ElementTree.fromstring(body)
    assert (told.findtext("Stream"), told.findtext("Redirect")) == (f"{OFFER.stream_url}&agent=salon", OFFER.answer_url)
    body, _ = telnyx.answer(OFFER)
    stream = ElementTree.fromstring(body).find("Connect/Stream")
    assert stream is not None
    assert (stream.get("url"), stream.get("bidirectionalMode")) == (OFFER.stream_url, "rtp")


@pytest.mark.parametrize("given", [None, 5, "+49301"])
def test_a_caller_without_a_number_is_nobody(given: object):
    end = TelnyxEnd(str(CALL))
    *_, start = end.hello()
    message = json.loads(start)
    message["start"]["from"] = given
    started = TelnyxCodec().decode(json.dumps(message))
    assert isinstance(started, LineStarted)
    assert started.parameters.get("caller", "") == ("+49301" if given == "+49301" else "")


@pytest.mark.parametrize("kind", ["audio/l16;rate=8000", "audio/l16; rate=8000", "Audio/L16 ;Rate=8000"])
def test_vonages_samples_are_known_however_they_are_written(kind: str):
    hello = {"event": "websocket:connected", "content-type": kind}
    started = VonageCodec().decode(json.dumps(hello))
    assert isinstance(started, LineStarted)
    assert started.format == LineFormat("l16", 8_000)


def test_a_busy_house_says_so_and_hangs_up():
    assert vonage.hang_up("All lines are busy.", "en-US")[0] == [
        {"action": "talk", "text": "All lines are busy.", "language": "en-US"}
    ]
    for body, _ in (plivo.hang_up("Busy & closed.", "de-DE"), telnyx.hang_up("Busy & closed.", "de-DE")):
        (spoken, hang_up) = ElementTree.fromstring(body)
        assert (spoken.text, spoken.get("language"), hang_up.tag) == ("Busy & closed.", "de-DE", "Hangup")


def test_asterisk_is_told_to_speak_json():
    with pytest.raises(RefusedCall, match=r"f\(json\)"):
        WebSocketChannelCodec().decode("MEDIA_START connection_id:x format:ulaw")
