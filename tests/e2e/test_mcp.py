"""A real MCP server behind a session: named, listed, called with and without approval, through the official SDK."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import AsyncOpenAI

from models.base import ToolCallDelta
from models.catalog import BUNDLED
from models.vad.silero import SileroVad
from server.agents.client_servers import ClientServers
from server.core import events as e
from server.core.turns import TurnPolicy
from server.policy.access import Access
from server.policy.egress import Egress
from server.policy.keys import Keys
from server.policy.secrets import Secrets
from server.runtime.admission import Admission
from server.runtime.tools import McpConnector, Toolbox
from server.telemetry.metrics import Metrics
from server.transports.auth import Gate
from server.transports.base import DoorSettings
from server.transports.openai_realtime import router
from tests.agents.mcp_process import listening
from tests.agents.test_calls_of_agents import write
from tests.agents.test_library import BOOKING, ROUTER, TOOLS, library
from tests.runtime.engines import ScriptedVoice
from tests.runtime.session import Engines, NoEar
from tests.runtime.test_tools_in_calls import Receptionist
from tests.server_process import start, stop
from tests.transports.http_server import serving

WEATHER = ToolCallDelta(0, '{"location": "Berlin"}', id="call_1", name="get_weather")


def _client(headers: Mapping[str, str]) -> httpx2.AsyncClient:
    return Egress().client(headers=headers)


@pytest.fixture(scope="module")
def url() -> Any:
    with listening() as address:
        yield address


class Client:
    """The SDK's connection; ``events`` are all that came."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.events: list[Any] = []

    async def until(self, kind: str) -> Any:
        """The next event of this type."""
        while True:
            event = await self.connection.recv()
            self.events.append(event)
            if event.type == kind:
                return event

    def types(self, *parts: str) -> list[str]:
        """Types of the events so far that hold one of these words."""
        return [event.type for event in self.events if any(part in event.type for part in parts)]


@asynccontextmanager
async def session(
    tmp_path: Path, connector: McpConnector | None, *answers: list[Any], folder: Path | None = None
) -> AsyncIterator[Client]:
    """folder: of agents, whose router answers."""
    chat = Receptionist(*answers)
    engines = Engines(chat, SileroVad.load(BUNDLED / "vad/silero_vad.onnx"), ScriptedVoice(), NoEar())  # type: ignore[arg-type]
    config = e.SessionConfig(modality="text", turn_detection=None)
    agents = library(folder, mcp=connector) if folder else None
    settings = DoorSettings(config, TurnPolicy(), agents=agents, toolbox=lambda session_id: Toolbox(mcp=connector))
    gate = Gate(Access(Keys(tmp_path / "keys.json", ""), Secrets()), [], lambda reason: None)
    door = router(engines, settings, Admission(1), Metrics("test"), gate)
    async with (
        serving(door) as address,
        AsyncOpenAI(base_url=f"{address}/v1", api_key="sk-test", max_retries=0) as client,
        client.realtime.connect(model="router" if folder else "kammerton") as connection,
    ):
        yield Client(connection)


def tools(url: str, **more: Any) -> Any:
    return {"type": "realtime", "tools": [{"type": "mcp", "server_label": "weather", "server_url": url, **more}]}


async def test_tools_are_listed_and_called_inside_the_response(tmp_path: Path, url: str) -> None:
    async with session(tmp_path, ClientServers(_client), [WEATHER], ["It is sunny."]) as client:
        wanted = tools(url, require_approval="never", allowed_tools=["get_weather"])
        await client.connection.session.update(session=wanted)
        await client.until("mcp_list_tools.completed")
        listed = next(event.item for event in client.events if event.type == "conversation.item.done")
        assert [tool.name for tool in listed.tools] == ["get_weather"]
        assert client.types("mcp", "item") == [
            "mcp_list_tools.in_progress",
            "conversation.item.added",
            "conversation.item.done",
            "mcp_list_tools.completed",
        ]
        client.events.clear()
        await client.connection.response.create()
        first = await client.until("response.done")
        assert client.types("mcp", "output_item") == [
            "response.output_item.added",
            "response.mcp_call_arguments.delta",
            "response.mcp_call_arguments.done",
            "response.mcp_call.in_progress",
            "response.mcp_call.completed",
            "response.output_item.done",
        ]
        (called,) = first.response.output
        assert (called.type, called.server_label, called.name) == ("mcp_call", "weather", "get_weather")
        assert json.loads(called.output)["condition"] == "sunny"
        second = await client.until("response.done")
        assert second.response.output[0].content[0].text == "It is sunny."


