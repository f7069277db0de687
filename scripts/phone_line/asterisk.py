"""Asterisk's side: its WebSocket channel with JSON control messages, and AudioSocket."""

from __future__ import annotations

import asyncio
import json
import uuid

from scripts.phone_line.wire import ALAW, ULAW, Clear, Command, Finding, Frame, HangUp, Mark, Play, l16

_FORMATS = {"ulaw": ULAW, "alaw": ALAW, "slin": l16(8_000), "slin16": l16(16_000), "slin24": l16(24_000)}
_MAX_MESSAGE = 65_500


class WebSocketChannelEnd:
    """See ``CarrierEnd``. format: ulaw, alaw, slin, slin16 or slin24."""

    marks_return_after_clear = False

    def __init__(self, channel_id: str, format: str = "ulaw") -> None:
        self.samples = _FORMATS[format]
        self._channel_id, self._format = channel_id, format

    def hello(self) -> list[Frame]:
        """See ``CarrierEnd``."""
        start = {
            "event": "MEDIA_START",
            "connection_id": str(uuid.uuid4()),
            "channel": "WebSocket/kammerton/0x1",
            "channel_id": self._channel_id,
            "format": self._format,
            "optimal_frame_size": self.samples.frame * self.samples.width,
            "ptime": 20,
            "channel_variables": {},
        }
        return [json.dumps(start)]

    def media(self, samples: bytes, at_ms: int) -> Frame:
        """See ``CarrierEnd``."""
        return samples

    def lost(self) -> None:
        """See ``CarrierEnd``."""

    def key(self, digit: str) -> Frame | None:
        """See ``CarrierEnd``."""
        return json.dumps({"event": "DTMF_END", "digit": digit})

    def reached(self, mark: str) -> Frame | None:
        """See ``CarrierEnd``."""
        return json.dumps({"event": "MEDIA_MARK_PROCESSED", "correlation_id": mark})

    def cleared(self) -> Frame | None:
        """See ``CarrierEnd``."""
        return None

    def stop(self) -> Frame | None:
        """See ``CarrierEnd``. The socket just closes."""
        return None

    def read(self, frame: Frame) -> list[Command]:
        """See ``CarrierEnd``. What is no multiple of a frame would lose its rest."""
        if isinstance(frame, bytes):
            if len(frame) > _MAX_MESSAGE:
                return [Finding("a message too long"), HangUp()]
            whole = len(frame) % (self.samples.frame * self.samples.width) == 0
            return [Play(frame)] if whole else [Finding("sound that is not whole frames")]
        message = json.loads(frame)
        match message.get("command"):
            case "MARK_MEDIA":
                return [Mark(message["correlation_id"])]
            case "FLUSH_MEDIA":
                return [Clear()]
            case "HANGUP":
                return [HangUp()]
            case command:
                return [Finding(f"command {command!r}")]


def _packet(kind: int, payload: bytes = b"") -> bytes:
    return bytes((kind,)) + len(payload).to_bytes(2, "big") + payload


class AudioSocketEnd:
    """See ``CarrierEnd``."""

    samples = l16(8_000)
    marks_return_after_clear = False

    def __init__(self, call_id: uuid.UUID) -> None:
        self._call_id = call_id

    def hello(self) -> list[Frame]:
        """See ``CarrierEnd``."""
        return [_packet(0x01, self._call_id.bytes)]

    def media(self, samples: bytes, at_ms: int) -> Frame:
        """See ``CarrierEnd``."""
        return _packet(0x10, samples)

    def lost(self) -> None:
        """See ``CarrierEnd``."""

    def key(self, digit: str) -> Frame | None:
        """See ``CarrierEnd``."""
        return _packet(0x03, digit.encode())

    def reached(self, mark: str) -> Frame | None:
        """See ``CarrierEnd``."""
        return None

    def cleared(self) -> Frame | None:
        """See ``CarrierEnd``."""
        return None

    def stop(self) -> Frame | None:
        """See ``CarrierEnd``."""
        return _packet(0x00)

    def read(self, frame: Frame) -> list[Command]:
        """See ``CarrierEnd``."""
        assert isinstance(frame, bytes)
        match frame[0]:
            case 0x10:
                return [Play(frame[3:])]
            case 0x00:
                return [HangUp()]
            case kind:
                return [Finding(f"type {kind:#04x}")]


class TcpSocket:
    """AudioSocket messages over a connection; see ``Socket``."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def send(self, message: Frame, /) -> None:
        """A whole message."""
        assert isinstance(message, bytes)
        self._writer.write(message)
        await self._writer.drain()

    async def recv(self) -> Frame:
        """The next message. Raises EOFError at the end."""
        header = await self._reader.readexactly(3)
        return header + await self._reader.readexactly(int.from_bytes(header[1:], "big"))
