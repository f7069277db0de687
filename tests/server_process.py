"""The real server, as a process of its own, and the official SDK to talk to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.e2e.call import Caller

ROOT = Path(__file__).parents[1]

_ENVIRONMENT = {
    "KAMMERTON_LOG__FORMAT": "json",
    "HF_HUB_OFFLINE": "1",
    # Tests do not wait for sessions that they have left behind.
    "KAMMERTON_SERVER__DRAIN_S": "0",
    "KAMMERTON_PHONE__DRAIN_S": "0",
    # Keys that whoever runs the tests has made for a server of their own are not asked for here.
    "KAMMERTON_AUTH__KEYS_FILE": str(ROOT / "no" / "keys.json"),
}


@dataclass(frozen=True)
class Server:
    """A running server on the bundled models. log: its lines so far, each one JSON object."""

    process: subprocess.Popen[str]
    base_url: str
    drain: threading.Thread
    log: list[str]

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a GET."""
        try:
            with urllib.request.urlopen(self.base_url + path, timeout=30) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def logged(self, message: str, within_s: float = 60) -> dict[str, Any]:
        """The first entry of its log with this message; waits for it. Raises TimeoutError."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            for line in list(self.log):
                if (entry := json.loads(line))["message"] == message:
                    return dict(entry)
            time.sleep(0.02)
        raise TimeoutError(f"the server has not logged {message!r} in {within_s} s")

    def children(self) -> list[int]:
        """Process ids of its workers."""
        threads = Path(f"/proc/{self.process.pid}/task").iterdir()
        return [int(child) for thread in threads for child in (thread / "children").read_text().split()]

    @staticmethod
    def alive(pid: int) -> bool:
        """Whether there is such a process."""
        return Path(f"/proc/{pid}").exists()

    def caller(self, **session: object) -> Caller:
        """An SDK client; keyword arguments are its session configuration."""
        from tests.e2e.call import Caller

        return Caller(self.base_url, session)


def start(module: str = "server", /, **environment: str) -> Server:
    """Run `kammerton serve` on a free port and wait until it listens; its log is JSON on standard error."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, "serve", "--profile", "tiny", "--port", "0"],
        cwd=ROOT,
        env={**os.environ, **_ENVIRONMENT, **environment},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    address = ""
    log: list[str] = []
    for line in process.stderr:
        log.append(line)
        entry = json.loads(line)
        address = entry.get("address", address)
        if entry["message"] == "ready":
            # A log that nobody reads would fill its pipe, and stop the server.
            drain = threading.Thread(target=log.extend, args=(process.stderr,), daemon=True)
            drain.start()
            return Server(process, address, drain, log)
    raise RuntimeError(f"the server ended with exit code {process.wait()}")


def stop(server: Server) -> int:
    """SIGTERM; the exit code."""
    server.process.send_signal(signal.SIGTERM)
    server.drain.join(60)
    assert server.process.stderr is not None
    server.process.stderr.close()
    return server.process.wait(60)
