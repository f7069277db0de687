"""A chat completions server for tests: real sockets, one script a request."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"


@dataclass
class Exchange:
    """One request on its way. connection: number of the connection it came on, from 0."""

    connection: int
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def begin(self) -> None:
        await self.send(HEAD)

    async def piece(self, data: bytes) -> None:
        """A piece of the body, in a chunk of its own."""
        await self.send(b"%x\r\n%s\r\n" % (len(data), data))

    async def event(self, value: Any) -> None:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        await self.piece(f"data: {text}\n\n".encode())

    async def delta(self, finish: str | None = None, **delta: Any) -> None:
        await self.event({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

    async def end(self, usage: dict[str, Any] | None = None) -> None:
        if usage is not None:
            await self.event({"choices": [], "usage": usage})
        await self.event("[DONE]")
        await self.send(b"0\r\n\r\n")

    async def refuse(self, status: int, body: bytes, *headers: str) -> None:
        lines = [f"HTTP/1.1 {status} No", f"content-length: {len(body)}", *headers]
        await self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    async def gone(self) -> None:
        """Wait until the client has closed the connection."""
        with suppress(ConnectionError):
            while await self.reader.read(1024):
                pass

    def hang_up(self) -> None:
        self.writer.transport.abort()


Script = Callable[[Exchange], Awaitable[None]]


@dataclass
class ChatPeer:
    """Plays the scripts in turn, one a request; the last one again and again. A request beyond its script's end leaves
    its connection open for the next. requests: what came, in order."""

    scripts: list[Script]
    requests: list[Exchange] = field(default_factory=list)
    connections: int = 0

    async def __aenter__(self) -> ChatPeer:
        self._faults: list[BaseException] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.url = f"http://{host}:{port}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._faults:
            raise self._faults[0]

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        number, self.connections = self.connections, self.connections + 1
        try:
            while exchange := await _read(number, reader, writer):
                self.requests.append(exchange)
                await self.scripts[min(len(self.requests), len(self.scripts)) - 1](exchange)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        except Exception as fault:
            self._faults.append(fault)
        finally:
            self._tasks.discard(task)
            writer.close()


async def _read(number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Exchange | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode().strip().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    body = await reader.readexactly(int(headers["content-length"]))
    return Exchange(number, first.split()[1], headers, json.loads(body), reader, writer)


def says(*words: str, finish: str = "stop", usage: dict[str, Any] | None = None) -> Script:
    """A script that answers with words."""

    async def script(exchange: Exchange) -> None:
        await exchange.begin()
        await exchange.delta(role="assistant", content="")
        for word in words:
            await exchange.delta(content=word)
        await exchange.delta(finish)
        await exchange.end(usage)

    return script


def deltas(*parts: dict[str, Any], finish: str | None = "stop") -> Script:
    """A script that answers with these deltas."""

    async def script(exchange: Exchange) -> None:
        await exchange.begin()
        for part in parts:
            await exchange.delta(**part)
        await exchange.delta(finish)
        await exchange.end()

    return script


def calls(*pieces: dict[str, Any]) -> dict[str, Any]:
    """A delta with pieces of tool calls."""
    return {"content": None, "tool_calls": list(pieces)}


def call(
    arguments: str | None = None, *, name: str | None = None, index: int | None = 0, id: str | None = None
) -> dict[str, Any]:
    """A piece of a tool call; what is None is left out."""
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    piece = {"index": index, "id": id, "function": function}
    return {key: value for key, value in piece.items() if value is not None}
