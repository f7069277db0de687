"""The peer as processes under measurement: Pipecat's bot, and the Kammerton server that only serves its chat model."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.process import Server, serve, wait_ready

ROOT = Path(__file__).resolve().parents[3]
PYTHON = ROOT / ".venv-peers" / "bin" / "python"
VARIANTS = ("default", "tuned")


@contextmanager
def run(variant: str, hold_ms: int = 500) -> Iterator[Server]:
    """Start both on free ports, and stop them. hold_ms: silence that ends a turn of the tuned variant. The chat model's
    server is a helper of the bot.

    Raises FileNotFoundError when there is no environment for it, RuntimeError when it ends at its start.
    """
    if not PYTHON.exists():
        raise FileNotFoundError(f"Pipecat is not installed in {PYTHON.parents[1].name}; scripts/peer-env does that")
    with serve() as chat, _bot(variant, hold_ms, chat) as bot:
        yield bot


@contextmanager
def _bot(variant: str, hold_ms: int, chat: Server) -> Iterator[Server]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    chat_url = f"http://127.0.0.1:{chat.port}/v1"
    command = [str(PYTHON), "-m", "benchmarks.peers.pipecat.bot", "--variant", variant, "--port", str(port)]
    command += ["--chat", chat_url, "--hold-ms", str(hold_ms)]
    # It needs nothing from the network, and is not to wait for what it might look for there.
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore", "PYTHONPATH": str(ROOT)}
    started = time.monotonic()
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        wait_ready(f"http://127.0.0.1:{port}/readyz", process)
        yield Server(process.pid, port, time.monotonic() - started, (chat.pid,))
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def versions() -> dict[str, str]:
    """Of what the peer is made of, by package."""
    code = "import importlib.metadata as m, sys; print(*(m.version(name) for name in sys.argv[1:]))"
    names = ["pipecat-ai", "faster-whisper", "ctranslate2", "piper-tts", "onnxruntime"]
    told = subprocess.run([str(PYTHON), "-c", code, *names], check=True, capture_output=True, text=True).stdout
    return dict(zip(names, told.split(), strict=True))
