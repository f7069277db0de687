"""With the OpenAI SDK for Python, what a call that goes well has no need of: a buffer cleared, a caller who says
nothing, words that are lost, a key that runs out, tools of other servers."""

from __future__ import annotations

import asyncio
import base64
from contextlib import asynccontextmanager
from typing import Any

from openai import AsyncOpenAI
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter, ValidationError
from script import GREETING, INSTRUCTIONS, Client, Job, read_job, run

_EVENTS: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)
_FAILED = "conversation.item.input_audio_transcription.failed"


class Edges(Client):
    """Counts what it receives, and keeps the last event of each type."""

    connection: Any

    def __init__(self, job: Job) -> None:
        super().__init__("openai", job)
        self.last: dict[str, Any] = {}

    async def send(self, pcm: bytes) -> None:
        await self.connection.input_audio_buffer.append(audio=base64.b64encode(pcm).decode())

    @asynccontextmanager
    async def connected(self, url: str, key: str, **hearing: Any) -> Any:
        """With a session that hears so, and a microphone."""
        client = AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
        async with client, client.realtime.connect(model="kammerton") as self.connection:
            listening = asyncio.create_task(self._listen())
            session = {"type": "realtime", "instructions": INSTRUCTIONS, "audio": {"input": hearing}}
            await self.connection.session.update(session=session)
            async with self.microphone():
                yield
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _listen(self) -> None:
        async for event in self.connection:
            self.report.received[event.type] += 1
            self.last[event.type] = event
            try:
                _EVENTS.validate_json(event.to_json(exclude_unset=True))
            except ValidationError as error:
                self.report.dropped.append(str(error))
            await self.noted()

    async def got(self, kind: str, count: int = 1) -> Any:
        """The last event of the type, once there have been so many."""
        await self.until(lambda: self.report.received[kind] >= count, kind)
        return self.last[kind]


async def main() -> None:
    edges = Edges(read_job())
    silence = {"type": "server_vad", "idle_timeout_ms": 5000}
    async with edges.connected(edges.job.url, "sk-test", turn_detection=silence):
        await edges.connection.input_audio_buffer.clear()
        await edges.got("input_audio_buffer.cleared")
        await edges.connection.output_audio_buffer.clear()
        edges.report.facts["refused"] = (await edges.got("error")).error.code
        content = [{"type": "input_text", "text": GREETING}]
        await edges.connection.conversation.item.create(item={"type": "message", "role": "user", "content": content})
        await edges.connection.response.create()
        timeout = await edges.got("input_audio_buffer.timeout_triggered")
        edges.report.facts["silent_ms"] = timeout.audio_end_ms - timeout.audio_start_ms
        edges.report.facts["asked_back"] = (await edges.got("response.done", 2)).response.status
    fails = {"model": "whisper-1", "prompt": "fail"}
    async with edges.connected(edges.job.troubled["url"], edges.job.troubled["key"], transcription=fails):
        edges.say("question")
        edges.report.facts["failed"] = (await edges.got(_FAILED)).error.message
        done = (await edges.got("response.done", 3)).response
        edges.report.facts["response"] = [done.status, done.status_details.error.code]
        limits = (await edges.got("rate_limits.updated")).rate_limits
        edges.report.facts["limits"] = [[limit.name, limit.limit, limit.remaining] for limit in limits]
    await ask_others(edges)
    edges.report.print()


async def ask_others(edges: Edges) -> None:
    """Tools of MCP servers: one that answers, one that fails, and a server that is not there."""
    troubled = edges.job.troubled
    async with edges.connected(troubled["url"], troubled["key"]):
        for tool, url in (("secret", troubled["mcp"]), ("fail", troubled["mcp"]), ("none", "http://127.0.0.1:9/mcp")):
            server = {"type": "mcp", "server_label": tool, "server_url": url, "require_approval": "never"}
            session = {"type": "realtime", "tools": [{**server, "allowed_tools": [tool]}]}
            await edges.connection.session.update(session=session)
            if tool == "none":
                await edges.got("mcp_list_tools.failed")
                continue
            await edges.got("mcp_list_tools.completed", 1 if tool == "secret" else 2)
            before = edges.report.received["response.done"]
            await edges.connection.response.create(response={"tool_choice": "required", "output_modalities": ["text"]})
            ended = "completed" if tool == "secret" else "failed"
            await edges.got(f"response.mcp_call.{ended}")
            # The call is one response, what is said of it another.
            await edges.got("response.done", before + 2)


run(main())
