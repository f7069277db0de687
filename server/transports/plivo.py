"""Plivo's audio streams. Source: Plivo's pages on the Stream XML element and "Audio Streaming" messages."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode
from xml.sax.saxutils import escape, quoteattr

from server.transports import carrier
from server.transports.carrier import LineAudio, LineEvent, LineFormat, LineMark, LineStarted, LineStopped
from server.transports.phone_routes import Offer

_ENCODINGS = {"audio/x-mulaw": "ulaw", "audio/x-l16": "l16"}
_CONTENT_TYPES = {"ulaw": "audio/x-mulaw", "l16": "audio/x-l16"}


class PlivoCodec:
    """See ``CarrierCodec``."""

    name = "plivo"
    lead_ms = 400
    piece_ms = 100
    marks = True
    resumes = True
    asks_next = True
    ordered = True

    def __init__(self) -> None:
        self._stream = ""
        self._sequence = -1
        self._line = carrier.ULAW

    def decode(self, frame: carrier.Frame) -> LineEvent | None:
        """See ``CarrierCodec``."""
        message = carrier.parse(frame)
        event = message.get("event")
        if event not in ("start", "media", "dtmf", "playedStream", "clearedAudio", "stop"):
            raise carrier.RefusedMessage("'event' is none of start, media, dtmf, playedStream, clearedAudio, stop")
        if (event == "start") is bool(self._stream):
            raise carrier.RefusedMessage("'start' comes once, and first")
        if event == "start":
            return self._start(message)
        if message.get("streamId", self._stream) != self._stream:
            raise carrier.RefusedMessage("'streamId' is of another stream")
        if "sequenceNumber" in message:
            sequence = carrier.number(message, "sequenceNumber")
            if sequence <= self._sequence:
                raise carrier.RefusedMessage("'sequenceNumber' is not higher than the last")
            self._sequence = sequence
        return self._decode(event, message)

    def _start(self, message: dict[str, Any]) -> LineStarted:
        body = carrier.part(message, "start")
        media = carrier.part(body, "mediaFormat")
        encoding = carrier.text(media, "encoding").lower()
        line = LineFormat(_ENCODINGS.get(encoding, encoding), carrier.number(media, "sampleRate"))
        started = LineStarted(carrier.text(body, "callId"), carrier.text(body, "streamId"), line, _extra(message))
        self._stream, self._line = started.stream_id, line
        return started

    def _decode(self, event: str, message: dict[str, Any]) -> LineEvent | None:
        match event:
            case "media":
                media = carrier.part(message, "media")
                if media.get("track", "inbound") != "inbound":
                    return None
                # Time stamps here are of the wall clock, in which a frame has no place of its own.
                return LineAudio(carrier.payload(media, self._line.width))
            case "dtmf":
                return carrier.key(carrier.part(message, "dtmf"))
            case "playedStream":
                return LineMark(carrier.text(message, "name"))
            case "stop":
                return LineStopped()
            case _:
                return None

    def audio(self, samples: bytes) -> carrier.Frame:
        """See ``CarrierCodec``."""
        media = {
            "contentType": _CONTENT_TYPES[self._line.encoding],
            "sampleRate": self._line.rate,
            "payload": carrier.encoded(samples),
        }
        return carrier.dumps({"event": "playAudio", "media": media, "streamId": self._stream})

    def mark(self, name: str) -> carrier.Frame | None:
        """See ``CarrierCodec``."""
        return carrier.dumps({"event": "checkpoint", "streamId": self._stream, "name": name})

    def clear(self) -> carrier.Frame | None:
        """See ``CarrierCodec``."""
        return carrier.dumps({"event": "clearAudio", "streamId": self._stream})


def _extra(message: dict[str, Any]) -> dict[str, str]:
    """``extra_headers`` is an object, or written as ``name=value,name=value``."""
    given = message.get("extra_headers")
    if isinstance(given, str):
        return dict(pair.strip(" {}").split("=", 1) for pair in given.split(",") if "=" in pair)
    return carrier.strings(given)


def answer(offer: Offer) -> tuple[Any, str]:
    """The XML that connects a call, and its media type. Only letters and digits pass in extra headers: an agent's name
    may have others, so it goes into the address."""
    number = offer.caller.removeprefix("+")
    caller = f' extraHeaders="caller={number}"' if number.isascii() and number.isdigit() else ""
    kind = "audio/x-l16;rate=16000" if offer.wide else "audio/x-mulaw;rate=8000"
    address = f"{offer.stream_url}&{urlencode({'agent': offer.agent})}"
    stream = (
        f'<Stream bidirectional="true" keepCallAlive="true" contentType="{kind}"{caller}>{escape(address)}</Stream>'
    )
    return f"<Response>{stream}<Redirect>{escape(offer.answer_url)}</Redirect></Response>", "application/xml"


def hang_up(words: str, language: str) -> tuple[Any, str]:
    """The XML that ends a call, after these words in this language (BCP 47)."""
    spoken = f"<Speak language={quoteattr(language)}>{escape(words)}</Speak>" if words else ""
    return f"<Response>{spoken}<Hangup/></Response>", "application/xml"


def dial(number: str) -> tuple[Any, str]:
    """The XML that hands the caller on."""
    return f"<Response><Dial><Number>{escape(number)}</Number></Dial></Response>", "application/xml"
