"""Settings of the phone doors."""

from __future__ import annotations

from pydantic import Field, SecretStr, field_validator

from server.settings_group import Group

_MAX_PORT = 65_535


class PhoneSettings(Group):
    """Calls over any carrier."""

    public_url: str = Field(
        default="",
        pattern=r"^(https?://[^\s?#]*[^\s?#/])?$",
        description="Where carriers reach this server, as `https://host[:port][/path]`.",
    )
    token: SecretStr = Field(
        default=SecretStr(""),
        description="Shown by carriers that sign nothing (all but Twilio); empty closes their doors.",
    )
    agents: str = Field(
        default="",
        description="Agent by the number that was called: `+4930123=NAME *=NAME`; empty for the settings' own.",
    )
    transfers: str = Field(
        default="", description="Numbers that agents may hand calls to, by a name: `human=+4930456`; empty for none."
    )
    end_call: bool = Field(default=False, description="Agents may end a call by themselves.")
    wide: bool = Field(
        default=False, description="Sound in 16 bits at 16 kHz, with the carriers that have it: Vonage and Plivo."
    )
    greeting: str = Field(default="", description="What a call begins with; empty for the language's own.")
    voicemail: str = Field(
        default="", description="What a machine is told that answers `kammerton call`; empty to hang up."
    )
    phrases: str = Field(
        default="", description="TOML file with what the door says by itself, by language; empty for its own words."
    )
    silence_s: float = Field(
        default=10, ge=2, le=600, description="A caller who says nothing for so long is asked; the third time it ends."
    )
    max_call_s: float = Field(default=3600, ge=10, le=86_400, description="Longest call; a minute before, it is told.")
    interrupt_ms: int = Field(
        default=96,
        ge=64,
        le=2000,
        description="Speech that it takes to stop an answer on the phone, in ms; it pauses at the first sound of it.",
    )
    interrupt_words: int = Field(
        default=0,
        ge=0,
        le=10,
        description="Words that it takes as well; 0: anything but `mm-hm`, `ja genau` and the like stops it.",
    )
    drain_s: float = Field(
        default=300,
        ge=0,
        le=86_400,
        description="How long calls may go on when the server is told to end; then they are bidden goodbye.",
    )
    resume_s: float = Field(
        default=20, ge=0, le=300, description="How long a call whose connection was lost waits for a new one."
    )


class AsteriskSettings(Group):
    """Asterisk on the same machine or in the same network."""

    audiosocket: str = Field(
        default="",
        pattern=r"^(\S+:\d{1,5})?$",
        description="Address for AudioSocket connections, as `host:port`; port 0: a free one, which the log names."
        " Empty for none.",
    )

    @field_validator("audiosocket")
    @classmethod
    def _is_a_port(cls, address: str) -> str:
        port = address.rpartition(":")[2]
        if port and int(port) > _MAX_PORT:
            raise ValueError(f"{port} is no port; allowed: 0 to {_MAX_PORT}")
        return address


class TwilioSettings(Group):
    """The door for Twilio; closed without an auth token."""

    account_sid: str = Field(
        default="", description="The account's id: opens its REST API, which moves and makes calls."
    )
    number: str = Field(default="", description="The number that `kammerton call` calls from.")
    api_url: str = Field(
        default="https://api.twilio.com",
        pattern=r"^https?://[^\s?#/]+$",
        description="Twilio's REST API; `https://api.dublin.ie1.twilio.com` keeps calls in the EU.",
    )
    auth_token: SecretStr = Field(default=SecretStr(""), description="The account's, which signs its requests.")
    shared_key: SecretStr = Field(
        default=SecretStr(""), description="Shared key for SHA-256 signatures, as `id:secret`."
    )


class VonageSettings(Group):
    """Vonage's REST API, which hands calls on; not used without an application."""

    application_id: str = Field(default="", description="The application's id: opens the REST API, which moves calls.")
    private_key: str = Field(default="", description="PEM file with the application's private key.")
    number: str = Field(default="", description="Number shown to whom calls are handed on to; one of the account's.")
    api_url: str = Field(
        default="https://api.nexmo.com",
        pattern=r"^https?://[^\s?#/]+$",
        description="Vonage's REST API, in the region where the application is.",
    )
