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
from typing import Any, Literal

from pydantic import BaseModel, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings import SettingsError as SourceError

from server.agent_settings import AgentsSettings, EgressSettings, StoreSettings
from server.cloud_settings import PROVIDER_KEYS, CloudSettings, ResidencySettings
from server.errors import SettingsError
from server.phone_settings import AsteriskSettings, PhoneSettings, TwilioSettings, VonageSettings
from server.policy_settings import AuditSettings
from server.settings_group import Group

PREFIX = "KAMMERTON_"
CONFIG_VARIABLE = "KAMMERTON_CONFIG"
DEFAULT = "default"

_MIN_KEY = 16
_SECRET = {"auth.key", "phone.token", "twilio.auth_token", "twilio.shared_key", *PROVIDER_KEYS}
"""Settings whose value is never shown."""

_PASSWORD = re.compile(r"(://[^:/@]*):[^@]*@")
"""In a database's address."""

# Kubernetes and Docker links put KAMMERTON_PORT=tcp://... and the like beside a service of that name.
_FOREIGN = re.compile(
    r"KAMMERTON_(SERVICE_(HOST|PORT)(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?|NAME|ENV_\w+)"
)


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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


class TurnSettings(Group):
    """How the end of a turn is met."""

    prepare: bool = Field(
        default=True, description="Prepare the answer inside the hold, while the caller's turn may still go on."
    )
    soft_end_ms: int = Field(
        default=96, ge=32, le=2000, description="Silence after which an answer is prepared, in ms."
    )
    max_prepares: int = Field(
        default=3, ge=0, le=20, description="Answers prepared and thrown away in one turn before waiting for its end."
    )
    interrupt_ms: int = Field(
        default=160, ge=64, le=2000, description="Speech that it takes to stop an answer, in ms; less is a click."
    )
    interrupt_words: int = Field(
        default=1,
        ge=0,
        le=10,
        description="Words that it takes to stop an answer, `mm-hm` and the like not counted; 0: any speech does.",
    )


class AgentSettings(Group):
    """What a session starts with until its client says otherwise."""

    instructions: str = Field(
        default="You are a friendly phone assistant. Answer in short sentences.",
        description="System text of a new session.",
    )
    voice: str = Field(default="", description="Voice by name; empty takes the first that speaks the language.")
    language: str = Field(
        default="en", pattern=r"^([a-z]{2,3})?$", description="Language expected first, ISO 639; empty for none."
    )
    language_floor: float = Field(
        default=0.7, ge=0, le=1, description="How sure another language must be heard for a call to change over to it."
    )
    voices: str = Field(
        default="",
        pattern=r"^([a-z]{2,3}=\S+(\s+[a-z]{2,3}=\S+)*)?$",
        description="Voices of languages that `agent.voice` does not speak, as `de=NAME fr=NAME`.",
    )

    def voice_by_language(self) -> dict[str, str]:
        """``voices`` by language."""
        pairs = (pair.partition("=") for pair in self.voices.split())
        return {language: name for language, _, name in pairs}


_APOLOGY = "Said when an engine gave up on an answer; empty for nothing."


class ApologySettings(Group):
    """What is said when an engine gave up on an answer, by the language of the call. A call in another language gets
    the failed response only."""

    de: str = Field(default="Entschuldigung, da ist etwas schiefgegangen. Bitte noch einmal.", description=_APOLOGY)
    en: str = Field(default="Sorry, something went wrong. Please say that again.", description=_APOLOGY)
    es: str = Field(default="Perdone, algo ha fallado. Por favor, repítalo.", description=_APOLOGY)
    fr: str = Field(default="Pardon, quelque chose n'a pas marché. Répétez, s'il vous plaît.", description=_APOLOGY)
    it: str = Field(default="Mi scusi, qualcosa è andato storto. Ripeta, per favore.", description=_APOLOGY)
    nl: str = Field(default="Sorry, er ging iets mis. Zeg het nog eens, alstublieft.", description=_APOLOGY)
    pl: str = Field(default="Przepraszam, coś poszło nie tak. Proszę powtórzyć.", description=_APOLOGY)
    pt: str = Field(default="Desculpe, algo correu mal. Repita, por favor.", description=_APOLOGY)


class EngineSettings(Group):
    """How much of the machine each engine takes. The defaults follow from the number of cores."""

    stt_threads: int = Field(
        default_factory=lambda: max(1, min(4, _cores() // 2)), ge=1, le=256, description="Threads of the transcriber."
    )
    llm_threads: int = Field(
        default_factory=lambda: max(1, min(8, _cores() // 2)),
        ge=1,
        le=256,
        description="Threads of a chat model that runs in the server's process.",
    )
    tts_workers: int = Field(
        default_factory=lambda: max(1, min(4, _cores() // 4)), ge=1, le=64, description="Speech worker processes."
    )
    batching: bool = Field(
        default=True,
        description="Run requests of several callers together, urgent first; off serves one by one, to compare.",
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
            shown = str(value).lower() if isinstance(value, bool) else _PASSWORD.sub(r"\1:***@", str(value))
            yield name, shown, self.origins[name]


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
        given = "" if name in _SECRET else f", not {fault['input']!r}"
        faults.append(f"{name} ({origins.get(name, DEFAULT)}): {message}{given}")
    return "bad setting " + "; ".join(faults)
