"""Settings of hosted providers: where they are, and whether the operator lets anything go there."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr, field_validator

from server.settings_group import Group

_URL = r"^(wss?://[^\s?#]+)?$"
_VOICE = "Voice of sessions whose own the provider does not have; empty for the provider's default."
_SESSION = "When a session moves on to a fresh connection, between two turns, in seconds."
_KEY = "The operator's key; never shown."


class OpenAISettings(Group):
    """The OpenAI Realtime API."""

    url: str = Field(default="wss://api.openai.com/v1", pattern=_URL, description="The API's base.")
    key: SecretStr = Field(default=SecretStr(""), description=_KEY)
    model: str = Field(default="gpt-realtime", min_length=1, description="Realtime model.")
    voice: str = Field(default="", description=_VOICE)
    transcription: str = Field(
        default="gpt-4o-mini-transcribe",
        description="Model that writes down what callers say, for a conversation that goes on over a new connection;"
        " empty asks for it only where the client does.",
    )
    session_s: float = Field(default=3300, ge=1, le=86_400, description=_SESSION)


class AzureSettings(Group):
    """Azure OpenAI's Realtime API (GA)."""

    url: str = Field(default="", pattern=_URL, description="`wss://RESOURCE.openai.azure.com/openai/v1`.")
    key: SecretStr = Field(default=SecretStr(""), description=_KEY)
    deployment: str = Field(default="", description="Deployment of a realtime model.")
    voice: str = Field(default="", description=_VOICE)
    transcription: str = Field(
        default="", description="Deployment that writes down what callers say; empty as for `cloud.openai`."
    )
    session_s: float = Field(default=3300, ge=1, le=86_400, description=_SESSION)


class GeminiSettings(Group):
    """Google's Gemini Live API."""

    url: str = Field(default="wss://generativelanguage.googleapis.com", pattern=_URL, description="The API's host.")
    key: SecretStr = Field(default=SecretStr(""), description=_KEY)
    model: str = Field(default="gemini-3.8-live", min_length=1, description="Live model.")
    voice: str = Field(
        default="Kore", min_length=1, description="Voice of sessions whose own the provider does not have."
    )
    session_s: float = Field(default=3300, ge=1, le=86_400, description=_SESSION)


class CloudSettings(Group):
    """Hosted providers. They are of no use until `residency.allow_cloud` names them."""

    openai: OpenAISettings = OpenAISettings()
    azure: AzureSettings = AzureSettings()
    gemini: GeminiSettings = GeminiSettings()


PROVIDER_KEYS = frozenset(f"cloud.{provider}.key" for provider in CloudSettings.model_fields)
"""Settings whose value is never shown."""


class Permit(Group):
    """The operator's word that callers' speech may go to a provider. host: as in its URL, with the port if that has
    one. region: where it is processed, for the record. purpose: ``primary`` serves all new sessions there,
    ``fallback`` those that cannot be served here."""

    provider: Literal["openai", "azure", "gemini"]
    host: str = Field(min_length=1)
    region: str = Field(min_length=1)
    purpose: Literal["fallback", "primary"]

    def __str__(self) -> str:
        return f"{self.provider} at {self.host} ({self.region}) as {self.purpose}"


class ResidencySettings(Group):
    """Where callers' speech may be processed."""

    allow_cloud: tuple[Permit, ...] = Field(
        default=(),
        description="Hosted providers that may be sent what callers say, each with `provider`, `host`, `region` and"
        " `purpose`; none: nothing leaves.",
    )

    max_sessions: int = Field(
        default=32, ge=1, le=10_000, description="Sessions at once that fallbacks serve, besides those served here."
    )
    notice: str = Field(
        default="",
        description="Said first to callers whom a hosted provider serves, where no agent has words for that.",
    )

    @field_validator("allow_cloud", mode="before")
    @classmethod
    def _none(cls, value: object) -> object:
        # An environment variable can be emptied more easily than taken away.
        return () if value == "" else value
