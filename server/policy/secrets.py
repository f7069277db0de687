"""Client secrets (``ek_...``): keys for a browser or an app, which live for minutes and open Realtime sessions only."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from server.core.events import SessionConfig
from server.errors import CapacityError
from server.policy.keys import digest, new_token

PREFIX = "ek_"
_MAX_SECRETS = 10_000
_MAX_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Secret:
    """What a client secret stands for.

    sha256: of its text, which is kept nowhere. issuer: hash of the key that made it, None on an open server.
    config: what its sessions start with. expires_at: Unix seconds. size: bytes that its configuration took on the
    wire.
    """

    sha256: str
    issuer: str | None
    config: SessionConfig
    expires_at: int
    size: int


class Secrets:
    """The secrets of one server, in memory: bounded in number and size, gone with the process. clock: Unix seconds."""

    def __init__(
        self, max_secrets: int = _MAX_SECRETS, max_bytes: int = _MAX_BYTES, clock: Callable[[], float] = time.time
    ) -> None:
        self._max_secrets = max_secrets
        self._max_bytes = max_bytes
        self._clock = clock
        self._bytes = 0
        # Those that have expired stay until there is need for room: so they can be told from what never was one.
        self._secrets: dict[str, Secret] = {}

    def issue(self, issuer: str | None, config: SessionConfig, seconds: int, size: int) -> tuple[str, Secret]:
        """A new secret's text, and what is kept of it. Raises CapacityError when the store is full."""
        if self._full(size):
            self._drop_expired()
        if self._full(size):
            raise CapacityError("Too many client secrets are waiting to expire; try again later.")
        token = new_token(PREFIX)
        secret = Secret(digest(token), issuer, config, int(self._clock()) + seconds, size)
        self._secrets[secret.sha256] = secret
        self._bytes += size
        return token, secret

    def find(self, token: str) -> Secret | None:
        """The secret with this text, expired or not; None if there is none."""
        # Nobody can steer the hash of a guess towards that of a secret, so how long the look-up takes tells nothing.
        return self._secrets.get(digest(token))

    def expired(self, secret: Secret) -> bool:
        """Whether its time is over. Sessions that it opened go on."""
        return secret.expires_at <= self._clock()

    def _full(self, size: int) -> bool:
        return len(self._secrets) >= self._max_secrets or self._bytes + size > self._max_bytes

    def _drop_expired(self) -> None:
        self._secrets = {sha256: secret for sha256, secret in self._secrets.items() if not self.expired(secret)}
        self._bytes = sum(secret.size for secret in self._secrets.values())
