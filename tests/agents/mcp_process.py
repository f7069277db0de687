"""MCP servers as processes: the SDK's own (mcp_peer.py), or any that is given."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PEER = Path(__file__).with_name("mcp_peer.py")
COMMAND = (sys.executable, str(PEER))


@contextmanager
def listening(*command: str) -> Iterator[str]:
    """Its address over streamable HTTP, for as long as the block lasts. command: gets the port as last argument, 0 for
    any that is free."""
    process = subprocess.Popen([*(command or COMMAND), "0"], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    with process.stderr:
        running = (re.search(r"Uvicorn running on (\S+)", line) for line in process.stderr)
        address = next(found[1] for found in running if found)
        yield f"{address}/mcp"
        process.kill()
        process.wait(30)
