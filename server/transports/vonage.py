"""Vonage's Voice WebSocket: binary frames of 16-bit samples, and a few words of JSON.

Source: Vonage's "WebSockets" guide of the Voice API, and its NCCO reference.
"""

from __future__ import annotations

import secrets
from typing import Any

from server.transports import carrier
from server.transports.carrier import LineEvent, LineFormat, LineMark, LineStarted
from server.transports.phone_routes import Offer

_CONTENT_TYPE = "audio/l16;rate={rate}"


class VonageCodec:
    """See ``CarrierCodec``. One message is exactly one frame of sound."""

    name = "vonage"
    lead_ms = 400
    piece_ms = carrier.FRAME_MS
    marks = True
    resumes = False
    asks_next = False
    ordered = True

    def __init__(self) -> None:
        self._line: LineFormat | None = None

    def decode(self, frame: carrier.Frame) -> LineEvent | None:
        """See ``CarrierCodec``."""
        if isinstance(frame, bytes):
            return carrier.sound(frame, self._line, "'websocket:connected'")
        message = carrier.parse(frame)
        match message.get("event"):
            case "websocket:connected":
                return self._start(message)
            case "websocket:dtmf":
                return carrier.key(message)
            case "websocket:notify":
                return LineMark(carrier.text(carrier.part(message, "payload"), "mark"))
            case "websocket:cleared":
                return None
            case _:
                raise carrier.RefusedMessage("'event' is none of websocket:connected, dtmf, notify, cleared")

    def _start(self, message: dict[str, Any]) -> LineStarted:
        if self._line is not None:
            raise carrier.RefusedMessage("a second 'websocket:connected'")
        kind, _, option = carrier.text(message, "content-type").lower().partition(";")
        rate = option.strip().removeprefix("rate=")
        self._line = LineFormat(kind.strip().removeprefix("audio/"), int(rate) if rate.isdecimal() else 16_000)
        parameters = carrier.strings(message)
        return LineStarted(parameters.get("call") or secrets.token_hex(8), secrets.token_hex(8), self._line, parameters)

    def audio(self, samples: bytes) -> carrier.Frame:
        """See ``CarrierCodec``."""
        return samples

    def mark(self, name: str) -> carrier.Frame | None:
        """See ``CarrierCodec``."""
        return carrier.dumps({"action": "notify", "payload": {"mark": name}})

    def clear(self) -> carrier.Frame | None:
        """See ``CarrierCodec``."""
        return carrier.dumps({"action": "clear"})


def answer(offer: Offer) -> tuple[Any, str]:
    """The NCCO that connects a call, and its media type."""
    endpoint = {
        "type": "websocket",
        "uri": offer.stream_url,
        "content-type": _CONTENT_TYPE.format(rate=16_000 if offer.wide else 8_000),
        "headers": {"call": offer.call_id, "agent": offer.agent, "caller": offer.caller},
    }
    return [{"action": "connect", "endpoint": [endpoint]}], "application/json"


def hang_up(words: str, language: str) -> tuple[Any, str]:
    """The NCCO that ends a call, after these words in this language (BCP 47)."""
    return [{"action": "talk", "text": words, "language": language}] if words else [], "application/json"
