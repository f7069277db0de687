"""Asterisk's two ways of handing a call's sound to a program: its WebSocket channel, and AudioSocket over TCP.

Source: Asterisk's documentation of chan_websocket (JSON control messages) and of AudioSocket.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from server.transports import carrier
from server.transports.calls import Calls
from server.transports.carrier import Caller, LineAudio, LineEvent, LineFormat, LineMark, LineStarted, LineStopped

_log = logging.getLogger(__name__)

_FORMATS = {"slin": ("l16", 8_000), "slin16": ("l16", 16_000), "slin24": ("l16", 24_000)}


class WebSocketChannelCodec:
    """See ``CarrierCodec``. Binary frames are sound in the channel's own format, text frames are JSON. call_id: by
    which the dialplan asks what comes next; "" for the channel's own."""

    name = "asterisk"
    lead_ms = 400
    piece_ms = 100
    marks = True
    resumes = False
    asks_next = True
    ordered = True

    def __init__(self, call_id: str = "") -> None:
        self._call_id = call_id
        self._line: LineFormat | None = None

    def decode(self, frame: carrier.Frame) -> LineEvent | None:
        """See ``CarrierCodec``."""
        if isinstance(frame, bytes):
            return carrier.sound(frame, self._line, "MEDIA_START")
        if self._line is None and frame.startswith("MEDIA_START"):
            raise carrier.RefusedCall("control messages in plain text; have them in JSON with Dial option f(json)")
        message = carrier.parse(frame)
        match message.get("event"):
            case "MEDIA_START":
                return self._start(message)
            case "DTMF_END":
                return carrier.key(message)
            case "MEDIA_MARK_PROCESSED":
                return LineMark(carrier.text(message, "correlation_id"))
            case _:
                return None  # the state of a queue that is kept short anyway

    def _start(self, message: dict[str, Any]) -> LineStarted:
        if self._line is not None:
            raise carrier.RefusedMessage("a second MEDIA_START")
        name = carrier.text(message, "format")
        self._line = LineFormat(*_FORMATS.get(name, (name, 8_000)))
        connection = carrier.text(message, "connection_id")
        call = self._call_id or message.get("channel_id")
        parameters = carrier.strings(message.get("channel_variables"))
        return LineStarted(call if isinstance(call, str) and call else connection, connection, self._line, parameters)

    def audio(self, samples: bytes) -> carrier.Frame:
        """See ``CarrierCodec``."""
        return samples

    def mark(self, name: str) -> carrier.Frame | None:
        """See ``CarrierCodec``."""
        return carrier.dumps({"command": "MARK_MEDIA", "correlation_id": name})

    def clear(self) -> carrier.Frame | None:
        """See ``CarrierCodec``."""
        return carrier.dumps({"command": "FLUSH_MEDIA"})


HANG_UP, CALL_ID, KEY, SOUND, ERROR = 0x00, 0x01, 0x03, 0x10, 0xFF
_HEADER = 3
_GOODBYE_S = 5.0


def packet(kind: int, payload: bytes = b"") -> bytes:
    """One AudioSocket message: type, length, payload."""
    return bytes((kind,)) + len(payload).to_bytes(2, "big") + payload


class AudioSocketCodec:
    """See ``CarrierCodec``. A frame is one whole message. There is no mark, and nothing to throw sound away
    with: what is not to be heard must not have been sent, so little is sent ahead."""

    name = "audiosocket"
    lead_ms = 40
    piece_ms = carrier.FRAME_MS
    marks = False
    resumes = False
    ordered = True

    def __init__(self, *, asks_next: bool = False) -> None:
        self.asks_next = asks_next
        self._started = False

    def decode(self, frame: carrier.Frame) -> LineEvent | None:
        """See ``CarrierCodec``."""
        if isinstance(frame, str) or len(frame) < _HEADER or len(frame) != _HEADER + int.from_bytes(frame[1:3], "big"):
            raise carrier.RefusedMessage("no whole AudioSocket message")
        kind, payload = frame[0], frame[_HEADER:]
        if (kind == CALL_ID) is self._started and kind not in (HANG_UP, ERROR):
            raise carrier.RefusedMessage("the call's id comes once, and first")
        match kind:
            case 0x01:
                if len(payload) != 16:
                    raise carrier.RefusedMessage("an id that is not 16 bytes long")
                self._started = True
                call = str(uuid.UUID(bytes=payload))
                return LineStarted(call, call, LineFormat("l16", 8_000))
            case 0x03:
                return carrier.key({"digit": payload.decode("ascii", "replace")})
            case 0x10:
                if len(payload) % 2:
                    raise carrier.RefusedMessage("sound that is not whole samples")
                return LineAudio(payload)
            case 0x00 | 0xFF:
                return LineStopped()
            case _:
                raise carrier.RefusedMessage(f"type {kind:#04x} is none of 0x00, 0x01, 0x03, 0x10, 0xff")

    def audio(self, samples: bytes) -> carrier.Frame:
        """See ``CarrierCodec``."""
        return packet(SOUND, samples)

    def mark(self, name: str) -> carrier.Frame | None:
        """See ``CarrierCodec``."""
        return None

    def clear(self) -> carrier.Frame | None:
        """See ``CarrierCodec``."""
        return None


class TcpLeg:
    """See ``Leg``. goodbye_s: for Asterisk to take what it has not taken yet when the connection ends."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        asks_next: bool,
        goodbye_s: float = _GOODBYE_S,
    ) -> None:
        self._reader, self._writer = reader, writer
        self.codec = AudioSocketCodec(asks_next=asks_next)
        self._goodbye_s = goodbye_s

    async def frames(self) -> AsyncIterator[carrier.Frame]:
        """See ``Leg``."""
        try:
            while True:
                header = await self._reader.readexactly(_HEADER)
                yield header + await self._reader.readexactly(int.from_bytes(header[1:3], "big"))
        except (asyncio.IncompleteReadError, OSError):  # a machine that is gone is no ConnectionError
            return

    async def send(self, frame: carrier.Frame) -> None:
        """See ``Leg``."""
        try:
            self._writer.write(frame if isinstance(frame, bytes) else frame.encode())
            await self._writer.drain()
        except OSError:
            _log.debug("Asterisk had left already")

    async def close(self, why: carrier.Close = carrier.Close.OVER, reason: str = "") -> None:
        """See ``Leg``. Asterisk hangs up, and is not told why: AudioSocket has no words for that. One that takes
        nothing is not waited for: the call holds a place."""
        if self._writer.is_closing():
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(self._goodbye_s):
                await self.send(packet(HANG_UP))
                self._writer.close()
                await self._writer.wait_closed()
        self._writer.transport.abort()


async def listen(calls: Calls, host: str, port: int, agent: str, *, asks_next: bool) -> asyncio.Server:
    """Take AudioSocket connections, for this agent. asks_next: whether the dialplan can ask what comes next. Raises
    OSError."""

    async def anybody(_: LineStarted) -> Caller:
        return Caller(agent)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await calls.answer(TcpLeg(reader, writer, asks_next=asks_next), anybody)

    return await asyncio.start_server(connected, host, port)
