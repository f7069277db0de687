"""A provider that says what a test has it say, and a session that is served there: no server, no models."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import count
from typing import Any, cast

import orjson
from websockets.asyncio.server import Request, Response, ServerConnection, serve

from server.cloud.link import Pool
from server.cloud.openai import OpenAIDialect, Service
from server.cloud.remote import RemoteRunner
from server.cloud.uplink import Patience
from server.core import events as e
from server.core.turns import TurnPolicy
from server.hosted import dialling
from server.policy.egress import Egress
from server.runtime.live import SessionPlan
from server.runtime.runner import Engines
from server.runtime.tools import Toolbox
from tests.cloud.provider import KEY
from tests.runtime.session import Client

SECOND = b"\0\0" * 24_000
"""Silence of a second, in 16 bits at 24 kHz."""

QUICK = Patience((0.0, 0.0, 0.0))
SERVICE = Service("openai", "wss://api.openai.com/v1", KEY, "gpt-realtime")


class Connection:
    """One client of the provider. received: its events so far."""

    def __init__(self, socket: ServerConnection) -> None:
        self._socket = socket
        self.received: list[dict[str, Any]] = []
        self._changed = asyncio.Condition()

    async def say(self, kind: str, **fields: Any) -> None:
        await self._socket.send(orjson.dumps({"type": kind, **fields}).decode())

    async def close(self, code: int = 1011, reason: str = "") -> None:
        await self._socket.close(code, reason)

    async def until(self, kind: str, number: int = 1) -> dict[str, Any]:
        """The event of this type with this number, counted from 1."""
        async with asyncio.timeout(60), self._changed:
            await self._changed.wait_for(lambda: len(self.of(kind)) >= number)
        return self.of(kind)[number - 1]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.received if event["type"] == kind]

    async def take(self, frame: str | bytes, answers: bool) -> None:
        event = orjson.loads(frame)
        async with self._changed:
            self.received.append(event)
            self._changed.notify_all()
        match event["type"]:
            case "session.update" if answers:
                await self.say("session.updated", session=event["session"])
            case "conversation.item.create" if answers:
                item = {"status": "completed", **event["item"]}
                await self.say("conversation.item.added", item=item, previous_item_id=None)
                await self.say("conversation.item.done", item=item, previous_item_id=None)
            case "conversation.item.truncate" if answers:
                where = {name: event[name] for name in ("item_id", "content_index", "audio_end_ms")}
                await self.say("conversation.item.truncated", **where)

    async def respond(self, text: str, number: int = 1, *, done: bool = True, ms: int = 1000) -> str:
        """A spoken response, to its end or not; the id of its item."""
        response, item_id = _response(number, "in_progress"), f"item_{number}"
        where = {"response_id": response["id"], "item_id": item_id, "output_index": 0, "content_index": 0}
        item = {"id": item_id, "type": "message", "role": "assistant", "status": "in_progress", "content": []}
        said = {**item, "status": "completed", "content": [{"type": "output_audio", "transcript": text}]}
        await self.say("response.created", response=response)
        await self.say("response.output_item.added", response_id=response["id"], output_index=0, item=item)
        await self.say("conversation.item.added", item=item, previous_item_id=None)
        await self.say("response.content_part.added", **where, part={"type": "audio", "transcript": ""})
        await self.say("response.output_audio_transcript.delta", **where, delta=text)
        await self.say("response.output_audio.delta", **where, delta="AAAA" * (ms * 16))
        if done:
            part = {"type": "audio", "transcript": text}
            await self.say("response.output_audio.done", **where)
            await self.say("response.output_audio_transcript.done", **where, transcript=text)
            await self.say("response.content_part.done", **where, part=part)
            await self.say("conversation.item.done", item=said, previous_item_id=None)
            await self.say("response.output_item.done", response_id=response["id"], output_index=0, item=said)
            await self.say("response.done", response={**response, "status": "completed", "output": [said]})
        return item_id

    async def call(self, name: str, arguments: str, number: int = 1, also: Sequence[dict[str, Any]] = ()) -> None:
        """A response that is a function call. also: what else it holds."""
        response, item_id = _response(number, "in_progress"), f"item_{number}"
        item = {"id": item_id, "type": "function_call", "name": name, "call_id": f"call_{number}"}
        called = {**item, "status": "completed", "arguments": arguments}
        await self.say("response.created", response=response)
        await self.say("response.output_item.added", response_id=response["id"], output_index=0, item=item)
        await self.say("conversation.item.added", item=item, previous_item_id=None)
        await self.say("conversation.item.done", item=called, previous_item_id=None)
        await self.say("response.output_item.done", response_id=response["id"], output_index=0, item=called)
        await self.say("response.done", response={**response, "status": "completed", "output": [*also, called]})


def _response(number: int, status: str) -> dict[str, Any]:
    return {"object": "realtime.response", "id": f"resp_{number}", "status": status, "conversation_id": "conv_there"}


class Provider:
    """refuses: HTTP status of the handshake, or None. lets_in: handshakes are waited for until it is set. answers:
    configuration and items are acknowledged."""

    def __init__(self) -> None:
        self.connections: list[Connection] = []
        self.attempts = 0
        self.refuses: HTTPStatus | None = None
        self.greeting: Callable[[Connection], Any] | None = None
        self.answers = True
        self.lets_in = asyncio.Event()
        self.lets_in.set()
        self.url = ""
        self._came = asyncio.Condition()

    async def connection(self, number: int = 1) -> Connection:
        """The one with this number, counted from 1."""
        async with asyncio.timeout(60), self._came:
            await self._came.wait_for(lambda: len(self.connections) >= number)
        return self.connections[number - 1]

    async def serve(self, socket: ServerConnection) -> None:
        connection = Connection(socket)
        async with self._came:
            self.connections.append(connection)
            self._came.notify_all()
        if self.greeting is not None:
            await self.greeting(connection)
        else:
            await connection.say("session.created", session={})
        async for frame in socket:
            await connection.take(frame, self.answers)

    async def asked(self, number: int) -> None:
        """Until so many handshakes were asked for."""
        async with asyncio.timeout(20), self._came:
            await self._came.wait_for(lambda: self.attempts >= number)

    async def admit(self, socket: ServerConnection, _: Request) -> Response | None:
        async with self._came:
            self.attempts += 1
            self._came.notify_all()
        await self.lets_in.wait()
        if self.refuses is None:
            return None
        response = socket.respond(self.refuses, f"no, not with {KEY}\n")
        response.headers["Location"] = self.url
        return response


class Door(Client):
    """A phone: it plays what is said. cleared: items whose playout was thrown away. stages: of the answer that ended
    last, with their seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.cleared: list[str] = []
        self.stages: dict[str, float] = {}

    def observe_stage(self, stage: str, seconds: float) -> None:
        self.stages[stage] = seconds

    async def clear_playout(self, item_id: str) -> None:
        self.cleared.append(item_id)

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    async def until_number(self, kind: type[Any], number: int) -> Any:
        async with asyncio.timeout(60), self._told:
            await self._told.wait_for(lambda: len(self.of(kind)) >= number)
        return self.of(kind)[number - 1]


