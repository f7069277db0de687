"""Pipecat's bot, and the Kammerton server that only serves its chat model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.peers import process
from benchmarks.process import Server, held_port, serve

PYTHON = process.ROOT / ".venv-peers" / "bin" / "python"
VARIANTS = ("default", "tuned")


@contextmanager
def run(variant: str, hold_ms: int = 500) -> Iterator[Server]:
    """Start both on free ports, and stop them. hold_ms: silence that ends a turn of the tuned variant. The chat model's
    server is a helper of the bot.

    Raises FileNotFoundError when there is no environment for it, RuntimeError when it ends at its start.
    """
    python = process.environment(PYTHON, "Pipecat")
    with serve() as chat, held_port() as port:
        command = [python, "-m", "benchmarks.peers.pipecat.bot", "--variant", variant, "--port", str(port)]
        command += ["--chat", f"http://127.0.0.1:{chat.port}/v1", "--hold-ms", str(hold_ms)]
        with process.running(command, port, "/readyz", chat, {"PYTHONPATH": str(process.ROOT)}) as bot:
            yield bot


def versions() -> dict[str, str]:
    """Of what the peer is made of, by package."""
    names = ["pipecat-ai", "faster-whisper", "ctranslate2", "piper-tts", "onnxruntime"]
    return process.versions(str(PYTHON), names)
