"""Agent files: ``<name>.toml``, one agent each. Whatever is wrong is told with file, line and field."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from jsonschema import Draft202012Validator, SchemaError
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from server.agents.toml_lines import line_of
from server.core.tools import ANY_LANGUAGE
from server.errors import SettingsError

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
PLACE = re.compile(r"\{(\w+)\}")
"""Where an argument goes in the URL of an HTTP tool."""
_FUNCTION = r"^[a-zA-Z0-9_-]{1,64}$"


def _texts(value: Any) -> Any:
    return {ANY_LANGUAGE: value} if isinstance(value, str) else value


def _schema(value: dict[str, Any]) -> dict[str, Any]:
    """Raises ValueError for what is no JSON Schema: arguments would go unchecked."""
    try:
        Draft202012Validator.check_schema(value)
    except SchemaError as error:
        place = ".".join(map(str, error.absolute_path))
        raise ValueError(f"is no JSON Schema: {place and f'{place}: '}{error.message}") from None
    return value


def _of_object(value: dict[str, Any]) -> dict[str, Any]:
    if value.get("type") != "object":
        raise ValueError('is no JSON Schema of an argument object: it needs type = "object"')
    return value


Language = Annotated[str, Field(pattern=r"^([a-z]{2,3})?$")]
Words = Annotated[str, Field(min_length=1, max_length=2000)]
Texts = Annotated[dict[Language, Words], BeforeValidator(_texts)]
"""Words by ISO 639 language; a plain string is for all languages."""
Schema = Annotated[dict[str, Any], AfterValidator(_schema)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


class HttpEntry(_Table):
    """An endpoint. url: ``{name}`` in it is an argument, which must be a required parameter. ``${name}`` in a header is
    a secret."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    url: str = Field(pattern=r"^https?://\S+$")
    headers: dict[str, str] = {}


class McpEntry(_Table):
    """A server: the URL of streamable HTTP, or the command of a process, started in the agents' folder; ``python`` is
    the server's own. only: names of its tools; all if not given."""

    url: str | None = Field(default=None, pattern=r"^https?://\S+$")
    headers: dict[str, str] = {}
    command: list[str] | None = Field(default=None, min_length=1)
    environment: dict[str, str] = {}
    only: list[str] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> McpEntry:
        if (self.url is None) == (self.command is None):
            raise ValueError("give either url or command")
        return self


class PolicyEntry(_Table):
    """How a tool is run (see ToolPolicy), as far as a ``[[tools]]`` table or the mark of a function says."""

    timeout_s: float | None = Field(default=None, gt=0, le=600)
    on_interrupt: Literal["cancel", "finish"] | None = None
    safe: bool | None = None
    result_limit_bytes: int | None = Field(default=None, ge=64, le=1024 * 1024)
    filler: Texts | None = None
    second_filler: Texts | None = None
    slow_after_s: float | None = Field(default=None, gt=0, le=600)

    @property
    def policy(self) -> dict[str, Any]:
        """What is said of how the tool is run, by field of ToolPolicy."""
        said = ((name, getattr(self, name)) for name in PolicyEntry.model_fields)
        return {name: value for name, value in said if value is not None}


class ToolEntry(PolicyEntry):
    """A ``[[tools]]`` table: one of python, http and mcp, and how the tool is run."""

    python: str | None = Field(default=None, pattern=r"^[\w./-]+\.py(:\w+)?$")
    http: HttpEntry | None = None
    mcp: McpEntry | None = None
    name: str | None = Field(default=None, pattern=_FUNCTION)
    description: str = ""
    parameters: Annotated[Schema, AfterValidator(_of_object)] = {"type": "object", "properties": {}}

    @model_validator(mode="after")
    def _one_kind(self) -> ToolEntry:
        if [self.python, self.http, self.mcp].count(None) != 2:
            raise ValueError("give exactly one of python, http and mcp")
        if self.http and not (self.name and self.description):
            raise ValueError("an http tool needs a name and a description")
        if self.mcp and not self.name:
            raise ValueError("an mcp server needs a name")
        unread = {"name", "description", "parameters"} if self.python else {"description", "parameters"}
        if not self.http and (found := sorted(unread & self.model_fields_set)):
            raise ValueError(
                f"{found[0]} comes from the {'function' if self.python else 'server'} itself: leave it out"
            )
        if self.http:
            given = {*self.parameters.get("properties", {})} & {*self.parameters.get("required", ())}
            for name in sorted(places(self.http.url) - given):
                raise ValueError(f"the url has a place for {{{name}}}, which is no required parameter")
        return self


