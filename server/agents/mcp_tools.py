"""Tools of MCP servers, over streamable HTTP or the pipes of a process (modelcontextprotocol.io, through its SDK)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import httpx2
import mcp
import mcp_types
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import INTERNAL_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND, RequestParamsMeta, TextContent

from models.base import ToolSpec
from server.core.tools import ToolPolicy
from server.errors import PolicyError, ToolError, innermost
from server.runtime.tools import Partial, Result, ToolCall, ToolContext

_log = logging.getLogger(__name__)

_CONNECT_S = 15.0
_CLOSE_S = 5.0
_MAX_TOOLS = 128
_SAID_BY_SERVER = {INTERNAL_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND}
"""Errors of a connection that stands; after any other a new one is made."""

Transport = Callable[[], AbstractAsyncContextManager[Any]]
"""Makes the way to a server, anew for each connection."""


def over_http(url: str, client: Callable[[], httpx2.AsyncClient]) -> Transport:
    """Streamable HTTP. client: a new network client with the headers that the server wants."""
    return lambda: _Http(url, client())


def over_pipes(command: Sequence[str], folder: str, environment: Mapping[str, str]) -> Transport:
    """A process of the command, started in the folder. It sees of the server's environment what any program needs,
    and what is given here."""
    program, *arguments = command
    started = mcp.StdioServerParameters(command=program, args=arguments, cwd=folder, env=dict(environment))
    return lambda: stdio_client(started)


class _Http(AbstractAsyncContextManager[Any]):
    """The SDK's transport, with its network client closed behind it."""

    def __init__(self, url: str, client: httpx2.AsyncClient) -> None:
        self._client = client
        self._transport = streamable_http_client(url, http_client=client)

    async def __aenter__(self) -> Any:
        return await self._transport.__aenter__()

    async def __aexit__(self, *error: Any) -> bool | None:
        try:
            return await self._transport.__aexit__(*error)
        finally:
            await self._client.aclose()


class _Connection:
    """One connection, in a task of its own: what the SDK opens, it must close in the same one."""

    def __init__(self, name: str, transport: Transport) -> None:
        self._opened: asyncio.Future[mcp.Client] = asyncio.get_running_loop().create_future()
        self._closing = asyncio.Event()
        self._name = name
        self._task = asyncio.create_task(self._hold(transport), name=f"mcp {name}")

    async def client(self, within_s: float) -> mcp.Client:
        """Raises ToolError when there is none in time."""
        either: list[asyncio.Future[Any]] = [self._opened, self._task]
        await asyncio.wait(either, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        if self._opened.done():
            return self._opened.result()
        what = "cannot be reached" if self._task.done() else "does not answer"
        raise ToolError(f"MCP server {self._name} {what}", retryable=True)

    async def close(self) -> None:
        """End it, with force if it does not end in time."""
        self._closing.set()
        done, _ = await asyncio.wait([self._task], timeout=_CLOSE_S if self._opened.done() else 0)
        if not done:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _hold(self, transport: Transport) -> None:
        try:
            async with mcp.Client(transport(), cache=None) as client:
                self._opened.set_result(client)
                await self._closing.wait()
        except Exception as error:
            reason = innermost(error)
            if isinstance(reason, PolicyError) and not self._opened.done():
                self._opened.set_exception(ToolError(f"MCP server {self._name}: {reason}"))
            _log.warning("an MCP connection failed", extra={"server": self._name, "error": repr(reason)})


@dataclass(frozen=True, slots=True)
class Listed:
    """A tool as its server lists it. read_only: by the server's word it changes nothing (``readOnlyHint``)."""

    spec: ToolSpec
    read_only: bool


class McpServer:
    """One server, connected when it is needed and again when the connection was lost. known: what it offered when it
    was asked last, None while it never answered."""

    def __init__(self, name: str, transport: Transport, connect_s: float = _CONNECT_S) -> None:
        self.name = name
        self.known: Sequence[Listed] | None = None
        self._transport = transport
        self._connect_s = connect_s
        self._connecting = asyncio.Lock()
        self._connection: _Connection | None = None

    async def list(self) -> Sequence[Listed]:
        """What it offers. Raises ToolError when it cannot be reached or understood."""
        found: list[Listed] = []
        cursor: str | None = None
        async with self._client() as client, asyncio.timeout(self._connect_s):
            while True:
                page = await client.list_tools(cursor=cursor)
                found += map(_listed, page.tools)
                cursor = page.next_cursor
                if cursor is None or len(found) > _MAX_TOOLS:
                    self.known = found[:_MAX_TOOLS]
                    return self.known

    async def call(self, call: ToolCall) -> Any:
        """Run one tool. Raises ToolError for what the server says, and when it is gone."""
        # The SDK's type knows its own entries only; the protocol leaves others to the parties.
        meta = cast(RequestParamsMeta, {"idempotencyKey": call.idempotency_key})
        try:
            async with self._client() as client:
                answer = await client.call_tool(call.name, dict(call.arguments), meta=meta)
        except ToolError as error:
            if not error.uncertain:
                raise
            raise ToolError(f"{error}, so nobody knows whether it was done", uncertain=True) from None
        texts = [part.text if isinstance(part, TextContent) else f"[{part.type}]" for part in answer.content]
        if answer.is_error:
            raise ToolError("\n".join(texts) or "the tool failed")
        return answer.structured_content if answer.structured_content is not None else "\n".join(texts)

    async def close(self) -> None:
        """End the connection, and the process if it is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[mcp.Client]:
        """The connected client. What goes wrong with it becomes a ToolError."""
        async with self._connecting:
            connection = self._connection = self._connection or _Connection(self.name, self._transport)
            try:
                client = await connection.client(self._connect_s)
            except ToolError:
                await self.close()
                raise
        try:
            yield client
        except TimeoutError:
            raise ToolError(f"MCP server {self.name} does not answer", uncertain=True) from None
        except mcp.MCPError as error:
            lost = error.code not in _SAID_BY_SERVER
            if lost and self._connection is connection:
                await self.close()
            raise ToolError(f"MCP server {self.name}: {error}", uncertain=lost) from None


class McpTool:
    """See RunnableTool: one tool of a server."""

    def __init__(self, server: McpServer, spec: ToolSpec, policy: ToolPolicy) -> None:
        self._server = server
        self._spec = spec
        self._policy = policy

    @property
    def spec(self) -> ToolSpec:
        """See RunnableTool."""
        return self._spec

    @property
    def policy(self) -> ToolPolicy:
        """See RunnableTool."""
        return self._policy

    async def run(self, call: ToolCall, context: ToolContext) -> AsyncIterator[Partial | Result]:
        """See RunnableTool."""
        yield Result(await self._server.call(call))


def _listed(tool: mcp_types.Tool) -> Listed:
    hints = tool.annotations
    return Listed(ToolSpec(tool.name, tool.description or "", tool.input_schema), bool(hints and hints.read_only_hint))
