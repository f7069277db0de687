"""In front of a server: notes which events go each way, and takes TLS where the client speaks nothing else."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from websockets.frames import Frame
from websockets.protocol import Protocol, Side, State

_PIECE = 65_536
_HEAD_END = b"\r\n\r\n"
_COMPRESSION = b"sec-websocket-extensions:"


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for localhost, and its key."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command, *names], check=True, capture_output=True, timeout=240)
    return certificate, key


@dataclass(frozen=True)
class Events:
    """Types of the events that a client has sent, and of those that the server has sent to it."""

    sent: set[str] = field(default_factory=set)
    delivered: set[str] = field(default_factory=set)


@contextmanager
def in_front_of(url: str, events: Events, certificate: tuple[Path, Path] | None = None) -> Iterator[str]:
    """Passes what comes in on to ``url``, and notes it in ``events``; yields the new URL.

    certificate: with its key, for TLS.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    listening = asyncio.run_coroutine_threadsafe(_listen(url, events, certificate), loop).result(30)
    yield f"{'https' if certificate else 'http'}://localhost:{listening.sockets[0].getsockname()[1]}"
    asyncio.run_coroutine_threadsafe(_close(listening), loop).result(30)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


class _Overheard:
    """One direction of a connection. types: where the types of its events go. reader: knows that side's frames."""

    def __init__(self, types: set[str], reader: Protocol) -> None:
        self._types = types
        self._reader = reader
        self._head: bytes | None = b""
        self._framed = False
        self._text = b""

    def passed(self, data: bytes) -> bytes:
        """What of ``data`` goes on now. Nobody is offered compression, so that it can be read here."""
        if self._head is None:
            self._read(data)
            return data
        self._head += data
        head, found, rest = self._head.partition(_HEAD_END)
        if not found:
            return b""
        self._head = None
        if b"upgrade: websocket" in head.lower():
            self._framed = True
            head = b"\r\n".join(line for line in head.split(b"\r\n") if not line.lower().startswith(_COMPRESSION))
            self._read(rest)
        return head + found + rest

    def _read(self, data: bytes) -> None:
        if not self._framed:
            return
        self._reader.receive_data(data)
        for frame in self._reader.events_received():
            assert isinstance(frame, Frame)
            self._text += frame.data if frame.opcode < 8 else b""
            if frame.opcode < 8 and frame.fin:
                self._types.add(json.loads(self._text)["type"])
                self._text = b""


async def _listen(url: str, events: Events, certificate: tuple[Path, Path] | None) -> asyncio.Server:
    target = urlsplit(url)
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        plain_reader, plain_writer = await asyncio.open_connection(target.hostname, target.port)
        there = _Overheard(events.sent, Protocol(Side.SERVER, state=State.OPEN, max_size=None))
        back = _Overheard(events.delivered, Protocol(Side.CLIENT, state=State.OPEN, max_size=None))
        await asyncio.gather(_pass_on(reader, plain_writer, there.passed), _pass_on(plain_reader, writer, back.passed))

    return await asyncio.start_server(connected, "localhost", 0, ssl=context)


async def _pass_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, passed: Callable[[bytes], bytes]
) -> None:
    try:
        while data := await reader.read(_PIECE):
            writer.write(passed(data))
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def _close(listening: asyncio.Server) -> None:
    listening.close()
    await listening.wait_closed()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
