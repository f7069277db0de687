"""Calls of tools, as the runtime makes them."""

from __future__ import annotations

from typing import Any

from server.runtime.tools import MemoryState, Partial, Result, RunnableTool, ToolCall, ToolContext


def context(language: str = "en") -> ToolContext:
    return ToolContext("sess_1", "sess_1", "reception", language, MemoryState())


async def run(tool: RunnableTool, around: ToolContext | None = None, /, **arguments: Any) -> Any:
    """The value of a call's Result."""
    return (await pieces(tool, around, **arguments))[-1].value


async def pieces(tool: RunnableTool, around: ToolContext | None = None, /, **arguments: Any) -> list[Any]:
    """All that a call yields."""
    call = ToolCall("call_1", tool.spec.name, arguments, "deed-1", "resp_1")
    found: list[Partial | Result] = [piece async for piece in tool.run(call, around or context())]
    assert isinstance(found[-1], Result)
    return found
