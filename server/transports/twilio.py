"""The door for Twilio: the webhook of a call, and its Media Streams connection.

Source: Twilio's pages on "Media Streams - WebSocket Messages" and TwiML ``<Stream>``.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape, quoteattr

from fastapi import APIRouter, Request, Response, WebSocket
from fastapi.requests import HTTPConnection

from server.errors import ClientError
from server.transports import carrier
from server.transports.calls import Calls, CallState
from server.transports.carrier import Caller, LineAudio, LineEvent, LineFormat, LineMark, LineStarted, LineStopped
from server.transports.rest import ApiRoute, bounded, error_response
from server.transports.twilio_reports import Reports
from server.transports.twilio_signature import SIGNATURE, Validator
from server.transports.websocket_leg import WebSocketLeg

_log = logging.getLogger(__name__)

_MAX_FORM = 64 * 1024
_PROOF_S = 60
"""How long a stream may take from the webhook's answer to its start."""
_ENCODINGS = {"audio/x-mulaw": "ulaw", "audio/x-alaw": "alaw", "audio/l16": "l16", "audio/x-l16": "l16"}
_DIALLED = "/twilio/dialled"
_UNREACHED = ("busy", "no-answer", "failed")
_MACHINES = ("machine", "fax")
_HANG_UP = "<Response><Hangup/></Response>"


@dataclass(frozen=True, slots=True)
class TwilioSettings:
    """public_url: where Twilio reaches this server, ``https://host[:port][/path]``."""

    public_url: str
    validator: Validator

    @property
    def stream_url(self) -> str:
        """Of the media connection: ``wss`` for ``https``."""
        return "ws" + self.public_url.removeprefix("http") + "/twilio/stream"


class TwilioCodec:
    """Media Streams messages of one connection. Numbers come as strings, and each message is one further."""

    name = "twilio"
    lead_ms = 400
    piece_ms = 100
    marks = True
    resumes = True
    asks_next = True
    ordered = True

    def __init__(self) -> None:
        self._stream = ""
        self._sequence = 0
        self._width = 1

    def decode(self, frame: carrier.Frame) -> LineEvent | None:
        """See ``CarrierCodec``."""
        message = carrier.parse(frame)
        event = message.get("event")
        if event == "connected":
            return None
        if event not in ("start", "media", "mark", "dtmf", "stop"):
            raise carrier.RefusedMessage("'event' is none of connected, start, media, mark, dtmf, stop")
        sequence = carrier.number(message, "sequenceNumber")
        if sequence <= self._sequence:
            raise carrier.RefusedMessage("'sequenceNumber' is not higher than the last")
        stream = carrier.text(message, "streamSid")
        if self._stream and stream != self._stream:
            raise carrier.RefusedMessage("'streamSid' is of another stream")
        decoded = self._decode(event, carrier.part(message, event), stream)
        self._sequence = sequence
        return decoded

    def _decode(self, event: str, body: dict[str, object], stream: str) -> LineEvent | None:
        if (event == "start") is bool(self._stream):
            raise carrier.RefusedMessage("'start' comes once, and first")
        match event:
            case "start":
                media = carrier.part(body, "mediaFormat")
                encoding = carrier.text(media, "encoding").lower()
                line = LineFormat(_ENCODINGS.get(encoding, encoding), carrier.number(media, "sampleRate"))
                parameters = carrier.strings(body.get("customParameters"))
                started = LineStarted(carrier.text(body, "callSid"), stream, line, parameters)
                self._stream, self._width = stream, line.width
                return started
            case "media":
                if body.get("track", "inbound") != "inbound":
                    return None  # our own voice
                return LineAudio(carrier.payload(body, self._width), carrier.number(body, "timestamp"))
            case "mark":
                return LineMark(carrier.text(body, "name"))
            case "dtmf":
                return carrier.key(body)
            case _:
                return LineStopped()

    def audio(self, samples: bytes) -> carrier.Frame:
        """See ``CarrierCodec``."""
        media = {"payload": carrier.encoded(samples)}
        return carrier.dumps({"event": "media", "streamSid": self._stream, "media": media})

    def mark(self, name: str) -> carrier.Frame | None:
        """See ``CarrierCodec``."""
        return carrier.dumps({"event": "mark", "streamSid": self._stream, "mark": {"name": name}})

    def clear(self) -> carrier.Frame | None:
        """See ``CarrierCodec``."""
        return carrier.dumps({"event": "clear", "streamSid": self._stream})


class Proofs:
    """Parameters that go through Twilio and come back with the stream, which itself says nothing that is signed."""

    def __init__(self, secret: str, clock: Callable[[], float] = time.time) -> None:
        self._secret = hashlib.sha256(b"kammerton twilio stream " + secret.encode()).digest()
        self._clock = clock

    def parameters(self, call_id: str, caller: Caller) -> dict[str, str]:
        """What to have Twilio pass on."""
        expires = str(int(self._clock()) + _PROOF_S)
        proof = self._proof(call_id, caller.agent, caller.number, expires)
        return {"agent": caller.agent, "caller": caller.number, "expires": expires, "proof": proof}

    async def caller(self, started: LineStarted) -> Caller:
        """Whose call a stream is. Raises RefusedCall for parameters that were not made here, or too long ago."""
        agent, number, expires, given = (
            started.parameters.get(name, "") for name in ("agent", "caller", "expires", "proof")
        )
        proof = self._proof(started.call_id, agent, number, expires)
        if not hmac.compare_digest(proof.encode(), given.encode()):
            raise carrier.RefusedCall("its parameters are not signed for this call")
        if int(expires) < self._clock():
            raise carrier.RefusedCall("its parameters have expired")
        return Caller(agent, number)

    def _proof(self, *values: str) -> str:
        signed = "\0".join(values).encode()
        return hmac.new(self._secret, signed, "sha256").hexdigest()


