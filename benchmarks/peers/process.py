"""A peer server as processes under measurement: the peer itself, and a Kammerton server that only serves it models."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.process import Server, wait_ready

ROOT = Path(__file__).resolve().parents[2]
# It needs nothing from the network, and is not to wait for what it might look for there.
_OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}


def environment(python: Path, name: str) -> str:
    """The interpreter of a peer's environment. Raises FileNotFoundError when scripts/peer-env has not made it."""
    if not python.exists():
        raise FileNotFoundError(f"{name} is not installed in {python.parents[1].name}; scripts/peer-env does that")
    return str(python)


@contextmanager
def running(
    command: Sequence[str], port: int, ready: str, helper: Server, variables: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Run a peer until it is stopped. port: where it listens. ready: path that answers with 200 once it serves. helper:
    works for it alone. Raises RuntimeError when it ends at its start, TimeoutError when it is never ready."""
    started = time.monotonic()
    process = subprocess.Popen(
        command,
        env={**os.environ, **_OFFLINE, **(variables or {})},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_ready(f"http://127.0.0.1:{port}{ready}", process)
        yield Server(process.pid, port, time.monotonic() - started, (helper.pid,))
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def versions(python: str, names: Sequence[str]) -> dict[str, str]:
    """Of what a peer is made of, by package."""
    code = "import importlib.metadata as m, sys; print(*(m.version(name) for name in sys.argv[1:]))"
    told = subprocess.run([python, "-c", code, *names], check=True, capture_output=True, text=True).stdout
    return dict(zip(names, told.split(), strict=True))
