"""The hosted providers, as far as the operator allows them; imported only where there is one."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from websockets.exceptions import InvalidStatus, WebSocketException

from server.cloud.base import Dialect
from server.cloud.gemini import GeminiDialect
from server.cloud.gemini_setup import GeminiOptions
from server.cloud.link import Dial, DialError, Pool, Socket
from server.cloud.openai import OpenAIDialect, Service
from server.cloud.openai_session import Wishes
from server.cloud.remote import RemoteRunner
from server.cloud.uplink import Presence
from server.cloud_settings import CloudSettings, Permit
from server.errors import CapacityError, PolicyError, SettingsError
from server.policy.audit import Audit
from server.policy.egress import Egress, is_loopback
from server.runtime.live import LiveSession, SessionPlan, start_here
from server.runtime.runner import Peer
from server.settings import Settings
from server.transports.wire import new_id

_log = logging.getLogger(__name__)

_SETTING = "residency.allow_cloud"
_ASIDE_S = 60.0
"""How long another fallback goes before one that has failed."""


@dataclass(frozen=True, slots=True)
class Provider:
    """One that may be used. dialect: makes a session's own, from the conversation's id."""

    permit: Permit
    dialect: Callable[[str], Dialect]
    pool: Pool

    def start(self, plan: SessionPlan, peer: Peer, presence: Presence) -> LiveSession:
        """Begin a session whose models are there. See ``StartSession``, and RemoteRunner for presence."""
        dialect = self.dialect(plan.new_id("conv"))
        return RemoteRunner(plan, peer, self.permit.provider, dialect, self.pool, presence)


@dataclass(frozen=True, slots=True)
class Providers:
    """All that ``residency.allow_cloud`` names. primary: serves all new sessions, if there is one. fallbacks: serve
    those that cannot be served here, the first one first."""

    primary: Provider | None
    fallbacks: tuple[Provider, ...]


def providers(settings: Settings) -> Providers:
    """Raises SettingsError for one that is not set up, or is elsewhere than its entry says."""
    made: dict[str, list[Provider]] = {"primary": [], "fallback": []}
    for permit in settings.residency.allow_cloud:
        url, dialect = _MAKERS[permit.provider](settings.cloud)
        _check(permit, url)
        # Spare connections are for whom all calls go to; a fallback dials when it is needed, and not before.
        pool = Pool(dialling(_egress(permit)), spares=int(permit.purpose == "primary"))
        made[permit.purpose].append(Provider(permit, dialect, pool))
    primary = made["primary"]
    if len(primary) > 1:
        raise SettingsError(f"{_SETTING} names two primary providers: {primary[0].permit}, and {primary[1].permit}")
    return Providers(primary[0] if primary else None, tuple(made["fallback"]))


class Hosted:
    """Begins sessions, here or there. Each one that goes there is in the audit log before anything of it leaves, and
    again when it has ended; where it cannot be written down, it does not go."""

    def __init__(
        self,
        known: Providers,
        audit: Audit,
        counted: Callable[[str, str], None],
        timed: Callable[[str, str, float], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """counted: called with the provider and the reason of each session that goes there. timed: with the provider, a
        stage of an answer from there, and its seconds since the end of the caller's speech."""
        self._known, self._timed = known, timed
        self.audit, self.counted, self.clock = audit, counted, clock
        self._aside: dict[int, float] = {}

    def start(self, plan: SessionPlan, peer: Peer) -> LiveSession:
        """See ``StartSession``. Raises CapacityError for a session that may not leave where there is no place here."""
        if plan.stays:
            if plan.place.instead == "full":
                raise CapacityError("All sessions of this server are in use, and this one stays here; try again later.")
            return start_here(plan, peer)
        provider = self._choose() if plan.place.instead else self._known.primary
        if provider is None:
            return start_here(plan, peer)
        reason = plan.place.instead or provider.permit.purpose
        plan = replace(plan, observer=_Timed(self._timed, provider.permit.provider))
        return provider.start(plan, peer, _Recorded(self, plan, provider, reason))

    async def close(self) -> None:
        """Let go of connections that were made ahead, and of the audit log."""
        for provider in (self._known.primary, *self._known.fallbacks):
            if provider is not None:
                await provider.pool.close()
        self.audit.close()

    def _choose(self) -> Provider | None:
        """The first fallback that has not failed a moment ago; if all have, the one that did so first."""
        return min(self._known.fallbacks, key=self._failed_at, default=self._known.primary)

    def put_aside(self, provider: Provider) -> None:
        """It has failed: others go first for a while."""
        self._aside[id(provider)] = self.clock()

    def _failed_at(self, provider: Provider) -> float:
        moment = self._aside.get(id(provider), 0.0)
        return moment if moment + _ASIDE_S > self.clock() else 0.0


