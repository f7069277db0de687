"""Who comes in: a key or a client secret to what its holder may do."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from server.core.events import SessionConfig
from server.errors import AccessError
from server.policy.keys import Key, Keys
from server.policy.limits import Meter
from server.policy.secrets import Secrets
from server.policy.usage import Usage


@dataclass(frozen=True, slots=True)
class Grant:
    """What one caller may do.

    issuer: hash of the key behind it, None on an open server. config: what the session starts with when a client
    secret says so.
    """

    meter: Meter
    secrets: Secrets
    issuer: str | None = None
    config: SessionConfig | None = None

    def session(self) -> AbstractContextManager[None]:
        """See ``Meter.session``."""
        return self.meter.session()

    def heard(self, seconds: float) -> None:
        """See ``Meter.heard``."""
        self.meter.heard(seconds)

    def spoken(self, seconds: float) -> None:
        """See ``Meter.spoken``."""
        self.meter.spoken(seconds)

    @property
    def audio_left(self) -> tuple[float, float, float] | None:
        """See ``Meter.audio_left``."""
        return self.meter.audio_left

    def issue(self, config: SessionConfig, seconds: int, size: int) -> tuple[str, int]:
        """A client secret of this key: its text, and when it expires in Unix seconds. Raises CapacityError."""
        token, secret = self.secrets.issue(self.issuer, config, seconds, size)
        return token, secret.expires_at


class Access:
    """The keys, the client secrets and what each key has used, of one server. used: what it was before, which may be
    of another day. clock: Unix seconds."""

    def __init__(
        self, keys: Keys, secrets: Secrets, used: Usage | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._keys = keys
        self._secrets = secrets
        self._clock = clock
        self._before = used or Usage()
        self._anybody = Meter(clock=clock)
        self._meters: dict[str, Meter] = {}

    @property
    def open(self) -> bool:
        """Whether no key is asked for."""
        return not self._keys.configured

    def http(self, token: str | None) -> Grant:
        """What a key allows beside the socket. Raises AccessError; a client secret is never enough."""
        if token and self._secrets.find(token):
            raise AccessError("secret_scope", "A client secret opens Realtime sessions only; this needs an API key.")
        if self.open:
            return Grant(self._anybody, self._secrets)
        return self._grant(self._keys.find(token))

    def realtime(self, token: str | None) -> Grant:
        """What a key or a client secret allows on the socket. Raises AccessError."""
        secret = self._secrets.find(token) if token else None
        if secret is None:
            return self.http(token)
        if self._secrets.expired(secret):
            raise AccessError("secret_expired", "The client secret provided is expired.")
        if secret.issuer is None:
            if not self.open:
                raise AccessError("key_unknown", "Incorrect API key provided.")
            return Grant(self._anybody, self._secrets, config=secret.config)
        # A secret is worth no more than its key is now.
        return self._grant(self._keys.by_digest(secret.issuer), secret.config)

    @property
    def used(self) -> Usage:
        """What the keys that have a limit have used today."""
        today, _ = self._anybody.used
        seconds = dict(self._before.seconds) if self._before.day == today else {}
        for sha256, meter in self._meters.items():
            if meter.audio_minutes_a_day is not None:
                seconds[sha256] = round(meter.used[1], 3)
        return Usage(day=today, seconds=seconds)

    def _grant(self, key: Key, config: SessionConfig | None = None) -> Grant:
        meter = self._meters.get(key.sha256)
        if meter is None:
            meter = self._meters[key.sha256] = Meter(clock=self._clock)
            if meter.used[0] == self._before.day:
                meter.spoken(self._before.seconds.get(key.sha256, 0.0))
        meter.max_sessions, meter.audio_minutes_a_day = key.max_sessions, key.audio_minutes_a_day
        return Grant(meter, self._secrets, key.sha256, config)
