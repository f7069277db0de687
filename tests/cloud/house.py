"""A server, the process of its chat model, and what happens when that is killed."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tests.cloud.provider import KEY
from tests.e2e.call import Caller
from tests.server_process import Server, start, stop

FAILURES = 3
"""After so many in a row the engines count as ill."""


class House:
    """Started, until ``close``. environment: of the server that callers talk to."""

    def __init__(self, url: str, permits: list[dict[str, str]], **environment: str) -> None:
        """url: of the hosted provider. permits: for residency.allow_cloud."""
        self.model = start()
        cloud = {
            "KAMMERTON_CLOUD__OPENAI__URL": url,
            "KAMMERTON_CLOUD__OPENAI__KEY": KEY,
            "KAMMERTON_RESIDENCY__ALLOW_CLOUD": json.dumps(permits) if permits else "",
        }
        try:
            self.server = start("tests.cloud.mortal_server", CHAT_MODEL=self.model.base_url, **{**cloud, **environment})
        except BaseException:
            stop(self.model)
            raise

    def close(self) -> None:
        """Both processes end."""
        self.kill_model()
        assert stop(self.server) == 0

    def kill_model(self) -> None:
        """The engine dies without a word."""
        if self.model.process.poll() is None:
            self.model.process.kill()
            self.model.process.wait(30)
            self.model.drain.join(30)
            assert self.model.process.stderr is not None
            self.model.process.stderr.close()

    async def ready(self) -> bool:
        """What /readyz says."""
        status, _ = await asyncio.to_thread(self.server.get, "/readyz")
        return status == 200

    def metric(self, line: str) -> float:
        """The value behind this name and these labels; 0 if there is none."""
        _, page = self.server.get("/metrics")
        values = [entry.split()[-1] for entry in page.splitlines() if entry.startswith(line + " ")]
        return float(values[0]) if values else 0.0


async def typed(caller: Caller, text: str = "Are you a real person?") -> Any:
    """A question in writing; its response, done."""
    since = len(caller.events)
    content: Any = [{"type": "input_text", "text": text}]
    await caller.connection.conversation.item.create(item={"type": "message", "role": "user", "content": content})
    await caller.connection.response.create()
    return (await caller.until("response.done", since)).response


async def fail(server: Server) -> None:
    """A session that goes on asking, and gets no answer."""
    async with server.caller(output_modalities=["text"]) as caller:
        for _ in range(FAILURES):
            response = await typed(caller)
            assert response.status == "failed", response
