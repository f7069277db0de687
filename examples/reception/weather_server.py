"""An MCP server with one tool, over its pipes, or with a port as argument over streamable HTTP. Its forecast is made
up: put your own source here.

python weather_server.py [PORT]
"""

from __future__ import annotations

import sys
import zlib
from typing import Any

from mcp.server import MCPServer

server = MCPServer("weather")

_CONDITIONS = ("sunny", "cloudy", "rainy", "windy")


@server.tool()
def get_weather(location: str, day: str | None = None) -> dict[str, Any]:
    """Weather forecast for a place."""
    number = zlib.crc32(f"{location} {day}".lower().encode())
    when = {"day": day} if day else {}
    return {"location": location, **when, "temp_c": number % 25, "condition": _CONDITIONS[number % 4]}


if __name__ == "__main__":
    if len(sys.argv) > 1:
        server.run("streamable-http", port=int(sys.argv[1]))
    else:
        server.run("stdio")
