"""MCP servers as processes: the SDK's own (mcp_peer.py), or any that is given."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PEER = Path(__file__).with_name("mcp_peer.py")
COMMAND = (sys.executable, str(PEER))


@contextmanager
def listening(*command: str) -> Iterator[str]:
    """Its address over streamable HTTP, for as long as the block lasts. command: gets the port as last argument."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([*(command or COMMAND), str(port)], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    with process.stderr:
        for line in process.stderr:
            if "Uvicorn running" in line:
                break
        yield f"http://127.0.0.1:{port}/mcp"
        process.kill()
        process.wait(30)