async def test_the_operator_decides_whether_clients_may_name_servers(url: str) -> None:
    server = start(KAMMERTON_EGRESS__CLIENT_MCP="true")
    try:
        async with (
            AsyncOpenAI(base_url=f"{server.base_url}/v1", api_key="sk-test", max_retries=0) as sdk,
            sdk.realtime.connect(model="kammerton") as connection,
        ):
            client = Client(connection)
            await connection.session.update(session=tools(url))
            await client.until("mcp_list_tools.completed")
    finally:
        assert stop(server) == 0


async def test_a_call_waits_for_approval(tmp_path: Path, url: str) -> None:
    async with session(tmp_path, ClientServers(_client), [WEATHER], ["It is sunny."]) as client:
        await client.connection.session.update(session=tools(url))
        await client.until("mcp_list_tools.completed")
        await client.connection.response.create()
        (request,) = (await client.until("response.done")).response.output
        assert (request.type, request.name) == ("mcp_approval_request", "get_weather")
        approval = {"type": "mcp_approval_response", "id": "", "approval_request_id": request.id, "approve": True}
        await client.connection.conversation.item.create(item=approval)  # type: ignore[arg-type]
        await client.until("response.mcp_call.completed")
        ran = (await client.until("conversation.item.done")).item
        assert json.loads(ran.output)["location"] == "Berlin"
        done = await client.until("response.done")
        assert done.response.output[0].content[0].text == "It is sunny."


async def test_only_what_may_change_something_waits_for_approval(tmp_path: Path, url: str) -> None:
    say = ToolCallDelta(0, '{"text": "hello"}', id="call_2", name="say")
    async with session(tmp_path, ClientServers(_client), [WEATHER], [say], ["Done."]) as client:
        await client.connection.session.update(session=tools(url, require_approval={"never": {"read_only": True}}))
        await client.until("mcp_list_tools.completed")
        await client.connection.response.create()
        made = [(await client.until("response.done")).response.output[0].type for _ in range(2)]
        assert made == ["mcp_call", "mcp_approval_request"]


async def test_calls_of_one_response_run_at_the_same_time(tmp_path: Path, url: str) -> None:
    met = [
        ToolCallDelta(at, f'{{"name": "{name}"}}', id=f"c{at}", name="meet") for at, name in enumerate(("Ann", "Bob"))
    ]
    async with session(tmp_path, ClientServers(_client), met, ["You have met."]) as client:
        await client.connection.session.update(session=tools(url, require_approval="never"))
        await client.until("mcp_list_tools.completed")
        client.events.clear()
        await client.connection.response.create()
        done = (await client.until("response.done")).response
        assert [json.loads(item.output)["result"] for item in done.output] == ["Ann has met 1", "Bob has met 1"]
        assert client.types("mcp_call.", "output_item") == 2 * [
            "response.output_item.added",
            "response.mcp_call.in_progress",
            "response.mcp_call.completed",
            "response.output_item.done",
        ]
        assert (await client.until("response.done")).response.output[0].content[0].text == "You have met."


QUIET = ROUTER.replace("greeting", "# greeting").replace("disclosure", "# disclosure")
BUSY = BOOKING.replace("a_turn = 2", "a_turn = 9")
OPEN_DOOR = {"type": "function", "name": "open_door", "parameters": {"type": "object", "properties": {}}}


