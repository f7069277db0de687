"""The hosted providers, as far as the operator allows them; imported only where there is one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from websockets.exceptions import InvalidStatus, WebSocketException

from server.cloud.base import Dialect
from server.cloud.link import Dial, DialError, Pool, Socket
from server.cloud.openai import OpenAIDialect, Service
from server.cloud.openai_session import Wishes
from server.cloud.remote import RemoteRunner
from server.cloud_settings import CloudSettings, Permit
from server.errors import PolicyError, SettingsError
from server.policy.egress import Egress, is_loopback
from server.runtime.live import LiveSession, SessionPlan
from server.runtime.runner import Peer
from server.settings import Settings

_SETTING = "residency.allow_cloud"


@dataclass(frozen=True, slots=True)
class Provider:
    """One that may be used. dialect: makes a session's own, from the conversation's id."""

    permit: Permit
    dialect: Callable[[str], Dialect]
    pool: Pool

    def start(self, plan: SessionPlan, peer: Peer) -> LiveSession:
        """Begin a session whose models are there. See ``StartSession``."""
        dialect = self.dialect(plan.new_id("conv"))
        return RemoteRunner(plan, peer, self.permit.provider, dialect, self.pool)


class Hosted:
    """All providers that ``residency.allow_cloud`` names. Raises SettingsError for one that is not set up, or is
    elsewhere than its entry says."""

    def __init__(self, settings: Settings) -> None:
        permits = settings.residency.allow_cloud
        self.primary: Provider | None = None
        self.fallbacks: list[Provider] = []
        for permit in permits:
            url, dialect = _MAKERS[permit.provider](settings.cloud)
            _check(permit, url)
            # Spare connections are for whom all calls go to; a fallback dials when it is needed, and not before.
            pool = Pool(dialling(_egress(permit)), spares=int(permit.purpose == "primary"))
            provider = Provider(permit, dialect, pool)
            if permit.purpose == "fallback":
                self.fallbacks.append(provider)
            elif self.primary is None:
                self.primary = provider
            else:
                raise SettingsError(f"{_SETTING} names two primary providers: {self.primary.permit}, and {permit}")

    async def close(self) -> None:
        """Let go of connections that were made ahead."""
        for provider in (self.primary, *self.fallbacks):
            if provider is not None:
                await provider.pool.close()


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


def _needed(name: str, value: str) -> str:
    if not value:
        raise SettingsError(f"{_SETTING} names {name.split('.')[1]}, but {name} is not set")
    return value


_MAKERS: Mapping[str, Callable[[CloudSettings], tuple[str, Callable[[str], Dialect]]]] = {
    "openai": _openai,
    "azure": _azure,
}
"""By provider: where it is, and what makes its dialects."""
