"""Every setting of Kammerton: one frozen tree, read once at the start, by this file alone.

A value comes from, weakest first: its default, a TOML file, the environment (``KAMMERTON_SERVER__PORT``), the
command line. ``load`` says which one it was for each value. Whatever is misspelt or out of range is a
``SettingsError`` that names the setting, before any weights are read.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings import SettingsError as SourceError

from server.agent_settings import AgentsSettings, EgressSettings, StoreSettings
from server.cloud_settings import PROVIDER_KEYS, CloudSettings, ResidencySettings
from server.conversation_settings import AgentSettings, ApologySettings, EngineSettings, TurnSettings
from server.errors import SettingsError
from server.phone_settings import AsteriskSettings, PhoneSettings, TwilioSettings, VonageSettings
from server.policy_settings import AuditSettings
from server.serving_settings import AuthSettings, LogSettings, MetricsSettings, ServerSettings, TlsSettings

PREFIX = "KAMMERTON_"
CONFIG_VARIABLE = "KAMMERTON_CONFIG"
DEFAULT = "default"

_SECRET = {"auth.key", "phone.token", "twilio.auth_token", "twilio.shared_key", *PROVIDER_KEYS}
"""Settings whose value is never shown."""

_PASSWORD = re.compile(r"(://[^:/@]*):(\S*|[^@]*)@")
"""In an address, of a database or a provider. It ends at the last @ that it may: a password can hold one itself."""

# Kubernetes and Docker links put KAMMERTON_PORT=tcp://... and the like beside a service of that name.
_FOREIGN = re.compile(
    r"KAMMERTON_(SERVICE_(HOST|PORT)(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?|NAME|ENV_\w+)"
)


class Settings(BaseSettings):
    """The whole tree. ``Settings()`` is the defaults alone; ``load`` reads the file and the environment."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix=PREFIX, env_nested_delimiter="__", validate_default=True
    )

    profile: str = Field(
        default="auto",
        min_length=1,
        description="Models to run: `tiny`, `cpu`, `gpu`, `gpu-large`, or `auto`: the best on disk.",
    )
    weights_dir: Path = Field(
        default=Path("~/.local/share/kammerton/weights"), description="Folder of fetched weights."
    )
    server: ServerSettings = ServerSettings()
    auth: AuthSettings = AuthSettings()
    tls: TlsSettings = TlsSettings()
    phone: PhoneSettings = PhoneSettings()
    twilio: TwilioSettings = TwilioSettings()
    vonage: VonageSettings = VonageSettings()
    asterisk: AsteriskSettings = AsteriskSettings()
    turns: TurnSettings = TurnSettings()
    agent: AgentSettings = AgentSettings()
    apology: ApologySettings = ApologySettings()
    agents: AgentsSettings = AgentsSettings()
    store: StoreSettings = StoreSettings()
    egress: EgressSettings = EgressSettings()
    audit: AuditSettings = AuditSettings()
    residency: ResidencySettings = ResidencySettings()
    cloud: CloudSettings = CloudSettings()
    engines: EngineSettings = EngineSettings()
    log: LogSettings = LogSettings()
    metrics: MetricsSettings = MetricsSettings()

    @field_validator("weights_dir")
    @classmethod
    def _expand_home(cls, value: Path) -> Path:
        return value.expanduser()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Values given by ``load`` only: it must know where each one came from."""
        return (init_settings,)


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and for each one by dotted name where its value comes from."""

    settings: Settings
    origins: Mapping[str, str]

    def rows(self) -> Iterator[tuple[str, str, str]]:
        """(name, value, origin) of every setting, in order. A secret prints itself as stars."""
        for name in field_names():
            value: Any = self.settings
            for part in name.split("."):
                value = getattr(value, part)
            value = "; ".join(map(str, value)) if isinstance(value, tuple) else value
            shown = str(value).lower() if isinstance(value, bool) else _without_password(str(value))
            yield name, shown, self.origins[name]


