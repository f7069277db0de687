"""A stand-in for a carrier's REST API: answers as it is told, and keeps what it was asked."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs


@dataclass(frozen=True)
class Asked:
    """One request. body: the fields of a form (a list where several have one name), or a JSON object.
    user: of basic authorisation, as ``name:password``."""

    method: str
    path: str
    body: Mapping[str, Any]
    headers: Mapping[str, str]

    @property
    def user(self) -> str:
        return base64.b64decode(self.headers["authorization"].removeprefix("Basic ")).decode()


@dataclass
class RestApi:
    """status, answer, coding: of the next requests. silent: it takes requests and never answers."""

    url: str = ""
    status: int = 200
    answer: str = '{"sid": "CA1"}'
    coding: str = "identity"
    silent: bool = False
    asked: list[Asked] = field(default_factory=list)
    news: threading.Event = field(default_factory=threading.Event)

    def only(self) -> Asked:
        """The one request that was made."""
        (asked,) = self.asked
        return asked


def _form(raw: str) -> dict[str, Any]:
    fields = parse_qs(raw, keep_blank_values=True)
    return {name: values if len(values) > 1 else values[0] for name, values in fields.items()}


@contextmanager
def rest_api() -> Iterator[RestApi]:
    """It runs in a thread of its own."""
    api = RestApi()
    ended = threading.Event()

    class _Answers(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
            kind = self.headers.get("content-type", "")
            body = json.loads(raw) if "json" in kind else _form(raw)
            headers = {name.lower(): value for name, value in self.headers.items()}
            api.asked.append(Asked(self.command, self.path, body, headers))
            api.news.set()
            if api.silent:
                ended.wait()
                return
            self.send_response(api.status)
            self.send_header("content-length", str(len(api.answer)))
            self.send_header("content-encoding", api.coding)
            self.end_headers()
            self.wfile.write(api.answer.encode())

        do_POST = do_PUT = _answer  # noqa: N815  named by http.server

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    api.url = "http://{}:{}".format(*server.server_address)
    running = threading.Thread(target=server.serve_forever, args=(0.05,))
    running.start()
    try:
        yield api
    finally:
        ended.set()
        server.shutdown()
        running.join()
        server.server_close()
