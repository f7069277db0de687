"""What a door takes for a key, and which pages it lets in."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import pytest
from fastapi.requests import HTTPConnection

from server.core.events import SessionConfig
from server.errors import AccessError
from server.transports.auth import Gate, key_of


@pytest.mark.parametrize(
    ("headers", "subprotocols", "key"),
    [
        ({}, [], None),
        ({}, ["realtime"], None),
        ({"authorization": "Bearer abc"}, [], "abc"),
        ({"authorization": "bearer  abc "}, [], "abc"),
        ({"authorization": "Bearer"}, [], None),
        ({"authorization": "Basic abc"}, [], None),
        ({"api-key": "abc"}, [], "abc"),
        ({}, ["realtime", "openai-insecure-api-key.abc", "openai-agents-sdk.0.20.0"], "abc"),
        ({}, ["openai-insecure-api-key.a.b", "realtime"], "a.b"),
        ({}, ["openai-insecure-api-key."], None),
        ({"authorization": "Bearer abc", "api-key": "def"}, ["openai-insecure-api-key.ghi"], "abc"),
        ({"authorization": "Basic abc", "api-key": "def"}, ["openai-insecure-api-key.ghi"], "def"),
    ],
)
def test_where_a_key_is_looked_for(headers: dict[str, str], subprotocols: list[str], key: str | None) -> None:
    assert key_of(headers.get, subprotocols) == key


class Allowed:
    """A grant without bounds."""

    config: SessionConfig | None = None

    def session(self) -> AbstractContextManager[None]:
        return nullcontext()

    def heard(self, seconds: float) -> None: ...
    def spoken(self, seconds: float) -> None: ...
    def issue(self, config: SessionConfig, seconds: int, size: int) -> tuple[str, int]:
        return "ek_", 0


class Door:
    """Access that lets everybody in, with or without asking for a key."""

    def __init__(self, *, open: bool) -> None:
        self.open = open

    def http(self, token: str | None) -> Allowed:
        return Allowed()

    def realtime(self, token: str | None) -> Allowed:
        return Allowed()


def connection(**headers: str) -> HTTPConnection:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    return HTTPConnection({"type": "http", "headers": raw})


def lets_in(origin: str, host: str, *, open: bool, listed: tuple[str, ...] = ()) -> bool:
    refused: list[str] = []
    gate = Gate(Door(open=open), listed, refused.append)
    try:
        gate.check_origin(connection(origin=origin, host=host))
    except AccessError as error:
        return (error.reason, error.code, refused) != ("origin", "origin_not_allowed", ["origin"])
    return not refused


@pytest.mark.parametrize("open", [True, False])
def test_programs_send_no_origin_and_are_let_in(open: bool) -> None:
    Gate(Door(open=open), (), pytest.fail).check_origin(connection(host="voice.example"))


@pytest.mark.parametrize("open", [True, False])
@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://127.0.0.1:8080", "127.0.0.1:8080"),
        ("http://localhost:8080", "localhost:8080"),
        ("https://[::1]:8080", "[::1]:8080"),
        ("https://192.0.2.7", "192.0.2.7"),
    ],
)
def test_the_servers_own_page_is_let_in(origin: str, host: str, open: bool) -> None:
    assert lets_in(origin, host, open=open)


@pytest.mark.parametrize("open", [True, False])
@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://elsewhere.example", "127.0.0.1:8080"),
        ("http://localhost:3000", "localhost:8080"),
        ("http://127.0.0.1:8080", "localhost:8080"),
        ("null", "127.0.0.1:8080"),
        ("null", ""),
        ("file://", ""),
        ("", "127.0.0.1:8080"),
        ("http://[", "127.0.0.1:8080"),
        ("http://[::1", "[::1"),
    ],
)
def test_pages_of_other_origins_are_not(origin: str, host: str, open: bool) -> None:
    assert not lets_in(origin, host, open=open)


def test_without_keys_a_name_that_points_here_is_not_enough() -> None:
    """DNS rebinding: the page of a foreign site, whose name was made to mean this machine."""
    assert not lets_in("http://elsewhere.example:8080", "elsewhere.example:8080", open=True)
    assert not lets_in("http://127.0.0.1.elsewhere.example", "127.0.0.1.elsewhere.example", open=True)
    assert lets_in("https://voice.example", "voice.example", open=False)


def test_listed_origins_are_let_in_and_no_others() -> None:
    listed = ("https://app.example", "http://localhost:3000")
    for origin in listed:
        assert lets_in(origin, "voice.example", open=True, listed=listed)
    for origin in ("http://app.example", "https://app.example:444", "https://app.example.net", "https://x.app.example"):
        assert not lets_in(origin, "voice.example", open=True, listed=listed)
    assert lets_in("https://anybody.example", "voice.example", open=True, listed=("*",))
