"""What vLLM's server looks like from outside, for tests of its supervision: a copy of this file is put where the real
one would be. Standard library only.

It does what the file named by STAND_IN says, a JSON object read at its start: fail (text: print it and exit), silent
(never listen), stubborn (ignore SIGTERM), last_words (printed at SIGTERM). Beside that file it writes down its process
and that of a child it has, its arguments and its environment; there it reads the status to give to GET /health, too.
"""

from __future__ import annotations

import json
import os
import signal
import socketserver
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

HOME = Path(os.environ["STAND_IN"]).parent
ORDERS = json.loads(Path(os.environ["STAND_IN"]).read_text())


class Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def address_string(self) -> str:
        return "a client"

    def do_GET(self) -> None:
        status = int((HOME / "health").read_text()) if (HOME / "health").exists() else 200
        if status == 0:
            time.sleep(1000)
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self._say({"content": "I am number "})
        if request["messages"][-1]["content"] == "wait":
            time.sleep(1000)
        self._say({"content": str(os.getpid())}, "stop")
        self.close_connection = True

    def _say(self, delta: dict[str, str], finish: str | None = None) -> None:
        event = {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
        self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


def complain(*_: object) -> None:
    print(ORDERS["last_words"], flush=True)
    sys.exit(1)


def main() -> None:
    if ORDERS.get("stubborn"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "last_words" in ORDERS:
        signal.signal(signal.SIGTERM, complain)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
    facts = {
        "pids": [os.getpid(), child.pid],
        "arguments": sys.argv[1:],
        "environment": dict(os.environ),
        "folder": str(Path.cwd()),
    }
    (HOME / "facts.new").write_text(json.dumps(facts))
    (HOME / "facts.new").rename(HOME / "facts")
    print("INFO 01-01 00:00:00 [stand_in.py:1] starting", flush=True)
    if "fail" in ORDERS:
        print(ORDERS["fail"], flush=True)
        sys.exit(1)
    if ORDERS.get("silent"):
        time.sleep(1000)
    Server(sys.argv[sys.argv.index("--uds") + 1], Answering).serve_forever()


if __name__ == "__main__":
    main()
