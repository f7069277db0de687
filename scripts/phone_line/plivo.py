"""Plivo's side of an audio stream."""

from __future__ import annotations

import base64
import itertools
import json
import secrets
import time
from typing import Any

from scripts.phone_line.wire import ULAW, Clear, Command, Finding, Frame, Mark, Play, l16


class PlivoEnd:
    """See ``CarrierEnd``. kind: of the stream, as the XML asks for it."""

    marks_return_after_clear = False

    def __init__(self, call_id: str, kind: str = "audio/x-mulaw;rate=8000") -> None:
        self._encoding, _, rate = kind.partition(";rate=")
        self.samples = ULAW if self._encoding == "audio/x-mulaw" else l16(int(rate))
        self.stream_id = secrets.token_hex(8)
        self._call_id = call_id
        self._sequence = itertools.count(0)
        self._chunk = itertools.count(1)

    def hello(self) -> list[Frame]:
        """See ``CarrierEnd``."""
        start = {
            "callId": self._call_id,
            "streamId": self.stream_id,
            "accountId": "1",
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": self._encoding, "sampleRate": self.samples.rate},
        }
        return [self._message("start", start=start, extra_headers="{}")]

    def media(self, samples: bytes, at_ms: int) -> Frame:
        """See ``CarrierEnd``."""
        media = {
            "track": "inbound",
            "timestamp": str(int(time.time() * 1000)),
            "chunk": next(self._chunk),
            "payload": base64.b64encode(samples).decode(),
        }
        return self._message("media", streamId=self.stream_id, media=media)

    def lost(self) -> None:
        """See ``CarrierEnd``."""
        next(self._chunk)

    def key(self, digit: str) -> Frame | None:
        """See ``CarrierEnd``."""
        return self._message("dtmf", streamId=self.stream_id, dtmf={"track": "inbound", "digit": digit})

    def reached(self, mark: str) -> Frame | None:
        """See ``CarrierEnd``."""
        return self._message("playedStream", streamId=self.stream_id, name=mark)

    def cleared(self) -> Frame | None:
        """See ``CarrierEnd``."""
        return self._message("clearedAudio", streamId=self.stream_id)

    def stop(self) -> Frame | None:
        """See ``CarrierEnd``."""
        return self._message("stop", streamId=self.stream_id)

    def read(self, frame: Frame) -> list[Command]:
        """See ``CarrierEnd``."""
        message = json.loads(frame)
        event = message.get("event")
        if message.get("streamId") != self.stream_id:
            return [Finding(f"{event} for another stream")]
        match event:
            case "playAudio":
                media = message["media"]
                if (media.get("contentType"), media.get("sampleRate")) != (self._encoding, self.samples.rate):
                    return [Finding("playAudio in another format")]
                return [Play(base64.b64decode(media["payload"], validate=True))]
            case "checkpoint":
                return [Mark(message["name"])]
            case "clearAudio":
                return [Clear()]
            case _:
                return [Finding(f"event {event!r}")]

    def _message(self, event: str, **fields: Any) -> str:
        return json.dumps({"sequenceNumber": next(self._sequence), "event": event, **fields})