@dataclass(frozen=True, slots=True)
class _Timed:
    """See ``StageObserver``: a provider's answers are not timed with those that are made here."""

    timed: Callable[[str, str, float], None]
    provider: str

    def observe_stage(self, stage: str, seconds: float) -> None:
        """See ``StageObserver``."""
        self.timed(self.provider, stage, seconds)


class _Recorded:
    """See ``Presence``: one session's, in the audit log."""

    def __init__(self, hosted: Hosted, plan: SessionPlan, provider: Provider, reason: str) -> None:
        self._hosted, self._plan, self._provider, self._reason = hosted, plan, provider, reason
        self._began = 0.0

    async def begin(self) -> None:
        """See ``Presence``."""
        plan, permit = self._plan, self._provider.permit
        facts = {"purpose": permit.purpose, "reason": self._reason, "door": plan.door, "agent": plan.agent}
        await self._hosted.audit.record("cloud.session_began", plan.id, **_where(permit), **facts)
        _log.warning("served elsewhere", extra={"session": plan.id, **_where(permit), **facts})
        self._hosted.counted(permit.provider, self._reason)
        self._began = self._hosted.clock()

    async def end(self, *, failed: bool) -> None:
        """See ``Presence``."""
        seconds = round(self._hosted.clock() - self._began, 1)
        if failed:
            self._hosted.put_aside(self._provider)
        where = _where(self._provider.permit)
        await self._hosted.audit.record("cloud.session_ended", self._plan.id, **where, seconds=seconds)


def _where(permit: Permit) -> dict[str, str]:
    return {"provider": permit.provider, "host": permit.host, "region": permit.region}


def _check(permit: Permit, url: str) -> None:
    parts = urlsplit(url)
    if permit.host.lower() not in (parts.netloc.lower(), (parts.hostname or "").lower()):
        raise SettingsError(
            f"cloud.{permit.provider}.url is on {parts.netloc or 'no host'}, and {_SETTING} names {permit.host} for it"
        )
    if parts.scheme == "ws" and not is_loopback(parts.hostname or ""):
        raise SettingsError(f"cloud.{permit.provider}.url must begin with wss:// for a host that is not this machine")


def _egress(permit: Permit) -> Egress:
    try:
        return Egress([permit.host], _SETTING)
    except ValueError as error:
        raise SettingsError(f"{_SETTING}: {error}") from None


def dialling(egress: Egress) -> Dial:
    """Connects by WebSocket as far as ``egress`` lets it."""

    async def dial(url: str, headers: Mapping[str, str]) -> Socket:
        try:
            return await egress.websocket(url, headers)
        except InvalidStatus as refused:
            body = refused.response.body or b""
            raise DialError(refused.response.status_code, body[:512].decode(errors="replace")) from None
        except (OSError, TimeoutError, WebSocketException, PolicyError) as error:
            raise DialError(0, str(error) or type(error).__name__) from None

    return dial


def _openai(cloud: CloudSettings) -> tuple[str, Callable[[str], Dialect]]:
    own = cloud.openai
    wishes = Wishes(own.voice, own.transcription)
    service = Service(
        "openai", own.url, _needed("cloud.openai.key", own.key.get_secret_value()), own.model, wishes, own.session_s
    )
    return own.url, lambda conversation_id: OpenAIDialect(service, conversation_id)


def _azure(cloud: CloudSettings) -> tuple[str, Callable[[str], Dialect]]:
    own = cloud.azure
    wishes = Wishes(own.voice, own.transcription)
    url = _needed("cloud.azure.url", own.url)
    deployment = _needed("cloud.azure.deployment", own.deployment)
    key = _needed("cloud.azure.key", own.key.get_secret_value())
    service = Service("azure", url, key, deployment, wishes, own.session_s)
    return url, lambda conversation_id: OpenAIDialect(service, conversation_id)


def _gemini(cloud: CloudSettings) -> tuple[str, Callable[[str], Dialect]]:
    own = cloud.gemini
    key = _needed("cloud.gemini.key", own.key.get_secret_value())
    options = GeminiOptions(own.model, key, own.url, own.voice, own.session_s)
    return own.url, lambda conversation_id: GeminiDialect(options, conversation_id, new_id)


def _needed(name: str, value: str) -> str:
    if not value:
        raise SettingsError(f"{_SETTING} names {name.split('.')[1]}, but {name} is not set")
    return value


_MAKERS: Mapping[str, Callable[[CloudSettings], tuple[str, Callable[[str], Dialect]]]] = {
    "openai": _openai,
    "azure": _azure,
    "gemini": _gemini,
}
"""By provider: where it is, and what makes its dialects."""
