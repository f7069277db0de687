"""Tools that do as they are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from models.base import ToolSpec
from server.core.tools import ToolPolicy
from server.runtime.tools import Partial, Result, ToolCall, ToolContext

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"day": {"type": "string", "enum": ["friday", "sunday"]}},
    "required": ["day"],
}


class ScriptedTool:
    """Yields its parts, one after the other; an exception among them is raised, a callable is called for the part, an
    event is waited for."""

    def __init__(self, name: str, *parts: Any, schema: dict[str, Any] | None = None, **policy: Any) -> None:
        self.spec = ToolSpec(name, "A tool.", schema or {"type": "object"})
        self.policy = ToolPolicy(**policy)
        self.calls: list[ToolCall] = []
        self.contexts: list[ToolContext] = []
        self.started = asyncio.Event()
        self.ended = asyncio.Event()
        self._parts = parts

    async def run(self, call: ToolCall, context: ToolContext) -> AsyncIterator[Partial | Result]:
        self.calls.append(call)
        self.contexts.append(context)
        self.started.set()
        try:
            for part in self._parts:
                if isinstance(part, BaseException):
                    raise part
                if isinstance(part, asyncio.Event):
                    await part.wait()
                elif isinstance(part, Callable):  # type: ignore[arg-type]
                    yield part(call)
                else:
                    yield part
        finally:
            self.ended.set()