class Limits(_Table):
    """tool_calls_a_turn, tool_calls_a_session: of server tools; the next ones are refused. turns: of the caller.
    tokens: read and written by the model. Over one of the last three the script takes over, or the goodbye is said."""

    tool_calls_a_turn: int = Field(default=8, ge=0, le=100)
    tool_calls_a_session: int = Field(default=200, ge=0, le=10_000)
    turns: int | None = Field(default=None, ge=1)
    minutes: float | None = Field(default=None, gt=0)
    tokens: int | None = Field(default=None, ge=1)


class ModelEntry(_Table):
    """The chat model of an agent, where it is not the profile's. name: of an entry of the catalogue, or, with a url,
    what the server there calls it. url: of a server that speaks the chat completions protocol, up to and including
    ``/v1``. key: ``${name}`` of the secret that it asks for. context: tokens that prompt and answer may have there."""

    name: str = Field(min_length=1, max_length=200)
    url: str | None = Field(default=None, pattern=r"^https?://\S+$")
    key: str | None = Field(default=None, pattern=r"^\$\{\w+\}$")
    context: int | None = Field(default=None, ge=256)

    @model_validator(mode="after")
    def _of_a_server(self) -> ModelEntry:
        if self.url is None and (self.key or self.context):
            raise ValueError("key and context are those of a server: give its url")
        return self


class EscalationEntry(_Table):
    """When a caller goes to a human, and what is said then. to: on the phone, a name of ``phone.transfers``; any if not
    given. elsewhere: said instead where no call can be handed on. by_model: the model may decide. words: of the caller,
    in any language. failures: of the model, or of tools, in a row. misunderstandings: turns in a row of whose words the
    transcriber is less sure than min_confidence (0 to 1). limits: when turns, minutes or tokens are used up."""

    say: Texts = Field(min_length=1)
    elsewhere: Texts = {}
    to: str = Field(default="", max_length=100)
    by_model: bool = True
    words: list[Annotated[str, Field(min_length=1, max_length=100)]] = []
    failures: int | None = Field(default=None, ge=1, le=10)
    misunderstandings: int | None = Field(default=None, ge=1, le=10)
    min_confidence: float = Field(default=0.0, ge=0, le=1)
    limits: bool = False

    @model_validator(mode="after")
    def _measured(self) -> EscalationEntry:
        if (self.misunderstandings is None) != (self.min_confidence == 0):
            raise ValueError("misunderstandings and min_confidence belong together")
        return self


class StateEntry(_Table):
    """A state of a script. say: its sentence. slot: the name under which the caller's next words are kept. expect:
    what they must hold, as words by the value that is kept ("friday" = ["friday", "freitag"]); anything if not given.
    take: digits, letters, code or email, where the words dictate such a thing. next: the state after them; none at the
    end."""

    say: Texts
    slot: str | None = Field(default=None, pattern=r"^\w{1,64}$")
    expect: dict[str, list[str]] = {}
    take: Literal["digits", "letters", "code", "email"] | None = None
    next: str | None = None


class ScriptEntry(_Table):
    """What is said when the model cannot go on. failures: of the model in a row, before the script takes over.
    min_confidence: 0 to 1; a turn whose words the transcriber is less sure of is answered with ``unclear``, the second
    in a row with the script. start: the first state."""

    failures: int = Field(default=2, ge=1, le=10)
    min_confidence: float = Field(default=0.0, ge=0, le=1)
    unclear: Texts = {}
    start: str
    states: dict[str, StateEntry] = Field(min_length=1)

    @model_validator(mode="after")
    def _states_exist(self) -> ScriptEntry:
        named = {"start": self.start} | {f"states.{name}.next": state.next for name, state in self.states.items()}
        for place, name in named.items():
            if name is not None and name not in self.states:
                raise ValueError(f"{place} names {name!r}, which is no state of this script")
        if self.min_confidence and not self.unclear:
            raise ValueError("min_confidence needs a sentence in unclear")
        return self


