"""Many callers who listen and say nothing: `python -m benchmarks.idle --sessions 200`.

Each sends 20 ms of silence 50 times a second, with voice activity detection on. Now and then one of them asks something
that is answered at once, behind the audio it has just sent: how long that answer takes is how long an append waits.
The load is written as ready-made WebSocket frames, so that the measuring costs little beside the measured.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
import random
import struct
import time

import numpy as np
from rich.console import Console

from benchmarks.process import Server, machine, serve

_console = Console()
_PIECE_S = 0.02
_APPEND = b'{"type":"input_audio_buffer.append","audio":"' + base64.b64encode(bytes(960)) + b'"}'
_ASK = b'{"type":"conversation.item.retrieve","item_id":"item_nobody"}'
_ANSWER = b"item_retrieve_invalid_item_id"


def frame(payload: bytes) -> bytes:
    """A masked text frame (RFC 6455 §5.2); the mask is zero, so that the payload needs no work."""
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + struct.pack(">H", size)
    return b"\x81" + length + bytes(4) + payload


_APPEND_FRAME, _ASK_FRAME = frame(_APPEND), frame(_ASK)


class Listener(asyncio.Protocol):
    """One silent caller. waits: seconds that each of its questions took."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._asked = 0.0
        self.waits: list[float] = []
        self.open = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        key = base64.b64encode(os.urandom(16)).decode()
        transport.write(
            f"GET /v1/realtime HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        if not self.open.done() and b"session.created" in data:
            self.open.set_result(None)
        if self._asked and _ANSWER in data:
            self.waits.append(time.perf_counter() - self._asked)
            self._asked = 0.0

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.open.done():
            self.open.set_exception(exc or ConnectionError("the server hung up"))

    async def listen(self, seconds: float) -> None:
        """Send silence in real time, and a question about once a second."""
        loop = asyncio.get_running_loop()
        due = loop.time() + random.random() * _PIECE_S
        end = due + seconds
        while due < end:
            await asyncio.sleep(due - loop.time())
            self._transport.write(_APPEND_FRAME)
            if not self._asked and random.random() < _PIECE_S:
                self._asked = time.perf_counter()
                self._transport.write(_ASK_FRAME)
            due += _PIECE_S

    def close(self) -> None:
        self._transport.close()


async def measure(server: Server, sessions: int, seconds: float) -> tuple[np.ndarray, float, float]:
    """Waits in ms, CPU of the server in cores, and its memory in MB, with all of them listening."""
    loop = asyncio.get_running_loop()
    listeners: list[Listener] = []
    for _ in range(sessions):
        _, listener = await loop.create_connection(lambda: Listener(server.port), "127.0.0.1", server.port)
        await listener.open
        listeners.append(listener)
    await asyncio.gather(*(listener.listen(3) for listener in listeners))
    for listener in listeners:
        listener.waits.clear()
    before, started = server.cpu_s(), time.perf_counter()
    await asyncio.gather(*(listener.listen(seconds) for listener in listeners))
    cores = (server.cpu_s() - before) / (time.perf_counter() - started)
    memory = server.memory_mb()
    for listener in listeners:
        listener.close()
    return np.array([wait for listener in listeners for wait in listener.waits]) * 1000, cores, memory


async def main(sessions: int, seconds: float) -> None:
    with serve(KAMMERTON_SERVER__MAX_SESSIONS=str(sessions)) as server:
        alone = server.memory_mb()
        waits, cores, memory = await measure(server, sessions, seconds)
    p50, p95, p99 = np.percentile(waits, [50, 95, 99])
    _console.print(f"Machine: {machine()}. {time.strftime('%Y-%m-%d')}.\n", soft_wrap=True)
    _console.print("| silent sessions | append waits p50 | p95 | p99 | CPU | memory a session |")
    _console.print("| --- | --- | --- | --- | --- | --- |")
    share = f"{cores:.2f} cores"
    weight = (memory - alone) / sessions
    row = f"| {sessions} | {p50:.1f} ms | {p95:.1f} ms | {p99:.1f} ms | {share} | {weight:.2f} MB |"
    _console.print(row, soft_wrap=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=20)
    arguments = parser.parse_args()
    asyncio.run(main(arguments.sessions, arguments.seconds))
