"""Vonage's side of a call's WebSocket."""

from __future__ import annotations

import json
from collections.abc import Mapping

from scripts.phone_line.wire import Clear, Command, Finding, Frame, Mark, Play, l16


class VonageEnd:
    """See ``CarrierEnd``. headers: of the NCCO, which come back with the first message."""

    marks_return_after_clear = False

    def __init__(self, headers: Mapping[str, str], rate: int = 8_000) -> None:
        self.samples = l16(rate)
        self._headers = dict(headers)
        self._payloads: dict[str, object] = {}

    def hello(self) -> list[Frame]:
        """See ``CarrierEnd``."""
        content_type = f"audio/l16;rate={self.samples.rate}"
        return [json.dumps({"event": "websocket:connected", "content-type": content_type, **self._headers})]

    def media(self, samples: bytes, at_ms: int) -> Frame:
        """See ``CarrierEnd``."""
        return samples

    def lost(self) -> None:
        """See ``CarrierEnd``."""

    def key(self, digit: str) -> Frame | None:
        """See ``CarrierEnd``."""
        return json.dumps({"event": "websocket:dtmf", "digit": digit, "duration": 260})

    def reached(self, mark: str) -> Frame | None:
        """See ``CarrierEnd``. A notification comes back with the payload that it was sent with."""
        return json.dumps({"event": "websocket:notify", "payload": self._payloads.pop(mark)})

    def cleared(self) -> Frame | None:
        """See ``CarrierEnd``."""
        return json.dumps({"event": "websocket:cleared"})

    def stop(self) -> Frame | None:
        """See ``CarrierEnd``. The socket just closes."""
        return None

    def read(self, frame: Frame) -> list[Command]:
        """See ``CarrierEnd``."""
        if isinstance(frame, bytes):
            exact = self.samples.frame * self.samples.width
            return [Play(frame)] if len(frame) == exact else [Finding(f"{len(frame)} bytes, not {exact}")]
        message = json.loads(frame)
        if message.get("action") == "clear":
            return [Clear()]
        if message.get("action") != "notify" or not isinstance(message.get("payload"), dict):
            return [Finding(f"action {message.get('action')!r}")]
        mark = str(len(self._payloads)) + json.dumps(message["payload"])
        self._payloads[mark] = message["payload"]
        return [Mark(mark)]
