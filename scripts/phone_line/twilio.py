"""Twilio's side: the webhook of a call, its TwiML, the signed connection, and Media Streams messages."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import itertools
import json
import secrets
import xml.etree.ElementTree as ElementTree
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
import websockets

from scripts.phone_line.line import NO_TROUBLE, Line, Recording, Trouble
from scripts.phone_line.wire import ULAW, Clear, Command, Finding, Frame, Mark, Play


def sign(token: str, url: str, form: Mapping[str, str] | None = None) -> str:
    """The value of X-Twilio-Signature."""
    signed = url + "".join(name + value for name, value in sorted((form or {}).items()))
    return base64.b64encode(hmac.new(token.encode(), signed.encode(), hashlib.sha1).digest()).decode()


class TwilioEnd:
    """See ``CarrierEnd``. call_sid, parameters: of the TwiML that led here."""

    samples = ULAW
    marks_return_after_clear = True

    def __init__(self, call_sid: str, parameters: Mapping[str, str]) -> None:
        self.stream_sid = "MZ" + secrets.token_hex(16)
        self._call_sid = call_sid
        self._parameters = dict(parameters)
        self._sequence = itertools.count(1)
        self._chunk = itertools.count(1)

    def hello(self) -> list[Frame]:
        """See ``CarrierEnd``."""
        start = {
            "streamSid": self.stream_sid,
            "accountSid": "AC" + "0" * 32,
            "callSid": self._call_sid,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": self._parameters,
        }
        connected = {"event": "connected", "protocol": "Call", "version": "1.0.0"}
        return [json.dumps(connected), self._message("start", start)]

    def media(self, samples: bytes, at_ms: int) -> Frame:
        """See ``CarrierEnd``."""
        payload = base64.b64encode(samples).decode()
        chunk = str(next(self._chunk))
        return self._message(
            "media", {"track": "inbound", "chunk": chunk, "timestamp": str(max(0, at_ms)), "payload": payload}
        )

    def lost(self) -> None:
        """See ``CarrierEnd``."""
        next(self._chunk)

    def key(self, digit: str) -> Frame | None:
        """See ``CarrierEnd``."""
        return self._message("dtmf", {"track": "inbound_track", "digit": digit})

    def reached(self, mark: str) -> Frame | None:
        """See ``CarrierEnd``."""
        return self._message("mark", {"name": mark})

    def cleared(self) -> Frame | None:
        """See ``CarrierEnd``."""
        return None

    def stop(self) -> Frame | None:
        """See ``CarrierEnd``."""
        return self._message("stop", {"accountSid": "AC" + "0" * 32, "callSid": self._call_sid})

    def read(self, frame: Frame) -> list[Command]:
        """See ``CarrierEnd``. Twilio drops messages with unknown events or fields, and warns of them."""
        if isinstance(frame, bytes):
            return [Finding("31950: a binary frame")]
        try:
            message = json.loads(frame)
        except ValueError:
            return [Finding("31951: not JSON")]
        event = message.get("event")
        bodies = {"media": {"payload"}, "mark": {"name"}, "clear": None}
        if event not in bodies:
            return [Finding(f"31951: event {event!r}")]
        if message.get("streamSid") != self.stream_sid:
            return [Finding("31951: streamSid of another stream")]
        fields, body = {"event", "streamSid"}, bodies[event]
        if set(message) != (fields | {event} if body else fields) or (body and set(message[event]) != body):
            return [Finding(f"31951: missing or additional fields in {event}")]
        if event == "media":
            return [Play(base64.b64decode(message["media"]["payload"], validate=True))]
        return [Mark(message["mark"]["name"])] if event == "mark" else [Clear()]

    def _message(self, event: str, body: Mapping[str, Any]) -> str:
        sequence = str(next(self._sequence))
        return json.dumps({"event": event, "sequenceNumber": sequence, "streamSid": self.stream_sid, event: body})


@dataclass(slots=True)
class TwilioAccount:
    """Twilio as it is set up for one server. base_url: where the server is. public_url: where Twilio believes it is."""

    base_url: str
    public_url: str
    token: str
    number: str = "+4930123456"
    spoken: list[str] = field(default_factory=list)
    """What the server had Twilio itself say to callers."""

    async def ask(self, call_sid: str, caller: str, path: str = "/twilio/voice") -> Mapping[str, str] | None:
        """Ask the server what to do with a call: the parameters of the stream that it wants; None to hang up. Raises
        httpx2.HTTPStatusError when it does not answer."""
        form = {"CallSid": call_sid, "From": caller, "To": self.number, "Direction": "inbound"}
        headers = {"X-Twilio-Signature": sign(self.token, self.public_url + path, form)}
        async with httpx2.AsyncClient(base_url=self.base_url, timeout=30) as client:
            answer = await client.post(path, data=form, headers=headers)
        answer.raise_for_status()
        twiml = ElementTree.fromstring(answer.text)
        stream = twiml.find("Connect/Stream")
        if stream is None:
            self.spoken += [say.text or "" for say in twiml.iter("Say")]
            return None
        assert stream.get("url") == "ws" + self.public_url.removeprefix("http") + "/twilio/stream"
        return {parameter.get("name", ""): parameter.get("value", "") for parameter in stream.iter("Parameter")}

    @asynccontextmanager
    async def connect(self, path: str = "/twilio/stream") -> AsyncIterator[websockets.ClientConnection]:
        """The media connection. Raises websockets.InvalidStatus."""
        public = "ws" + self.public_url.removeprefix("http") + path
        local = "ws" + self.base_url.removeprefix("http") + path
        headers = {"X-Twilio-Signature": sign(self.token, public)}
        async with websockets.connect(
            local, additional_headers=headers, compression=None, proxy=None, max_size=None
        ) as socket:
            yield socket


class RefusedError(Exception):
    """The server does not take the call."""


@asynccontextmanager
async def twilio_call(
    account: TwilioAccount,
    trouble: Trouble = NO_TROUBLE,
    *,
    call_sid: str = "",
    caller: str = "+4915112345678",
    recording: Recording | None = None,
) -> AsyncIterator[Line]:
    """A call from its first ring to its end. recording: of an earlier stream of the same call. Raises RefusedError."""
    call_sid = call_sid or "CA" + secrets.token_hex(16)
    parameters = await account.ask(call_sid, caller)
    if parameters is None:
        raise RefusedError("the server wants to hang up")
    async with account.connect() as socket:
        line = Line(TwilioEnd(call_sid, parameters), socket, trouble, recording)
        running = asyncio.create_task(line.run())
        try:
            yield line
        finally:
            await line.hang_up()
            await running
