"""A server under measurement: started, waited for, weighed, stopped. Linux only (/proc)."""

from __future__ import annotations

import os
import platform
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_GONE = (FileNotFoundError, ProcessLookupError)
_END_S = 60
"""A server that has not ended so long after SIGTERM is killed."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server. ready_s: seconds from start to the first 200 of /readyz. helpers: processes, not among its
    children, that work for it alone, and count as its own."""

    pid: int
    port: int
    ready_s: float
    helpers: tuple[int, ...] = ()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v1/realtime"

    def cpu_s(self) -> float:
        """CPU seconds of the process and its children so far, user and system."""
        return sum(_cpu_s(f"/proc/{pid}/stat") for pid in self._processes())

    def cpu_by_part(self) -> dict[str, float]:
        """The same CPU seconds, by who spent them: the event loop, the threads with the models, the speech workers."""
        loop = _cpu_s(f"/proc/{self.pid}/task/{self.pid}/stat")
        server = _cpu_s(f"/proc/{self.pid}/stat")
        return {"event loop": loop, "models": server - loop, "speech workers": self.cpu_s() - server}

    def own_memory_mb(self) -> float:
        """Memory of the process and its children, in MB; a page that several processes share counts once in all."""
        rollups = [_proc(pid, "smaps_rollup") for pid in self._processes()]
        return sum(int(text.partition("\nPss:")[2].split()[0]) for text in rollups if text) * 1024 / 1e6

    def memory_mb(self) -> float:
        """Resident memory of the process and its children, in MB; shared pages count in each."""
        sizes = [_proc(pid, "statm") for pid in self._processes()]
        return sum(int(text.split()[1]) for text in sizes if text) * _PAGE / 1e6

    def _processes(self) -> list[int]:
        return [process for pid in (self.pid, *self.helpers) for process in _tree(pid)]


@contextmanager
def held_port() -> Iterator[int]:
    """A port of the loopback for a server that has to be told one. While it is held nobody is given it by chance; a
    server that asks for it by number can listen on it, if it sets SO_REUSEADDR, as servers on asyncio do."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        port: int = holder.getsockname()[1]
        yield port


@contextmanager
def serve(
    profile: str = "tiny",
    tree: Path | None = None,
    python: str = sys.executable,
    log: IO[bytes] | None = None,
    /,
    **environment: str,
) -> Iterator[Server]:
    """Run `kammerton serve` on a free port with extra environment; ended with SIGTERM, which must succeed.

    tree: the checkout whose server it is, with the ``python`` that has what it needs; default: the one of the caller.
    log: where its log goes, None for nowhere.
    """
    started = time.monotonic()
    if tree is not None:
        environment = {**environment, "PYTHONPATH": str(tree)}
    with held_port() as port:
        command = [python, "-m", "server", "serve", "--profile", profile, "--port", str(port)]
        variables = {**os.environ, **environment}
        process = subprocess.Popen(command, cwd=tree, env=variables, stderr=log or subprocess.DEVNULL)
        try:
            wait_ready(f"http://127.0.0.1:{port}/readyz", process)
            yield Server(process.pid, port, time.monotonic() - started)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.returncode != 0:
                raise RuntimeError(f"the server ended with exit code {process.returncode}")


def busy_cores() -> tuple[float, float]:
    """Core seconds that the whole machine has worked so far, and that it could have."""
    spent = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(spent) - spent[3] - spent[4]) / _TICKS, sum(spent) / _TICKS


def machine() -> str:
    """What this was measured on, in a line."""
    names = [
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    memory = os.sysconf("SC_PHYS_PAGES") * _PAGE / 2**30
    return f"{len(names)} x {names[0]}, {memory:.0f} GiB, Python {platform.python_version()}"


def wait_ready(url: str, process: subprocess.Popen[bytes], timeout_s: float = 300) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended at start, exit code {process.returncode}")
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.05)
    raise TimeoutError(f"the server was not ready in {timeout_s} s")


def _cpu_s(path: str) -> float:
    """CPU seconds in a stat file of /proc, none of a process that has ended; the name in brackets may hold blanks."""
    try:
        fields = Path(path).read_text().rpartition(")")[2].split()
    except _GONE:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _proc(pid: int, file: str) -> str:
    """What /proc says of a process; nothing of one that has ended."""
    try:
        return Path(f"/proc/{pid}/{file}").read_text()
    except _GONE:
        return ""


def _tree(pid: int) -> list[int]:
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
    except _GONE:
        return []
    children = [child for thread in threads for child in _children(thread)]
    return [pid, *(grandchild for child in children for grandchild in _tree(child))]


def _children(thread: Path) -> list[int]:
    try:
        return [int(child) for child in (thread / "children").read_text().split()]
    except _GONE:
        # A thread that has ended since it was listed; what it started is another one's now.
        return []