class CloudEntry(_Table):
    """Where ``residency.allow_cloud`` names a hosted provider. allow: calls of this agent may be served there. say:
    said first to a caller who is."""

    allow: bool = True
    say: Texts = {}


class AgentFile(_Table):
    """One agent. greeting, disclosure: said first, the disclosure before the greeting. voices: by language.
    description, accepts: what other agents are told of it, and which facts they must hand over with a call (JSON Schema
    by name). hands_to: agents that it may hand a call to. goodbye: said when a limit is reached and there is no script.
    model: the profile's if not given. escalation: comes before the script. cloud: whether its calls may leave this
    machine, which is not for it to decide alone."""

    instructions: str = Field(min_length=1)
    language: Language = "en"
    greeting: Texts = {}
    disclosure: Texts = {}
    goodbye: Texts = {}
    voices: dict[Language, str] = {}
    description: str = ""
    accepts: dict[str, Schema] = {}
    hands_to: list[str] = []
    tools: list[ToolEntry] = []
    limits: Limits = Limits()
    model: ModelEntry | None = None
    escalation: EscalationEntry | None = None
    script: ScriptEntry | None = None
    cloud: CloudEntry = CloudEntry()


def read_agents(folder: Path) -> dict[str, AgentFile]:
    """All agents of a folder by name. Raises SettingsError: one line a fault."""
    if not folder.is_dir():
        raise SettingsError(f"agents.folder: {folder} is no folder")
    faults: list[str] = []
    agents: dict[str, AgentFile] = {}
    for path in sorted(folder.glob("*.toml")):
        try:
            agents[path.stem] = _read(path)
        except SettingsError as error:
            faults.append(str(error))
    for name, agent in agents.items():
        for at, target in enumerate(agent.hands_to):
            if target not in agents or target == name:
                faults.append(fault(folder, name, ("hands_to", at), f"{target!r} is no other agent of this folder"))
            elif agent.cloud.allow and not agents[target].cloud.allow:
                # A call does not change its place when it changes its agent.
                told = f"calls of {target!r} stay on this machine (cloud.allow = false), so those of {name!r} must, too"
                faults.append(fault(folder, name, ("hands_to", at), told))
    if faults:
        raise SettingsError("\n".join(faults))
    if not agents:
        raise SettingsError(f"agents.folder: {folder} holds no agent file (name.toml)")
    return agents


def places(url: str) -> frozenset[str]:
    """Names of the arguments that the URL of an HTTP tool holds."""
    return frozenset(PLACE.findall(url))


def fault(folder: Path, agent: str, place: Sequence[str | int], what: str) -> str:
    """A line that tells what is wrong, and where in the agent's file."""
    path = folder / f"{agent}.toml"
    return _told(path, path.read_text("utf-8"), place, what)


def _read(path: Path) -> AgentFile:
    if not _NAME.fullmatch(path.stem):
        raise SettingsError(f"{path}: an agent's name is up to 32 lower-case letters, digits, '_' and '-'")
    try:
        text = path.read_text("utf-8")
        values = tomllib.loads(text)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: is not valid TOML: {error}") from None
    try:
        return AgentFile.model_validate(values)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False)
        raise SettingsError("\n".join(_told(path, text, one["loc"], one["msg"]) for one in found)) from None


def _told(path: Path, text: str, place: Sequence[str | int], what: str) -> str:
    field = ".".join(str(part) for part in place)
    what = what.removeprefix("Value error, ")
    return f"{path}:{line_of(text, place)}: {field + ': ' if field else ''}{what[:1].lower()}{what[1:]}"


def in_order(texts: Mapping[str, str], language: str | None) -> str:
    """The text for a language, else that for all, else the first."""
    return texts.get(language or ANY_LANGUAGE) or texts.get(ANY_LANGUAGE) or next(iter(texts.values()), "")
