"""MCP servers: the SDK's own, over pipes and over streamable HTTP."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import httpx2
import pytest

from server.agents.client_servers import ClientServers
from server.agents.mcp_tools import McpServer, McpTool, Transport, over_http, over_pipes
from server.core.tools import McpEndpoint, ToolFilter, ToolPolicy
from server.errors import ToolError
from server.policy.egress import Egress
from tests.agents.calls import run
from tests.agents.mcp_process import COMMAND, listening


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with listening() as url:
        yield url


@pytest.fixture(params=["pipes", "http"])
async def server(request: pytest.FixtureRequest) -> AsyncIterator[McpServer]:
    transport: Transport
    if request.param == "pipes":
        transport = over_pipes(COMMAND, ".", {})
    else:
        transport = over_http(request.getfixturevalue("url"), Egress().client)
    server = McpServer("weather", transport)
    yield server
    await server.close()


async def tool(server: McpServer, name: str) -> McpTool:
    [spec] = [one.spec for one in await server.list() if one.spec.name == name]
    return McpTool(server, spec, ToolPolicy())


async def test_its_tools_are_listed_with_their_schemas_and_run(server: McpServer) -> None:
    weather = await tool(server, "get_weather")
    assert weather.spec.description == "Weather forecast for a place."
    assert weather.spec.parameters["required"] == ["location"]
    assert await run(weather, location="Berlin") == {"location": "Berlin", "day": "today", "condition": "sunny"}


async def test_a_server_that_others_publish_is_listed_and_called() -> None:
    server = McpServer("time", over_pipes((sys.executable, "-m", "mcp_server_time"), ".", {}))
    convert = await tool(server, "convert_time")
    assert {"source_timezone", "time", "target_timezone"} == set(convert.spec.parameters["required"])
    found = await run(convert, source_timezone="Europe/Berlin", time="14:30", target_timezone="Asia/Tokyo")
    assert found["target"]["timezone"] == "Asia/Tokyo"
    assert found["time_difference"] in ("+7.0h", "+8.0h")
    with pytest.raises(ToolError, match="Invalid timezone"):
        await run(convert, source_timezone="Nowhere/Here", time="14:30", target_timezone="Asia/Tokyo")
    await server.close()


async def test_an_error_of_a_tool_is_told_and_the_connection_lives(server: McpServer) -> None:
    with pytest.raises(ToolError, match="no such place"):
        await run(await tool(server, "fail"))
    assert "hello" in str(await run(await tool(server, "say"), text="hello"))


async def test_a_process_that_dies_fails_its_call_and_is_started_again_for_the_next(tmp_path: Path) -> None:
    server = McpServer("weather", over_pipes(COMMAND, str(tmp_path), {}))
    with pytest.raises(ToolError, match="nobody knows whether it was done") as caught:
        await run(await tool(server, "die"))
    assert caught.value.uncertain
    assert "again" in str(await run(await tool(server, "say"), text="again"))
    await server.close()


async def test_a_process_sees_the_secrets_that_it_is_given_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAMMERTON_AUTH__KEY", "the server's own key")
    server = McpServer("weather", over_pipes(COMMAND, str(tmp_path), {"WEATHER_KEY": "abc"}))
    found = await run(await tool(server, "secret"))
    assert "abc" in str(found)
    assert "own key" not in str(found)
    await server.close()


@pytest.mark.parametrize("command", [("no-such-program-anywhere",), (sys.executable, "-c", "pass")])
async def test_a_program_that_is_no_server_cannot_be_reached(command: tuple[str, ...]) -> None:
    server = McpServer("weather", over_pipes(command, ".", {}))
    with pytest.raises(ToolError, match="MCP server weather"):
        await server.list()
    await server.close()


def _client(headers: Mapping[str, str]) -> httpx2.AsyncClient:
    return Egress().client(headers=headers)


async def test_a_server_that_a_client_names_offers_what_is_allowed(url: str) -> None:
    session = await ClientServers(_client).connect(McpEndpoint("w", url, allowed=ToolFilter(frozenset({"say"}))))
    assert [one.spec.name for one in session.tools] == ["say"]
    assert "hello" in str(await run(session.tools[0], text="hello"))
    await session.close()


@pytest.mark.parametrize(
    ("allowed", "offered"),
    [
        (ToolFilter(read_only=True), {"get_weather"}),
        (ToolFilter(read_only=False), {"say", "meet", "fail", "die", "secret"}),
        (ToolFilter(frozenset({"say", "get_weather"}), read_only=True), {"get_weather"}),
        (ToolFilter(frozenset()), set()),
    ],
)
async def test_tools_are_chosen_by_what_their_server_says_of_them(
    url: str, allowed: ToolFilter, offered: set[str]
) -> None:
    session = await ClientServers(_client).connect(McpEndpoint("w", url, allowed=allowed))
    assert {one.spec.name for one in session.tools} == offered
    assert all(one.policy.read_only is (one.spec.name == "get_weather") for one in session.tools)
    await session.close()


@pytest.mark.parametrize(
    ("named", "told"),
    [("https://mcp.example/mcp", r"mcp\.example:443"), ("http://127.0.0.1:9/mcp", "w")],
)
async def test_a_server_that_may_not_or_cannot_be_reached_is_told(named: str, told: str) -> None:
    with pytest.raises(ToolError, match=told):
        await ClientServers(_client).connect(McpEndpoint("w", named))