def _without_password(text: str) -> str:
    return _PASSWORD.sub(r"\1:***@", text)


def load(overrides: Mapping[str, Any] | None = None, config: Path | None = None) -> Loaded:
    """Read all sources. overrides: values of the command line by dotted name; None values count as not given.

    config: a TOML file, else the one named by KAMMERTON_CONFIG, else none. Raises SettingsError.
    """
    names = field_names()
    if config is None and os.environ.get(CONFIG_VARIABLE):
        config = Path(os.environ[CONFIG_VARIABLE])
    layers: list[tuple[Mapping[str, Any], str]] = []
    if config is not None:
        layers.append((_flat(_read_toml(config)), f"file {config}"))
    layers.append((_flat(_read_environment(names)), "environment"))
    layers.append(({name: value for name, value in (overrides or {}).items() if value is not None}, "command line"))

    values: dict[str, Any] = {}
    origins = dict.fromkeys(names, DEFAULT)
    for layer, origin in layers:
        for name, value in layer.items():
            if name not in origins:
                raise SettingsError(f"{origin}: {name} is no setting{_near(name, names)}")
            values[name], origins[name] = value, origin
    try:
        return Loaded(Settings(**_nested(values)), MappingProxyType(origins))
    except ValidationError as error:
        raise SettingsError(_sentence(error, origins)) from None


def field_names(model: type[BaseModel] = Settings, prefix: str = "") -> tuple[str, ...]:
    """Dotted names of all settings, in the order of the tree."""
    names: list[str] = []
    for attribute, info in model.model_fields.items():
        name = prefix + attribute
        group = info.annotation
        if isinstance(group, type) and issubclass(group, BaseModel):
            names += field_names(group, name + ".")
        else:
            names.append(name)
    return tuple(names)


def variable(name: str) -> str:
    """The environment variable of a setting: server.port is KAMMERTON_SERVER__PORT."""
    return PREFIX + name.replace(".", "__").upper()


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise SettingsError(f"cannot read the settings file {path}: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"the settings file {path} is not valid TOML: {error}") from None


def _read_environment(names: tuple[str, ...]) -> dict[str, Any]:
    groups = {name.split(".")[0] for name in names}
    known = {variable(name) for name in names} | {PREFIX + group.upper() for group in groups} | {CONFIG_VARIABLE}
    for given in os.environ:
        if given.startswith(PREFIX) and given not in known and not _FOREIGN.fullmatch(given):
            raise SettingsError(f"environment: {given} is no setting{_near(given, tuple(known))}")
    try:
        return EnvSettingsSource(Settings)()
    except SourceError as error:
        raise SettingsError(f"environment: {error}") from None


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, value in flat.items():
        *groups, last = name.split(".")
        branch = tree
        for group in groups:
            branch = branch.setdefault(group, {})
        branch[last] = value
    return tree


def _near(name: str, names: tuple[str, ...]) -> str:
    """A hint with the settings that read like ``name``, or whose last part does."""
    near = difflib.get_close_matches(name, names, n=2, cutoff=0.7)
    leaf = {known.rpartition(".")[2]: known for known in names}
    near += [leaf[part] for part in difflib.get_close_matches(name.rpartition(".")[2], leaf, n=2, cutoff=0.8)]
    return f"; did you mean {' or '.join(dict.fromkeys(near))}?" if near else ""


def _sentence(error: ValidationError, origins: Mapping[str, str]) -> str:
    """All faults in one line, each with the setting, where it came from, what it was and what it must be."""
    faults = []
    for fault in error.errors(include_url=False, include_context=False):
        name = ".".join(str(part) for part in fault["loc"])
        message = fault["msg"][:1].lower() + fault["msg"][1:]
        given = "" if name in _SECRET else f", not {_without_password(repr(fault['input']))}"
        faults.append(f"{name} ({origins.get(name, DEFAULT)}): {message}{given}")
    return "bad setting " + "; ".join(faults)
