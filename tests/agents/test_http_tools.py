"""HTTP endpoints as tools, against a real server on the loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from models.base import ToolSpec
from server.agents.files import places
from server.agents.http_tools import HttpTool
from server.core.tools import ToolPolicy
from server.errors import ToolError
from server.policy.egress import Egress
from tests.agents.calls import run


class _Service(BaseHTTPRequestHandler):
    """Answers with what it was asked, or with the trouble that the path names."""

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
        told = {"method": self.command, "path": self.path, "body": body, "headers": dict(self.headers)}
        kind, data, status = "application/json", json.dumps(told).encode(), 200
        match self.path.strip("/").split("/")[0]:
            case "nothing":
                self.close_connection = True
                return
            case "status":
                status = int(self.path.rsplit("/", 1)[1])
            case "words":
                kind, data = "text/plain; charset=utf-8", "Größe".encode()
            case "broken":
                data = b"{"
            case "huge":
                data = b'"' + b"x" * 5_000_000 + b'"'
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        try:
            self.wfile.write(data)
        except ConnectionError:
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Silence."""


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Service) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def endpoint(url: str, method: str = "GET", **headers: str) -> HttpTool:
    spec = ToolSpec("look_up", "Looks up.", {"type": "object"})
    return HttpTool(spec, ToolPolicy(), method=method, url=url, headers=headers, client=Egress().client)


async def test_arguments_go_into_the_path_and_the_rest_into_the_query(service: str) -> None:
    asked = await run(
        endpoint(f"{service}/customers/{{name}}?v=1"), name="Ann Lee/..?x", day="friday", count=2, no=None
    )
    assert asked["path"] == "/customers/Ann%20Lee%2F..%3Fx?v=1&day=friday&count=2"
    assert asked["method"] == "GET"
    assert "idempotency-key" not in {name.lower() for name in asked["headers"]}


async def test_what_changes_something_sends_json_with_an_idempotency_key(service: str) -> None:
    asked = await run(endpoint(f"{service}/bookings", "POST", Authorization="Bearer s3cret"), day="friday", people=2)
    headers = {name.lower(): value for name, value in asked["headers"].items()}
    assert json.loads(asked["body"]) == {"day": "friday", "people": 2}
    assert headers["idempotency-key"] == "deed-1"
    assert headers["authorization"] == "Bearer s3cret"
    assert headers["content-type"] == "application/json"


async def test_an_argument_cannot_climb_out_of_its_place(service: str) -> None:
    asked = await run(endpoint(f"{service}/a/{{name}}/b"), name="..")
    assert asked["path"] == "/a/%2E%2E/b"


async def test_words_are_a_result_as_they_are(service: str) -> None:
    assert await run(endpoint(f"{service}/words")) == "Größe"


@pytest.mark.parametrize(
    ("path", "told", "retryable"),
    [
        ("status/404", "status 404", False),
        ("status/500", "status 500", False),
        ("status/503", "status 503", True),
        ("broken", "broken JSON", False),
        ("huge", "too much", False),
    ],
)
async def test_a_service_in_trouble_is_told_in_a_word(service: str, path: str, told: str, retryable: bool) -> None:
    with pytest.raises(ToolError, match=told) as caught:
        await run(endpoint(f"{service}/{path}"))
    assert caught.value.retryable is retryable


@pytest.mark.parametrize("path", ["status/502", "status/504", "nothing"])
@pytest.mark.parametrize(
    ("method", "retryable", "uncertain"),
    [
        ("GET", True, False),
        ("PUT", True, False),
        ("DELETE", True, False),
        ("POST", False, True),
        ("PATCH", False, True),
    ],
)
async def test_what_went_out_and_was_not_answered_may_have_happened(
    service: str, path: str, method: str, retryable: bool, uncertain: bool
) -> None:
    with pytest.raises(ToolError, match="the service") as caught:
        await run(endpoint(f"{service}/{path}", method))
    assert (caught.value.retryable, caught.value.uncertain) == (retryable, uncertain)
    assert ("nobody knows whether it was done" in str(caught.value)) is (method != "GET")


@pytest.mark.parametrize("status", [429, 503])
async def test_what_a_service_did_not_take_has_not_happened(service: str, status: int) -> None:
    with pytest.raises(ToolError, match=str(status)) as caught:
        await run(endpoint(f"{service}/status/{status}", "POST"))
    assert (caught.value.retryable, caught.value.uncertain) == (True, False)


async def test_a_service_that_is_not_there_may_be_tried_again() -> None:
    with pytest.raises(ToolError, match="cannot be reached") as caught:
        await run(endpoint("http://127.0.0.1:9/"))
    assert caught.value.retryable


async def test_a_host_that_is_not_listed_is_not_asked() -> None:
    with pytest.raises(ToolError, match=r"not allowed: crm\.example:443"):
        await run(endpoint("https://crm.example/{name}"), name="x")


def test_the_names_in_a_template() -> None:
    found: Any = places("https://x.example/{a}/b?c={d_1}")
    assert found == {"a", "d_1"}
