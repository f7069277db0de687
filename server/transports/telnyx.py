"""Telnyx' media streaming. Source: Telnyx' "Media Streaming over WebSockets" and its TeXML reference."""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import escape, quoteattr

from server.transports import carrier
from server.transports.carrier import LineAudio, LineEvent, LineFormat, LineMark, LineStarted, LineStopped
from server.transports.phone_routes import Offer

_ENCODINGS = {"pcmu": "ulaw", "pcma": "alaw", "l16": "l16"}


class TelnyxCodec:
    """See ``CarrierCodec``. Frames may overtake each other: they are numbered."""

    name = "telnyx"
    lead_ms = 400
    piece_ms = 100
    marks = True
    resumes = True
    asks_next = True
    ordered = False

    def __init__(self) -> None:
        self._stream = ""
        self._width = 1

    def decode(self, frame: carrier.Frame) -> LineEvent | None:
        """See ``CarrierCodec``."""
        message = carrier.parse(frame)
        event = message.get("event")
        if event == "connected":
            return None
        if event not in ("start", "media", "dtmf", "mark", "error", "stop"):
            raise carrier.RefusedMessage("'event' is none of connected, start, media, dtmf, mark, error, stop")
        if (event == "start") is bool(self._stream):
            raise carrier.RefusedMessage("'start' comes once, and first")
        if event == "start":
            return self._start(message)
        if message.get("stream_id", self._stream) != self._stream:
            raise carrier.RefusedMessage("'stream_id' is of another stream")
        return self._decode(event, message)

    def _start(self, message: dict[str, Any]) -> LineStarted:
        body = carrier.part(message, "start")
        media = carrier.part(body, "media_format")
        encoding = carrier.text(media, "encoding").lower()
        line = LineFormat(_ENCODINGS.get(encoding, encoding), carrier.number(media, "sample_rate"))
        parameters = {
            **carrier.strings(body.get("custom_parameters")),
            "caller": body.get("from"),
            "to": body.get("to"),
        }
        stream = carrier.text(message, "stream_id")
        started = LineStarted(carrier.text(body, "call_control_id"), stream, line, carrier.strings(parameters))
        self._stream, self._width = stream, line.width
        return started

    def _decode(self, event: str, message: dict[str, Any]) -> LineEvent | None:
        match event:
            case "media":
                media = carrier.part(message, "media")
                if media.get("track", "inbound") != "inbound":
                    return None
                at_ms = carrier.number(media, "timestamp") if "timestamp" in media else None
                return LineAudio(carrier.payload(media, self._width), at_ms, carrier.number(media, "chunk"))
            case "dtmf":
                return carrier.key(carrier.part(message, "dtmf"))
            case "mark":
                return LineMark(carrier.text(carrier.part(message, "mark"), "name"))
            case "error":
                raise carrier.RefusedMessage(f"the carrier reports an error: {str(message.get('payload'))[:200]}")
            case _:
                return LineStopped()

    def audio(self, samples: bytes) -> carrier.Frame:
        """See ``CarrierCodec``."""
        return carrier.dumps({"event": "media", "media": {"payload": carrier.encoded(samples)}})

    def mark(self, name: str) -> carrier.Frame | None:
        """See ``CarrierCodec``."""
        return carrier.dumps({"event": "mark", "mark": {"name": name}})

    def clear(self) -> carrier.Frame | None:
        """See ``CarrierCodec``."""
        return carrier.dumps({"event": "clear"})


def answer(offer: Offer) -> tuple[Any, str]:
    """The TeXML that connects a call, and its media type. Without a bidirectional mode nobody would hear us."""
    mode = 'bidirectionalMode="rtp" bidirectionalCodec="PCMU"'
    agent = f'<Parameter name="agent" value={quoteattr(offer.agent)}/>' if offer.agent else ""
    stream = f"<Stream url={quoteattr(offer.stream_url)} {mode}>{agent}</Stream>"
    again = f'<Redirect method="POST">{escape(offer.answer_url)}</Redirect>'
    return f"<Response><Connect>{stream}</Connect>{again}</Response>", "application/xml"


def hang_up(words: str, language: str) -> tuple[Any, str]:
    """The TeXML that ends a call, after these words in this language (BCP 47)."""
    spoken = f"<Say language={quoteattr(language)}>{escape(words)}</Say>" if words else ""
    return f"<Response>{spoken}<Hangup/></Response>", "application/xml"


def dial(number: str) -> tuple[Any, str]:
    """The XML that hands the caller on."""
    return f"<Response><Dial>{escape(number)}</Dial></Response>", "application/xml"
