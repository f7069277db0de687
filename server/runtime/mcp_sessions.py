"""The MCP servers that a client has named: connected, listed, and let go when the session ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from server.core import events as e
from server.errors import ToolError
from server.runtime.tools import McpConnector, McpSession, RunnableTool, offered

_log = logging.getLogger(__name__)

_CONNECT_S = 15
_CLOSING: set[asyncio.Task[None]] = set()
"""Connections that are being closed, though their session is over."""


class McpSessions:
    """One Realtime session's connections. ``deliver`` takes McpListed for each ``connect``."""

    def __init__(self, connector: McpConnector | None, deliver: Callable[[e.Input], Awaitable[None]]) -> None:
        self._connector = connector
        self._deliver = deliver
        self._sessions: dict[str, McpSession] = {}
        self._connecting: dict[str, asyncio.Task[None]] = {}

    def tools(self, label: str) -> Mapping[str, RunnableTool]:
        """Those of a server, by name; none while it is not connected."""
        session = self._sessions.get(label)
        return {tool.spec.name: tool for tool in session.tools} if session else {}

    def connect(self, effect: e.ConnectMcp) -> None:
        """Connect, and tell what tools there are."""
        label = effect.endpoint.server_label
        self.disconnect(label)
        self._connecting[label] = asyncio.create_task(self._connect(effect))

    def disconnect(self, label: str) -> None:
        """The client wants this server no more."""
        if label in self._connecting:
            self._connecting.pop(label).cancel()
        if label in self._sessions:
            task = asyncio.create_task(_closed(self._sessions.pop(label)))
            _CLOSING.add(task)
            task.add_done_callback(_CLOSING.discard)

    def close(self) -> None:
        """The session is over."""
        for label in [*self._connecting, *self._sessions]:
            self.disconnect(label)

    async def _connect(self, effect: e.ConnectMcp) -> None:
        tools: tuple[e.ServerTool, ...] = ()
        error = ""
        try:
            if self._connector is None:
                raise ToolError("MCP servers are not available on this server.")
            session = await asyncio.wait_for(self._connector.connect(effect.endpoint), _CONNECT_S)
            self._sessions[effect.endpoint.server_label] = session
            tools = tuple(map(offered, session.tools))
        except ToolError as refused:
            error = str(refused)
        except TimeoutError:
            error = "it does not answer."
        except Exception:
            _log.exception("an MCP server cannot be had", extra={"server_label": effect.endpoint.server_label})
            error = "it does not behave like an MCP server."
        await self._deliver(e.McpListed(effect.item_id, tools, error))


async def _closed(session: McpSession) -> None:
    try:
        await session.close()
    except Exception:
        _log.debug("an MCP server did not let go", exc_info=True)
