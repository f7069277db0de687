"""Settings of the server as a program: where it listens, who may come in, and what it writes down."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator

from server.settings_group import Group

_MIN_KEY = 16


class ServerSettings(Group):
    """Where the server listens, and for how many at once."""

    host: str = Field(default="127.0.0.1", min_length=1, description="Address to listen on; 0.0.0.0 for all.")
    port: int = Field(default=8080, ge=0, le=65535, description="TCP port; 0 takes a free one.")
    max_sessions: int = Field(default=32, ge=1, description="Sessions at once; the next one is refused with 1013.")
    ping_s: float = Field(
        default=20,
        ge=1,
        le=600,
        description="Seconds between pings, and for an answer to one; then it closes with 1011.",
    )
    stalled_s: float = Field(
        default=30,
        ge=1,
        le=600,
        description="A client that takes nothing of what is sent for so long is cut off (1008).",
    )
    drain_s: float = Field(
        default=30, ge=0, le=86_400, description="How long sessions may go on when the server is told to end."
    )
    unsent_kib: int = Field(
        default=256, ge=64, le=65_536, description="KiB that may wait for a client before its session is held back."
    )


class AuthSettings(Group):
    """Who may come in."""

    key: SecretStr = Field(default=SecretStr(""), description="One key, besides those of the keys file.")
    keys_file: Path = Field(
        default=Path("~/.config/kammerton/keys.json"), description="Where `kammerton keys` keeps the keys' hashes."
    )
    allow_open: bool = Field(
        default=False, description="Start without a key where other machines can connect: anybody may come in."
    )
    allowed_origins: str = Field(
        default="",
        pattern=r"^(\*|https?://[^\s/]+(\s+https?://[^\s/]+)*)?$",
        description="Origins of other web pages that may connect, as `scheme://host[:port]`, with spaces between them;"
        " `*` for all.",
    )

    @field_validator("key")
    @classmethod
    def _long_enough(cls, value: SecretStr) -> SecretStr:
        if 0 < len(value.get_secret_value()) < _MIN_KEY:
            raise ValueError(f"a key of at least {_MIN_KEY} characters is needed; `kammerton keys create` makes one")
        return value


class TlsSettings(Group):
    """Encryption on the wire."""

    certificate: str = Field(default="", description="PEM file with the certificate and its chain; empty for no TLS.")
    key: str = Field(default="", description="PEM file with the certificate's private key; empty if it is in there.")
    allow_plaintext: bool = Field(
        default=False, description="Start without TLS where other machines can connect: what is said can be read."
    )


class LogSettings(Group):
    """What is written to standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least severity written.")
    format: Literal["console", "json"] = Field(
        default="console", description="Lines to read, or one JSON object a line."
    )
    pii: bool = Field(default=False, description="Keep personal data (what callers say) in the log.")


class MetricsSettings(Group):
    """The Prometheus page."""

    enabled: bool = Field(default=True, description="Serve `/metrics`.")
    open: bool = Field(
        default=False, description="Serve `/metrics` without a key, too, where other machines can connect."
    )
