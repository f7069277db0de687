"""This server as the hosted provider of another one: settings that send all sessions there, over a line that can be
cut."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import tempfile
import threading
from collections.abc import Coroutine
from typing import Any
from urllib.parse import urlsplit

KEY = "sk-of-the-operator-only"
TOKEN = "an auth token of nobody's account"
PUBLIC = "https://voice.example.org/phones"

_audits = tempfile.TemporaryDirectory(prefix="kammerton-audits-")
_numbers = itertools.count()


def sent_to(url: str, provider: str = "openai", **own: object) -> dict[str, str]:
    """The environment of a server all of whose sessions are served at this Realtime API (``ws://HOST:PORT/v1``)."""
    permit = {"provider": provider, "host": urlsplit(url).netloc, "region": "here", "purpose": "primary"}
    settings = {"url": url, "key": KEY, **own}
    return {
        "KAMMERTON_RESIDENCY__ALLOW_CLOUD": json.dumps([permit]),
        "KAMMERTON_AUDIT__FILE": f"{_audits.name}/{next(_numbers)}",
        **{f"KAMMERTON_CLOUD__{provider.upper()}__{name.upper()}": str(value) for name, value in settings.items()},
    }


class CutLine:
    """A TCP line to a server on this machine, with a thread of its own. heads: the first bytes of each connection, with
    the HTTP request in them."""

    def __init__(self, port: int) -> None:
        self._to = port
        self.heads: list[bytes] = []
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._accept, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def cut(self) -> int:
        """All connections break now; how many."""
        return int(self._run(self._cut()))

    def close(self) -> None:
        """Nothing goes through any more."""
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)
        self._loop.close()

    async def _cut(self) -> int:
        live = [writer for writer in self._writers if not writer.is_closing()]
        for writer in live:
            writer.transport.abort()
        return len(live) // 2

    async def _close(self) -> None:
        self._server.close()
        await self._cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._to)
        self._writers |= {writer, back}
        head = await reader.read(65_536)
        self.heads.append(head)
        back.write(head)
        for source, target in ((reader, back), (there, writer)):
            task = asyncio.create_task(self._pass_on(source, target))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass_on(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65_536):
                target.write(data)
                await target.drain()
        target.close()
