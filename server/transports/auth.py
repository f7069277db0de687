"""How a door gets its caller's key, and which browser pages it lets in.

A key comes as ``Authorization: Bearer``, as the ``api-key`` header, or, from a browser's WebSocket, which can set no
header, as the sub-protocol ``openai-insecure-api-key.<key>``.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from typing import Protocol
from urllib.parse import urlsplit

from fastapi import WebSocket
from fastapi.requests import HTTPConnection

from server.core.events import SessionConfig
from server.errors import AccessError

ANY_ORIGIN = "*"
_KEY_SUBPROTOCOL = "openai-insecure-api-key."


class Grant(Protocol):
    """What a caller may do."""

    @property
    def config(self) -> SessionConfig | None:
        """What its session starts with, where that is bound to its key."""
        ...

    def session(self) -> AbstractContextManager[None]:
        """Hold one of the key's sessions. Raises CapacityError."""
        ...

    def heard(self, seconds: float) -> None:
        """Count audio of the caller. Raises CapacityError when the key's audio is used up."""
        ...

    def spoken(self, seconds: float) -> None:
        """Count audio for the caller."""
        ...

    @property
    def audio_left(self) -> tuple[float, float, float] | None:
        """Seconds of audio that the key has a day, those left, and seconds until there are all again; None without a
        limit."""
        ...

    def issue(self, config: SessionConfig, seconds: int, size: int) -> tuple[str, int]:
        """A client secret and when it expires, in Unix seconds. size: bytes of its configuration. Raises
        CapacityError."""
        ...


class Access(Protocol):
    """Who knows the keys. Both methods raise AccessError."""

    @property
    def open(self) -> bool:
        """Whether no key is asked for."""
        ...

    def http(self, token: str | None) -> Grant: ...
    def realtime(self, token: str | None) -> Grant: ...


class Gate:
    """In front of every door.

    origins: of pages that may come in besides the server's own, ``scheme://host[:port]``, or ANY_ORIGIN.
    refused: told the reason of each refusal, one of a fixed few words.
    """

    def __init__(self, access: Access, origins: Collection[str], refused: Callable[[str], None]) -> None:
        self._access = access
        self._origins = frozenset(origins)
        self._refused = refused

    async def http(self, connection: HTTPConnection) -> Grant:
        """A dependency of HTTP routes. Raises AccessError."""
        self.check_origin(connection)
        return self._ask(self._access.http, key_of(connection.headers.get))

    def realtime(self, websocket: WebSocket) -> Grant:
        """Raises AccessError; the origin has been looked at before."""
        offered = websocket.scope.get("subprotocols", [])
        return self._ask(self._access.realtime, key_of(websocket.headers.get, offered))

    def check_origin(self, connection: HTTPConnection) -> None:
        """Raises AccessError for a browser page that is neither this server's own nor on the list."""
        origin = connection.headers.get("origin")
        if origin is None or not self._origins.isdisjoint((origin, ANY_ORIGIN)):
            return
        host = connection.headers.get("host", "")
        # Any site can let its own name point here and then counts as the same origin (DNS rebinding). A key would
        # stop it; without keys only addresses count, which nobody can redirect.
        if host and _host_of(origin) == host and (not self._access.open or _is_address(host)):
            return
        self._refused("origin")
        raise AccessError("origin", "Pages of this origin are not allowed; auth.allowed_origins lists those that are.")

    def _ask(self, who: Callable[[str | None], Grant], token: str | None) -> Grant:
        try:
            return who(token)
        except AccessError as error:
            self._refused(error.reason)
            raise


def key_of(header: Callable[[str], str | None], subprotocols: Collection[str] = ()) -> str | None:
    """The key that a caller sent, None when there is none. The first of the three ways that is used counts."""
    scheme, _, bearer = (header("authorization") or "").partition(" ")
    if scheme.lower() == "bearer" and bearer.strip():
        return bearer.strip()
    offered = (name.removeprefix(_KEY_SUBPROTOCOL) for name in subprotocols if name.startswith(_KEY_SUBPROTOCOL))
    return header("api-key") or next(offered, None) or None


def caller_scope(connection: HTTPConnection, caller: str) -> str:
    """Whose deeds count as the same when the line drops: those of a caller that the client names, under its key. "" for
    one who is not named."""
    if not caller:
        return ""
    key = key_of(connection.headers.get, connection.scope.get("subprotocols", [])) or ""
    return hashlib.sha256(f"{key}\0{caller}".encode(errors="surrogatepass")).hexdigest()


def _host_of(origin: str) -> str:
    """``host[:port]``; "" for what is no URL."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def _is_address(host: str) -> bool:
    name = urlsplit(f"//{host}").hostname or ""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
    return True
