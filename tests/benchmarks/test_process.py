"""A server under measurement is weighed and ended, also one that behaves badly."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import process
from benchmarks.process import Server, held_port, serve

_STUBBORN = """
import signal, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Ready(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

signal.signal(signal.SIGTERM, signal.SIG_IGN)
HTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Ready).serve_forever()
"""


def test_a_server_that_does_not_end_is_killed_and_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_END_S", 0.2)
    (tmp_path / "server").mkdir()
    (tmp_path / "server" / "__main__.py").write_text(_STUBBORN)
    with pytest.raises(RuntimeError, match="exit code -9"), serve("tiny", tmp_path) as server:
        assert server.cpu_s() > 0
    assert not Path(f"/proc/{server.pid}").exists()


def test_a_held_port_can_be_listened_on_and_is_nobody_elses() -> None:
    with held_port() as port:
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))
        for _ in range(2):  # also by a server that is started again
            with socket.create_server(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port)):
                pass


def test_what_has_ended_weighs_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    server = Server(gone.pid, 0, 0.0, (gone.pid,))
    assert (server.cpu_s(), server.memory_mb(), server.own_memory_mb()) == (0, 0, 0)
