"""MCP servers that a client names in its session. The SDK is large: it is loaded when the first one is named."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from server.core.tools import McpEndpoint, ToolPolicy
from server.runtime.tools import RunnableTool

if TYPE_CHECKING:
    import httpx2

    from server.agents.mcp_tools import McpServer


class Client(Protocol):
    """Makes a network client that sends these headers; it decides what may be reached."""

    def __call__(self, headers: Mapping[str, str]) -> httpx2.AsyncClient: ...


class ClientServers:
    """See McpConnector."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def connect(self, endpoint: McpEndpoint) -> ClientServer:
        """See McpConnector."""
        kinds = await asyncio.to_thread(importlib.import_module, "server.agents.mcp_tools")
        headers = dict(endpoint.headers)
        if endpoint.authorization:
            headers["Authorization"] = f"Bearer {endpoint.authorization}"
        way = kinds.over_http(endpoint.server_url, lambda: self._client(headers))
        server = kinds.McpServer(endpoint.server_label, way)
        try:
            listed = await server.list()
        except BaseException:
            await server.close()
            raise
        allowed = [one for one in listed if endpoint.allowed.takes(one.spec.name, one.read_only)]
        return ClientServer(server, [kinds.McpTool(server, one.spec, _policy(one.read_only)) for one in allowed])


def _policy(read_only: bool) -> ToolPolicy:
    # The call is an item of the answer, and ends with it.
    return ToolPolicy(on_interrupt="cancel", read_only=read_only)


class ClientServer:
    """See McpSession."""

    def __init__(self, server: McpServer, tools: Sequence[RunnableTool]) -> None:
        self._server = server
        self._tools = tools

    @property
    def tools(self) -> Sequence[RunnableTool]:
        """See McpSession."""
        return self._tools

    async def close(self) -> None:
        """See McpSession."""
        await self._server.close()
