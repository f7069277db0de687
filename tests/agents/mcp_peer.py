"""A real MCP server of the SDK's: over its pipes, or with a port as argument over streamable HTTP.

python mcp_peer.py [PORT]
"""

from __future__ import annotations

import asyncio
import os
import sys

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations

peer = MCPServer("weather")


@peer.tool(annotations=ToolAnnotations(read_only_hint=True))
def get_weather(location: str, day: str = "today") -> dict[str, str]:
    """Weather forecast for a place."""
    return {"location": location, "day": day, "condition": "sunny"}


@peer.tool()
def say(text: str) -> str:
    """Gives the text back."""
    return text


_MET = asyncio.Event()
_HERE: set[str] = set()


@peer.tool()
async def meet(name: str) -> str:
    """Waits until somebody of another name is there."""
    _HERE.add(name)
    if len(_HERE) > 1:
        _MET.set()
    await _MET.wait()
    return f"{name} has met {len(_HERE) - 1}"


@peer.tool()
def fail() -> str:
    """Always fails."""
    raise ToolError("no such place")


@peer.tool()
def die() -> str:
    """Ends the process in the middle of the call."""
    os._exit(3)


@peer.tool()
def secret() -> str:
    """What this process sees of a secret."""
    return os.environ.get("WEATHER_KEY", "") + os.environ.get("KAMMERTON_AUTH__KEY", "")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        peer.run("streamable-http", port=int(sys.argv[1]))
    else:
        peer.run("stdio")
