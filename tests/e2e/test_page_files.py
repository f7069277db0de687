"""The page's files as they are served: types, policy, freshness, and nothing from elsewhere."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from email.message import Message
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, Server

FILES = sorted(path for path in (ROOT / "server" / "transports" / "web").iterdir())
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
NAMESPACE = "http://www.w3.org/2000/svg"


def get(server: Server, path: str, **headers: str) -> tuple[int, Message, bytes]:
    try:
        with urllib.request.urlopen(
            urllib.request.Request(server.base_url + path, headers=headers), timeout=30
        ) as reply:
            return reply.status, reply.headers, reply.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_file_is_served_with_its_type_and_a_policy_that_allows_this_server_only(server: Server, file: Path):
    path = "/" if file.name == "index.html" else f"/web/{file.name}"
    status, headers, body = get(server, path)
    assert (status, body) == (200, file.read_bytes())
    assert headers.get_all("Content-Type") == [TYPES[file.suffix]]
    assert headers["X-Content-Type-Options"] == "nosniff"
    policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert set(policy.values()) == {"'none'", "'self'"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_file_names_another_host(file: Path):
    assert not re.findall(r"(?:https?:|wss?:)?//[a-z0-9]+\.[a-z]", file.read_text().replace(NAMESPACE, ""))


def test_a_browser_asks_again_each_time_and_loads_only_what_has_changed(server: Server):
    status, headers, _ = get(server, "/web/main.js")
    assert headers["Cache-Control"] == "no-cache"
    status, again, body = get(server, "/web/main.js", **{"If-None-Match": headers["ETag"]})
    assert (status, body, again["ETag"]) == (304, b"", headers["ETag"])
    status, _, body = get(server, "/web/main.js", **{"If-None-Match": '"something-else"'})
    assert status == 200
    assert body


@pytest.mark.parametrize(
    "path", ["/web/", "/web/nothing.js", "/web/..%2fweb.py", "/web/../web.py", "/web/index.html/x"]
)
def test_what_is_not_part_of_the_page_is_not_served(server: Server, path: str):
    assert get(server, path)[0] == 404


def test_the_voices_are_listed_with_their_languages(server: Server):
    status, _, body = get(server, "/voices")
    assert status == 200
    assert {voice["name"]: voice["language"] for voice in json.loads(body)["voices"]} == {"en_US": "en", "de_DE": "de"}
