"""Pipecat's serializers of telephone carriers read and write the same frames as the phone doors."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import numpy as np
import pytest

from models.audio import ulaw_decode, ulaw_encode
from scripts.phone_line.plivo import PlivoEnd
from scripts.phone_line.telnyx import TelnyxEnd
from scripts.phone_line.twilio import TwilioEnd
from scripts.phone_line.vonage import VonageEnd
from scripts.phone_line.wire import CarrierEnd
from server.transports.carrier import CarrierCodec, Frame, LineAudio, LineFormat, LineKey
from server.transports.line_samples import LineSamples
from server.transports.plivo import PlivoCodec
from server.transports.telnyx import TelnyxCodec
from server.transports.twilio import TwilioCodec
from server.transports.vonage import VonageCodec
from tests.server_process import ROOT

_PYTHON = ROOT / ".venv-clients" / "bin" / "python"
pytestmark = pytest.mark.skipif(not _PYTHON.exists(), reason="needs scripts/client-env")

# Samples that G.711 has exactly, so that nothing depends on whose rounding it was.
PCM = ulaw_decode(bytes(range(160)))
CARRIERS = ("twilio", "plivo", "telnyx", "vonage")


def both(carrier: str) -> tuple[CarrierCodec, CarrierEnd, str]:
    """Our codec with the carrier's end of its stream, begun, and the stream's id."""
    codecs = {"twilio": TwilioCodec, "plivo": PlivoCodec, "telnyx": TelnyxCodec, "vonage": VonageCodec}
    ends = {
        "twilio": lambda: TwilioEnd("CA1", {}),
        "plivo": lambda: PlivoEnd("1"),
        "telnyx": lambda: TelnyxEnd("1"),
        "vonage": lambda: VonageEnd({"call": "1"}),
    }
    codec, end = codecs[carrier](), ends[carrier]()
    for frame in end.hello():
        codec.decode(frame)
    return codec, end, getattr(end, "stream_sid", getattr(end, "stream_id", ""))


def json_of(frame: Frame | None) -> Any:
    """A frame, as the program shows it."""
    if isinstance(frame, bytes):
        return {"hex": frame.hex()}
    return None if frame is None else json.loads(frame)


@pytest.fixture(scope="module")
def sides() -> dict[str, tuple[CarrierCodec, list[Frame], str]]:
    """Our codec of each carrier, and frames of that carrier: sound, then a key; and its stream's id."""
    made = {}
    for carrier in CARRIERS:
        codec, end, stream = both(carrier)
        sound, key = end.media(end.samples.encode(PCM), 0), end.key("7")
        assert key is not None
        made[carrier] = codec, [sound, key], stream
    return made


@pytest.fixture(scope="module")
def pipecat(sides: dict[str, Any]) -> Any:
    carriers = {}
    for carrier, (_, frames, stream) in sides.items():
        shown = [{"hex": frame.hex()} if isinstance(frame, bytes) else frame for frame in frames]
        carriers[carrier] = {"stream": stream, "frames": shown}
    ended = subprocess.run(
        [str(_PYTHON), "tests/clients/programs/pipecat_serializers.py"],
        input=json.dumps({"carriers": carriers, "pcm": PCM.tobytes().hex()}),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    return json.loads(ended.stdout.splitlines()[-1])


@pytest.mark.parametrize("carrier", CARRIERS)
def test_both_read_the_same_sound_and_the_same_key(carrier: str, sides: dict[str, Any], pipecat: Any):
    codec, frames, _ = sides[carrier]
    sound, key = (codec.decode(frame) for frame in frames)
    assert isinstance(sound, LineAudio)
    heard = ulaw_decode(LineSamples(LineFormat("l16", 8_000)).hear(sound.audio) if carrier == "vonage" else sound.audio)
    theirs = pipecat[carrier]["read"]
    assert np.array_equal(np.frombuffer(bytes.fromhex(theirs[0]["pcm"]), "<i2"), heard)
    assert (LineKey(theirs[1]["digit"]), theirs[0]["rate"]) == (key, 8_000)


@pytest.mark.parametrize("carrier", CARRIERS)
def test_both_write_the_same_sound_and_clear_it_with_the_same_words(carrier: str, sides: dict[str, Any], pipecat: Any):
    codec, *_ = sides[carrier]
    samples = PCM.astype("<i2").tobytes() if carrier == "vonage" else ulaw_encode(PCM)
    for ours, theirs in ((codec.audio(samples), "audio"), (codec.clear(), "clear")):
        given = pipecat[carrier][theirs]
        assert json_of(ours) == (given if isinstance(given, dict) else json.loads(given))
