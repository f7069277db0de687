"""A WebSocket client that does only what it is told: any frame, in any piece, and no reading unless asked."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import struct
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def frame(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    """A frame as a client sends it. Its mask is zero, which is allowed and saves the work."""
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", fin << 7 | opcode, 0x80 | size)
    elif size < 65_536:
        head = struct.pack("!BBH", fin << 7 | opcode, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", fin << 7 | opcode, 0x80 | 127, size)
    return head + b"\0\0\0\0" + payload


def text(kind: str, **fields: Any) -> bytes:
    """A frame with an event."""
    return frame(TEXT, json.dumps({"type": kind, **fields}).encode())


class RawSocket:
    """``async with`` it. ``receive_buffer``: bytes that the kernel takes for a client that does not read."""

    def __init__(self, base_url: str, path: str = "/v1/realtime", *, receive_buffer: int | None = None) -> None:
        url = urlsplit(base_url)
        self._address = url.hostname or "", url.port or 80
        self._path = path
        self._receive_buffer = receive_buffer
        self._read = bytearray()
        self._sending = asyncio.Lock()

    async def __aenter__(self) -> RawSocket:
        self.socket = socket.socket()
        self.socket.setblocking(False)
        if self._receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(self.socket, self._address)
        key = base64.b64encode(os.urandom(16)).decode()
        lines = (
            f"GET {self._path} HTTP/1.1",
            f"Host: {self._address[0]}:{self._address[1]}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {key}",
        )
        await self.send("\r\n".join((*lines, "", "")).encode())
        while b"\r\n\r\n" not in self._read:
            await self._more()
        head, _, rest = bytes(self._read).partition(b"\r\n\r\n")
        self.status = int(head.split()[1])
        self._read = bytearray(rest)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    async def send(self, data: bytes, timeout_s: float = 60) -> None:
        """All of it. Raises OSError when the server has hung up, TimeoutError when it takes no more."""
        async with asyncio.timeout(timeout_s), self._sending:
            await asyncio.get_running_loop().sock_sendall(self.socket, data)

    async def next(self, timeout_s: float = 60) -> tuple[int, bytes]:
        """Opcode and payload of the server's next frame; pings are answered on the way. Raises ConnectionError at the
        end."""
        while True:
            opcode, payload = await self.anything(timeout_s)
            if opcode != PING:
                return opcode, payload
            await self.send(frame(PONG, payload))

    async def anything(self, timeout_s: float = 60) -> tuple[int, bytes]:
        """The server's next frame, whatever it is; nothing is answered."""
        async with asyncio.timeout(timeout_s):
            await self._have(2)
            opcode, size = self._read[0] & 15, self._read[1] & 127
            start = 2
            if size > 125:
                start = 4 if size == 126 else 10
                await self._have(start)
                size = int.from_bytes(self._read[2:start])
            await self._have(start + size)
        payload = bytes(self._read[start : start + size])
        del self._read[: start + size]
        return opcode, payload

    async def event(self, kind: str | None = None, timeout_s: float = 60) -> Any:
        """The server's next event, or its next of this type."""
        while True:
            opcode, payload = await self.next(timeout_s)
            if opcode == TEXT:
                event = json.loads(payload)
                if kind is None or event["type"] == kind:
                    return event

    async def closed(self, timeout_s: float = 60) -> int | None:
        """Read to the end; the close code, None if the connection was cut without one."""
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    opcode, payload = await self.next(timeout_s)
                    if opcode == CLOSE:
                        return int.from_bytes(payload[:2])
        except ConnectionError:
            return None

    def reset(self) -> None:
        """Vanish: no goodbye, and what was on its way is thrown away."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    async def _have(self, size: int) -> None:
        while len(self._read) < size:
            await self._more()

    async def _more(self) -> None:
        data = await asyncio.get_running_loop().sock_recv(self.socket, 1 << 20)
        if not data:
            raise ConnectionError("the server has hung up")
        self._read += data