@dataclass(frozen=True, slots=True)
class TwilioDoor:
    """What the webhook goes by. agent_of: the agent by the number that was called. control: the REST API, None where
    only the webhook may move calls. voicemail: what a machine is told that answers a call of ours, "" to hang up."""

    agent_of: Callable[[str], str] = field(default=lambda number: "")
    control: carrier.CallControl | None = None
    voicemail: str = ""
    counted: Callable[[str], None] = field(default=lambda report: None)


def router(calls: Calls, settings: TwilioSettings, door: TwilioDoor) -> APIRouter:
    """The webhook, the media connection, and the callback for the state of both."""
    routes = APIRouter(route_class=ApiRoute)
    proofs = Proofs(settings.validator.auth_token)
    reports = Reports(door.counted)

    async def form(request: Request) -> dict[str, str] | Response:
        """The fields of a request that Twilio signed; the answer to any other."""
        try:
            body = await bounded(request, _MAX_FORM).body()
        except ClientError as error:
            return _refused(request, error_response(error).status_code, error.message)
        try:
            pairs = parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=bool(body))
        except ValueError:
            return _refused(request, 400, "the body is no form")
        query = f"?{request.url.query}" if request.url.query else ""
        url = settings.public_url + request.url.path + query
        if not settings.validator.valid(url, dict(request.headers), pairs):
            return _forbidden(request)
        return dict(pairs)

    @routes.post("/twilio/voice", include_in_schema=False)
    async def voice(request: Request) -> Response:
        fields = await form(request)
        if isinstance(fields, Response):
            return fields
        call_id = fields.get("CallSid", "")
        state = calls.state(call_id)
        number = calls.transfer_of(call_id)
        if number:
            return _twiml(dial(number, settings.public_url))
        if state is CallState.ENDED or not call_id:
            return _twiml(_HANG_UP)
        # Of a call that was made from here, the URL says who speaks; it is signed.
        agent = request.query_params.get("agent") or door.agent_of(fields.get("To", ""))
        if fields.get("AnsweredBy", "").startswith(_MACHINES):
            return _twiml(_say(door.voicemail, calls.phrases(agent).tag))
        if state is CallState.UNKNOWN and calls.refusal(agent):
            return _twiml(_say(calls.refusal(agent), calls.phrases(agent).tag))
        ours = fields.get("Direction", "").startswith("outbound")
        parameters = proofs.parameters(call_id, Caller(agent, fields.get("To" if ours else "From", "")))
        query = f"?{request.url.query}" if request.url.query else ""
        return _twiml(_connect(settings, request.url.path + query, parameters))

    @routes.post(_DIALLED, include_in_schema=False)
    async def dialled(request: Request) -> Response:
        fields = await form(request)
        if isinstance(fields, Response):
            return fields
        outcome = fields.get("DialCallStatus", "")
        _log.info("call was handed on", extra={"call": fields.get("CallSid"), "outcome": outcome})
        words = calls.phrases(door.agent_of(fields.get("To", "")))
        return _twiml(_say(words.unreached if outcome in _UNREACHED else "", words.tag))

    @routes.post("/twilio/status", include_in_schema=False)
    async def status(request: Request) -> Response:
        fields = await form(request)
        if isinstance(fields, Response):
            return fields
        refusal = reports.take(fields)
        return _refused(request, 400, refusal) if refusal else Response(status_code=204)

    @routes.websocket("/twilio/stream")
    async def stream(websocket: WebSocket) -> None:
        if not settings.validator.valid(settings.stream_url, dict(websocket.headers)):
            await websocket.send_denial_response(_forbidden(websocket))
            return
        await websocket.accept()
        await calls.answer(WebSocketLeg(websocket, TwilioCodec()), proofs.caller, door.control)

    return routes


def _say(words: str, language: str) -> str:
    """In Twilio's own voice, and then the end."""
    said = f"<Say language={quoteattr(language)}>{escape(words)}</Say>" if words else ""
    return f"<Response>{said}<Hangup/></Response>"


def _connect(settings: TwilioSettings, path: str, parameters: Mapping[str, str]) -> str:
    """When the stream has ended while the call has not, Twilio asks again what to do: resume it, or hang up."""
    inside = "".join(f"<Parameter name={quoteattr(n)} value={quoteattr(v)}/>" for n, v in parameters.items())
    status = quoteattr(f"{settings.public_url}/twilio/status")
    stream = f"<Stream url={quoteattr(settings.stream_url)} statusCallback={status}>{inside}</Stream>"
    again = f'<Redirect method="POST">{escape(settings.public_url + path)}</Redirect>'
    return f"<Response><Connect>{stream}</Connect>{again}</Response>"


def dial(number: str, public_url: str) -> str:
    """The TwiML that hands the caller on, and asks here what to do when that is over, or nobody answers."""
    return f"<Response><Dial action={quoteattr(public_url + _DIALLED)}>{escape(number)}</Dial></Response>"


def _twiml(text: str) -> Response:
    return Response(f'<?xml version="1.0" encoding="UTF-8"?>{text}', media_type="application/xml")


def _forbidden(request: HTTPConnection) -> Response:
    signed = request.headers.get(SIGNATURE)
    return _refused(request, 403, "wrong signature" if signed else "no signature")


def _refused(request: HTTPConnection, status: int, reason: str) -> Response:
    _log.warning("twilio request refused", extra={"request": request.url.path, "reason": reason})
    return Response(reason, status_code=status, media_type="text/plain")
