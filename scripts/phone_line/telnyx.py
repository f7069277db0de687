"""Telnyx' side of a media stream."""

from __future__ import annotations

import base64
import itertools
import json
import secrets
from typing import Any

from scripts.phone_line.wire import ALAW, ULAW, Clear, Command, Finding, Frame, Mark, Play


class TelnyxEnd:
    """See ``CarrierEnd``. encoding: PCMU or PCMA."""

    marks_return_after_clear = True

    def __init__(self, call_id: str, encoding: str = "PCMU") -> None:
        self.samples = ULAW if encoding == "PCMU" else ALAW
        self.stream_id = secrets.token_hex(8)
        self._call_id, self._encoding = call_id, encoding
        self._sequence = itertools.count(1)
        self._chunk = itertools.count(1)

    def hello(self) -> list[Frame]:
        """See ``CarrierEnd``."""
        start = {
            "user_id": "1",
            "call_control_id": self._call_id,
            "from": "+4915112345678",
            "to": "+4930123456",
            "media_format": {"encoding": self._encoding, "sample_rate": 8000, "channels": 1},
        }
        return [json.dumps({"event": "connected", "version": "1.0.0"}), self._message("start", start=start)]

    def media(self, samples: bytes, at_ms: int) -> Frame:
        """See ``CarrierEnd``."""
        media = {
            "track": "inbound",
            "chunk": str(next(self._chunk)),
            "timestamp": str(at_ms),
            "payload": base64.b64encode(samples).decode(),
        }
        return self._message("media", media=media)

    def lost(self) -> None:
        """See ``CarrierEnd``."""
        next(self._chunk)

    def key(self, digit: str) -> Frame | None:
        """See ``CarrierEnd``."""
        return self._message("dtmf", dtmf={"digit": digit})

    def reached(self, mark: str) -> Frame | None:
        """See ``CarrierEnd``."""
        return self._message("mark", mark={"name": mark})

    def cleared(self) -> Frame | None:
        """See ``CarrierEnd``."""
        return None

    def stop(self) -> Frame | None:
        """See ``CarrierEnd``."""
        return self._message("stop", stop={"call_control_id": self._call_id})

    def read(self, frame: Frame) -> list[Command]:
        """See ``CarrierEnd``."""
        message = json.loads(frame)
        match message.get("event"):
            case "media":
                return [Play(base64.b64decode(message["media"]["payload"], validate=True))]
            case "mark":
                return [Mark(message["mark"]["name"])]
            case "clear":
                return [Clear()]
            case event:
                return [Finding(f"event {event!r}")]

    def _message(self, event: str, **fields: Any) -> str:
        sequence = str(next(self._sequence))
        return json.dumps({"event": event, "sequence_number": sequence, "stream_id": self.stream_id, **fields})
