"""MCP servers in a spoken call, with the client's approval, through the official SDK: real hearing and real speech."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2

from models import catalog
from models.audio import rms_dbfs
from models.base import ChatDelta, ChatDone, ChatModel, ChatRequest, TextDelta, ToolCallDelta, Usage
from server.agents.client_servers import ClientServers
from server.core import events as e
from server.core.turns import TurnPolicy
from server.policy.access import Access
from server.policy.egress import Egress
from server.policy.keys import Keys
from server.policy.secrets import Secrets
from server.runtime.admission import Admission
from server.runtime.tools import Toolbox
from server.telemetry.metrics import Metrics
from server.transports.auth import Gate
from server.transports.base import DoorSettings
from server.transports.openai_realtime import router
from tests.agents.mcp_process import listening
from tests.e2e.call import Caller, Turn
from tests.models.speech import speak
from tests.server_process import ROOT
from tests.transports.http_server import serving

PUBLISHED = """
import sys
from mcp_server_time.server import create_server
create_server("UTC").run("streamable-http", port=int(sys.argv[1]))
"""


class Clock:
    """A chat model that chooses the tool for a question with "time" in it, and says what it gave."""

    name = "clock"
    context = None

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatDelta, None]:
        last = request.messages[-1]
        if last.role == "tool":
            found = json.loads(last.text)
            hour, minute = map(int, found["datetime"][11:16].split(":"))
            yield TextDelta(f"It is {hour} hours and {minute} minutes.")
        elif "time" in last.text.lower() and "get_current_time" in [tool.name for tool in request.tools]:
            yield TextDelta("One moment please.")
            yield ToolCallDelta(0, '{"timezone": "Etc/UTC"}', id="call_1", name="get_current_time")
        else:
            yield TextDelta("Pardon?")
        yield ChatDone("stop", Usage(10, 5))

    async def warm(self, request: ChatRequest) -> None: ...
    async def close(self) -> None: ...


@asynccontextmanager
async def line(tmp_path: Path, url: str, llm: ChatModel | None = None) -> AsyncIterator[tuple[Caller, Metrics]]:
    """A caller on a server of the bundled engines, whose client has named this MCP server. llm: instead of theirs."""
    engines = catalog.load(catalog.resolve("tiny", tmp_path))
    chat = llm or engines.llm
    servers = ClientServers(lambda headers: _client(dict(headers)))
    metrics = Metrics("test")
    settings = DoorSettings(
        e.SessionConfig(
            instructions="You are the receptionist of a hair salon.", language="en", context_tokens=chat.context
        ),
        TurnPolicy(),
        (metrics,),
        toolbox=lambda session_id: Toolbox(mcp=servers),
    )
    gate = Gate(Access(Keys(tmp_path / "keys.json", ""), Secrets()), [], lambda reason: None)
    named = {"type": "mcp", "server_label": "published", "server_url": url, "require_approval": "always"}
    try:
        door = router(replace(engines, llm=chat), settings, Admission(2), metrics, gate)
        async with serving(door) as address, Caller(address, {"tools": [named]}) as caller:
            await caller.until("mcp_list_tools.completed")
            yield caller, metrics
    finally:
        for engine in (engines.vad, engines.stt, engines.llm, engines.tts):
            await engine.close()


def _client(headers: dict[str, str]) -> httpx2.AsyncClient:
    return Egress().client(headers=headers)


async def approved(caller: Caller, question: str) -> tuple[Any, Any, str, Turn]:
    """Ask it aloud and approve of the call that comes of it: the request, the call, the answer, and all that was
    heard."""
    since = caller.say(speak(question))
    done = (await caller.until("response.done", since)).response
    assert [item.type for item in done.output if item.type != "message"] == ["mcp_approval_request"], done.output
    request = done.output[-1]
    assert not caller.of("response.mcp_call.in_progress")
    approval = {"type": "mcp_approval_response", "id": "", "approval_request_id": request.id, "approve": True}
    before = len(caller.events)
    await caller.connection.conversation.item.create(item=approval)  # type: ignore[arg-type]
    await caller.until("response.mcp_call.completed", before)
    await caller.until("response.done", before)
    items = [event.item for event in caller.of("conversation.item.done", before)]
    [call] = [item for item in items if item.type == "mcp_call"]
    [answer] = [event.transcript for event in caller.of("response.output_audio_transcript.done", before)]
    assert not caller.of("error")
    return request, call, answer, Turn(caller, since)


async def test_a_published_server_tells_the_time_in_a_spoken_call_that_its_client_approves(tmp_path: Path) -> None:
    with listening(sys.executable, "-c", PUBLISHED) as url:
        async with line(tmp_path, url, Clock()) as (caller, metrics):
            started = datetime.now(UTC)
            request, call, answer, turn = await approved(caller, "What time is it?")
            page = metrics.page()[0].decode()
    assert (request.name, call.name, call.approval_request_id) == ("get_current_time", "get_current_time", request.id)
    said = datetime.fromisoformat(json.loads(call.output)["datetime"])
    assert 0 <= (said - started.replace(microsecond=0, second=0)).total_seconds() < 300
    assert answer == f"It is {said.hour} hours and {said.minute} minutes."
    assert "time" in turn.heard.lower()
    assert -40 < rms_dbfs(turn.pcm) < -10
    assert turn.seconds > 1
    assert 'kammerton_tool_calls_total{outcome="ok"} 1.0' in page


async def test_the_bundled_model_asks_the_weather_server_of_the_example_with_approval(
    tmp_path: Path,
) -> None:
    with listening(sys.executable, str(ROOT / "examples/reception/weather_server.py")) as url:
        async with line(tmp_path, url) as (caller, _):
            request, call, answer, turn = await approved(caller, "How is the weather in Berlin today?")
    assert (request.name, request.server_label) == ("get_weather", "published")
    found = json.loads(call.output)
    # The small transcriber may take one town for another.
    assert found["location"] == json.loads(request.arguments)["location"]
    assert found["condition"] in answer
    assert -40 < rms_dbfs(turn.pcm) < -10
