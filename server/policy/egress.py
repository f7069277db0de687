"""What may leave the machine. Network clients of tools are made here only, and reach what the operator has listed.

Without a list that is the machine itself: the loopback addresses.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import Any

import httpx2

from server.errors import PolicyError

_PORTS = {"http": 80, "https": 443}
_ENTRY = re.compile(r"(?P<host>\[[0-9a-f:.]+\]|(\*\.)?[^\s:/\[\]*]+)(:(?P<port>\d{1,5}))?", re.IGNORECASE)
_TIMEOUT_S = 30.0


class Egress:
    """The allow-list of one server. hosts: ``name``, ``name:port`` or ``*.name`` (all below it, not itself); an address
    is a name, too. Raises ValueError for anything else."""

    def __init__(self, hosts: Sequence[str] = ()) -> None:
        self.hosts = tuple(hosts)
        self._allowed = [_entry(host) for host in hosts]

    def check(self, url: str | httpx2.URL) -> None:
        """Raises PolicyError unless requests to this URL may leave. The message names the host alone: a path may hold
        what nobody else should read."""
        try:
            parsed = httpx2.URL(url)
        except httpx2.InvalidURL:
            raise PolicyError("this is no URL") from None
        if parsed.scheme not in _PORTS:
            raise PolicyError(f"only http and https may leave, not {parsed.scheme!r}")
        host, port = parsed.host.rstrip(".").lower(), parsed.port or _PORTS[parsed.scheme]
        if not (_loopback(host) or any(_matches(entry, host, port) for entry in self._allowed)):
            listed = ", ".join(self.hosts) or "none"
            raise PolicyError(f"{host}:{port} is not among the hosts of egress.hosts: {listed}")

    def client(self, **options: Any) -> httpx2.AsyncClient:
        """A client all of whose requests are checked, those that follow a redirect as well. options: as of httpx2."""
        options.setdefault("timeout", _TIMEOUT_S)
        # Proxies of the environment would be another way out.
        transport = _Checked(self, httpx2.AsyncHTTPTransport(trust_env=False))
        return httpx2.AsyncClient(transport=transport, trust_env=False, **options)


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


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