@dataclass
class Call:
    """A session under way. task: its ``run``."""

    runner: RemoteRunner
    door: Door
    task: asyncio.Task[None]
    provider: Provider
    inputs: list[e.Input | None] = field(default_factory=list)


@asynccontextmanager
async def providing() -> AsyncIterator[Provider]:
    provider = Provider()
    async with serve(provider.serve, "127.0.0.1", 0, process_request=provider.admit) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        provider.url = f"ws://127.0.0.1:{port}/v1"
        yield provider


def session_over(
    pool: Pool,
    door: Door,
    config: e.SessionConfig | None = None,
    toolbox: Toolbox | None = None,
    *,
    marks: bool = False,
    service: Service = SERVICE,
    patience: Patience = QUICK,
    clock: Callable[[], float] = time.monotonic,
) -> RemoteRunner:
    """A session whose provider is reached over this pool."""
    numbers = count()
    plan = SessionPlan(
        "sess_1",
        config or e.SessionConfig(instructions="Be brief.", transcription=e.InputTranscription("whisper-1")),
        TurnPolicy(),
        cast(Engines, None),
        door,
        lambda prefix: f"{prefix}_own{next(numbers)}",
        toolbox=toolbox or Toolbox(),
        plays=True,
        marks=marks,
    )
    dialect = OpenAIDialect(service, "conv_1")
    return RemoteRunner(plan, door, "openai", dialect, pool, patience=patience, clock=clock)


@asynccontextmanager
async def calling(
    provider: Provider,
    config: e.SessionConfig | None = None,
    *,
    toolbox: Toolbox | None = None,
    marks: bool = False,
    session_s: float = 3300.0,
    spares: int = 0,
    patience: Patience = QUICK,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[Call]:
    """A call that the provider serves."""
    door = Door()
    service = Service("openai", provider.url, KEY, "gpt-realtime", max_session_s=session_s)
    pool = Pool(dialling(Egress()), spares)
    runner = session_over(pool, door, config, toolbox, marks=marks, service=service, patience=patience, clock=clock)
    task = asyncio.create_task(runner.run())
    try:
        yield Call(runner, door, task, provider)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await pool.close()


def typed(text: str, event_id: str | None = None) -> e.CreateItem:
    content = (e.ContentPart("input_text", text),)
    return e.CreateItem(event_id, e.Item("", e.ItemKind.MESSAGE, role="user", content=content), None)


async def refuse(there: Connection, number: int = 1) -> None:
    """A ``response.create`` comes while a response is under way."""
    asked = await there.until("response.create", number)
    busy = {"code": "conversation_already_has_active_response", "message": "Busy.", "event_id": asked["event_id"]}
    await there.say("error", error=busy)