def _calls(*named: tuple[str, str]) -> list[ToolCallDelta]:
    return [ToolCallDelta(at, arguments, id=name, name=name) for at, (name, arguments) in enumerate(named)]


async def test_an_agents_tools_the_clients_functions_and_its_mcp_servers_are_used_beside_each_other(
    tmp_path: Path, url: str
) -> None:
    folder = write(tmp_path, QUIET, BUSY)
    say = ("say", '{"text": "hello"}')
    answers: list[list[Any]] = [
        _calls(say, ("hand_over_to_booking", '{"service": "haircut"}')),
        _calls(("get_price", '{"service": "haircut"}'), ("say", '{"text": "again"}'), ("open_door", "{}")),
        ["It is 25 euros, and the door is open."],
    ]
    async with session(folder, ClientServers(_client), *answers, folder=folder) as client:
        connection = client.connection
        wanted = tools(url, require_approval="never", allowed_tools=["say"])
        wanted["tools"].append(OPEN_DOOR)
        await connection.session.update(session=wanted)
        await client.until("mcp_list_tools.completed")
        await connection.response.create()
        handed = (await client.until("response.done")).response
        assert [item.type for item in handed.output] == ["mcp_call", "function_call"]
        both = (await client.until("response.done")).response
        assert [(item.type, item.name) for item in both.output] == [
            ("function_call", "get_price"),
            ("mcp_call", "say"),
            ("function_call", "open_door"),
        ]
        result = {"type": "function_call_output", "call_id": both.output[2].call_id, "output": '{"open": true}'}
        await connection.conversation.item.create(item=result)
        await connection.response.create()
        told = (await client.until("response.done")).response
        assert told.output[0].content[0].text == "It is 25 euros, and the door is open."
        outputs = {e.item.call_id: e.item.output for e in client.events if _is_output(e)}
        assert outputs["get_price"] == "25"
        assert outputs[both.output[2].call_id] == '{"open": true}'


def _is_output(event: Any) -> bool:
    return event.type == "conversation.item.done" and event.item.type == "function_call_output"


async def test_an_mcp_tool_is_not_taken_for_an_agents_tool_of_its_name(tmp_path: Path, url: str) -> None:
    write(tmp_path, QUIET, BUSY)
    (tmp_path / "tools.py").write_text(TOOLS.replace("get_price", "say").replace("service", "text"))
    say = ("say", '{"text": "hello"}')
    answers: list[list[Any]] = [
        _calls(say),
        _calls(("hand_over_to_booking", '{"service": "x"}')),
        _calls(say),
        ["Yes."],
    ]
    async with session(tmp_path, ClientServers(_client), *answers, folder=tmp_path) as client:
        await client.connection.session.update(session=tools(url, require_approval="never", allowed_tools=["say"]))
        await client.until("mcp_list_tools.completed")
        await client.connection.response.create()
        made = [(await client.until("response.done")).response.output[0] for _ in range(3)]
        # The router has no such tool, the booking agent has its own.
        assert [item.type for item in made] == ["mcp_call", "function_call", "function_call"]
        assert "hello" in made[0].output
        await client.until("response.done")
        assert "25" in [event.item.output for event in client.events if _is_output(event)]


@pytest.mark.parametrize("connector", [None, ClientServers(_client)], ids=["none", "nobody there"])
async def test_a_server_that_cannot_be_had_is_an_error_and_the_session_lives(
    tmp_path: Path, connector: McpConnector | None
) -> None:
    async with session(tmp_path, connector, ["Good day."]) as client:
        await client.connection.session.update(session=tools("http://127.0.0.1:9/mcp"))
        await client.until("mcp_list_tools.failed")
        error = (await client.until("error")).error
        assert error.code == "mcp_list_tools_failed"
        await client.connection.response.create()
        assert (await client.until("response.done")).response.status == "completed"
