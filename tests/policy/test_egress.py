"""What may leave the machine, and what may not."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from server.agent_settings import EgressSettings
from server.errors import PolicyError
from server.overview import egress as told
from server.phone_settings import TwilioSettings
from server.policy.egress import Egress
from server.settings import Settings


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:9/x", "https://localhost/", "http://[::1]:8080/", "http://127.8.8.8/", "http://LOCALHOST./"],
)
def test_the_machine_itself_is_always_allowed(url: str) -> None:
    Egress().check(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/",
        "http://10.0.0.1/",
        "http://0.0.0.0/",
        "http://localhost.example.com/",
        "http://127.0.0.1.example.com/",
        "http://user@evil.example:80/127.0.0.1",
        "http://127.0.0.1@evil.example/",
        "http://[::ffff:10.0.0.1]/",
    ],
)
def test_nothing_else_is_allowed_unless_it_is_listed(url: str) -> None:
    with pytest.raises(PolicyError, match=r"egress\.hosts: none"):
        Egress().check(url)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://localhost/", "localhost", "http://[::1"])
def test_other_ways_out_are_refused(url: str) -> None:
    with pytest.raises(PolicyError):
        Egress(["localhost"]).check(url)


@pytest.mark.parametrize(
    ("listed", "allowed", "refused"),
    [
        ("crm.example", "https://CRM.example./a", "https://a.crm.example/"),
        ("*.example", "https://a.b.example/", "https://example/"),
        ("*.example", "https://a.example/", "https://bexample/"),
        ("crm.example:8443", "https://crm.example:8443/", "https://crm.example/"),
        ("crm.example:443", "https://crm.example/", "http://crm.example/"),
        ("[fd00::1]:80", "http://[fd00::1]/", "http://[fd00::2]/"),
        ("10.0.0.1", "http://10.0.0.1:9/", "http://10.0.0.11/"),
    ],
)
def test_a_listed_host_is_allowed_and_its_neighbour_is_not(listed: str, allowed: str, refused: str) -> None:
    egress = Egress(["other.example", listed])
    egress.check(allowed)
    with pytest.raises(PolicyError):
        egress.check(refused)


@pytest.mark.parametrize("entry", ["", "https://crm.example", "crm.example/x", "*", "a.*.example", "crm.example:x"])
def test_an_entry_that_is_no_host_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match="is no host"):
        Egress([entry])


class _Redirecting(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(302 if self.path == "/away" else 200)
        if self.path == "/away":
            self.send_header("Location", "http://evil.example/")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        """Silence."""


@pytest.fixture
def address() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Redirecting) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


async def test_a_client_reaches_what_is_allowed_and_is_not_led_away(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:1")
    async with Egress().client(follow_redirects=True) as client:
        assert (await client.get(f"{address}/here")).text == "ok"
        with pytest.raises(PolicyError, match=r"evil\.example:80"):
            await client.get(f"{address}/away")
        with pytest.raises(PolicyError):
            await client.get("https://example.com/")


def test_what_may_leave_is_told_before_the_start() -> None:
    assert "Nothing leaves this machine" in told(Settings())
    busy = Settings(egress=EgressSettings(hosts="crm.example *.mcp.example"))
    assert "may be on: crm.example, *.mcp.example." in told(busy)
    phone = Settings(egress=EgressSettings(hosts="api.twilio.com"), twilio=TwilioSettings(account_sid="AC1"))
    assert told(phone).endswith("Phone calls are moved and made over https://api.twilio.com.")
