"""A tool that tests let run, and a session that has it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from models.base import ToolSpec
from server.core import events as e
from server.core.tools import ToolPolicy
from server.runtime.tools import Partial, Result, Toolbox, ToolCall, ToolContext, offered


class Clock:
    """A server tool. go: it waits for it. runs: what it was told of each call."""

    spec = ToolSpec("tell_time", "The time.", {"type": "object", "properties": {}})

    def __init__(self, *results: Partial | Result, on_interrupt: str = "cancel", **policy: Any) -> None:
        self.policy = ToolPolicy(on_interrupt=on_interrupt, **policy)
        self.go = asyncio.Event()
        self.runs: list[ToolContext] = []
        self._results = results

    async def run(self, call: ToolCall, context: ToolContext) -> AsyncIterator[Partial | Result]:
        self.runs.append(context)
        await self.go.wait()
        for result in self._results:
            yield result


def with_tool(tool: Clock) -> tuple[e.SessionConfig, Toolbox]:
    return e.SessionConfig(server_tools=(offered(tool),)), Toolbox({"tell_time": tool})
