"""What may leave the machine. Network clients are made here only, and reach what the operator has listed.

Without a list that is the machine itself: the loopback addresses.
"""

from __future__ import annotations

import ipaddress
import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any

import httpx2
from websockets.asyncio.client import ClientConnection, connect

from server.errors import PolicyError

_PORTS = {"http": 80, "https": 443}
_SOCKET_PORTS = {"ws": 80, "wss": 443}
_ENTRY = re.compile(r"(?P<host>\[[0-9a-f:.]+\]|(\*\.)?[^\s:/\[\]*]+)(:(?P<port>\d{1,5}))?", re.IGNORECASE)
_TIMEOUT_S = 30.0
_MAX_MESSAGE = 32 * 2**20
_silent = logging.getLogger(f"{__name__}.websocket")
"""The library's debug lines hold headers, with keys in them, and what callers say: whatever the log's level is."""
_silent.setLevel(logging.WARNING)


class Egress:
    """An allow-list. hosts: ``name``, ``name:port`` or ``*.name`` (all below it, not itself); an address is a name,
    too. setting: where the operator lists them. Raises ValueError for anything else."""

    def __init__(self, hosts: Sequence[str] = (), setting: str = "egress.hosts") -> None:
        self.hosts = tuple(hosts)
        self._setting = setting
        self._allowed = [_entry(host) for host in hosts]

    def check(self, url: str | httpx2.URL) -> None:
        """Raises PolicyError unless requests to this URL may leave. The message names the host alone: a path may hold
        what nobody else should read."""
        self._check(url, _PORTS)

    def _check(self, url: str | httpx2.URL, ports: Mapping[str, int]) -> None:
        try:
            parsed = httpx2.URL(url)
        except httpx2.InvalidURL:
            raise PolicyError("this is no URL") from None
        if parsed.scheme not in ports:
            raise PolicyError(f"only {' and '.join(ports)} may leave, not {parsed.scheme!r}")
        host, port = parsed.host.rstrip(".").lower(), parsed.port or ports[parsed.scheme]
        if is_loopback(host):
            return
        if parsed.scheme == "ws":
            raise PolicyError(f"{host}:{port} is another machine: what goes there is encrypted (wss)")
        if not any(_matches(entry, host, port) for entry in self._allowed):
            listed = ", ".join(self.hosts) or "none"
            raise PolicyError(f"{host}:{port} is not among the hosts of {self._setting}: {listed}")

    def client(self, **options: Any) -> httpx2.AsyncClient:
        """A client all of whose requests are checked, those that follow a redirect as well. options: as of httpx2."""
        options.setdefault("timeout", _TIMEOUT_S)
        # Proxies of the environment would be another way out.
        transport = _Checked(self, httpx2.AsyncHTTPTransport(trust_env=False))
        return httpx2.AsyncClient(transport=transport, trust_env=False, **options)

    async def websocket(
        self, url: str, headers: Mapping[str, str], *, open_s: float = _TIMEOUT_S, ping_s: float = 20.0
    ) -> ClientConnection:
        """A WebSocket connection, on which nothing was said yet. ping_s: seconds between pings, and for an answer to
        one.

        Raises PolicyError for a host that is not listed, websockets' InvalidStatus for a refusal, redirects among
        them, and OSError, TimeoutError or websockets' InvalidHandshake when it cannot be had."""
        self._check(url, _SOCKET_PORTS)
        return await _Straight(
            url,
            additional_headers=headers,
            # Proxies of the environment would be another way out.
            proxy=None,
            open_timeout=open_s,
            ping_interval=ping_s,
            ping_timeout=ping_s,
            close_timeout=1.0,
            max_size=_MAX_MESSAGE,
            user_agent_header="kammerton",
            logger=_silent,
        )


class _Straight(connect):
    """Goes where it was sent, and nowhere else: a redirect would lead past the list."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """See websockets' ``connect``."""
        return exc


class _Checked(httpx2.AsyncBaseTransport):
    """Looks at each single request before it leaves."""

    def __init__(self, egress: Egress, inner: httpx2.AsyncBaseTransport) -> None:
        self._egress = egress
        self._inner = inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """See httpx2.AsyncBaseTransport."""
        self._egress.check(request.url)
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        """See httpx2.AsyncBaseTransport."""
        await self._inner.aclose()


def _entry(text: str) -> tuple[str, int | None]:
    found = _ENTRY.fullmatch(text)
    if not found:
        raise ValueError(f"{text!r} is no host: give name, name:port or *.name")
    port = found["port"]
    return found["host"].strip("[]").lower(), int(port) if port else None


def _matches(entry: tuple[str, int | None], host: str, port: int) -> bool:
    name, only_port = entry
    if only_port not in (None, port):
        return False
    return host.endswith(name[1:]) if name.startswith("*.") else host == name


def is_loopback(host: str) -> bool:
    """Whether this name or address is this machine itself."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
