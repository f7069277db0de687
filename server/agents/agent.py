"""An agent that is ready to answer: its file, and the tools that the file names."""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx2
import orjson

from models.base import ChatModel, ToolSpec
from server.agents.escalation import TransferToHuman
from server.agents.files import AgentFile, EscalationEntry, McpEntry, ModelEntry, ToolEntry, fault, in_order
from server.agents.http_tools import HttpTool
from server.agents.mcp_tools import Listed, McpServer, McpTool, over_http, over_pipes
from server.agents.python_tools import load_tools
from server.core.events import SessionConfig, ToolLimits
from server.core.tools import ToolPolicy
from server.errors import PolicyError, SettingsError, ToolError
from server.runtime.tools import Partial, Result, RunnableTool, ToolCall, ToolContext, offered

_log = logging.getLogger(__name__)

_MAX_FACTS = 2_000
"""Characters of a session's facts that an agent's instructions hold: some 500 of the few thousand tokens that a small
model has for a whole call."""
_MAX_TOLD = 200


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What agents may use of the server. check: raises PolicyError unless the URL may be asked. client: makes a network
    client that sends these headers. fill: puts secrets into a text; raises SettingsError. voices: names of all.
    transfers: names of those who take phone calls; none where there is no phone. model: the chat model that an agent's
    file asks for, None where agents are only looked at; raises SettingsError or PolicyError for one that cannot be
    had."""

    check: Callable[[str], None]
    client: Callable[[Mapping[str, str]], httpx2.AsyncClient]
    fill: Callable[[str], str]
    voices: tuple[str, ...]
    transfers: tuple[str, ...]
    model: Callable[[ModelEntry | None], ChatModel | None]


@dataclass(slots=True)
class Agent:
    """model: None for that of the session's engines. servers: MCP servers that have not listed their tools yet, each
    with the entry that names it."""

    name: str
    file: AgentFile
    model: ChatModel | None = None
    tools: dict[str, RunnableTool] = field(default_factory=dict)
    servers: list[tuple[ToolEntry, McpServer]] = field(default_factory=list)

    def changes(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Fields of SessionConfig for a session of this agent, in which these facts are known, the oldest first."""
        file = self.file
        fitting = self._fitting(facts)
        known = f"\nKnown so far: {orjson.dumps(fitting).decode()}" if fitting else ""
        changes: dict[str, Any] = {
            "agent": self.name,
            "instructions": file.instructions + known,
            "server_tools": tuple(offered(tool) for tool in self.tools.values()),
            "tool_limits": ToolLimits(file.limits.tool_calls_a_turn, file.limits.tool_calls_a_session),
        }
        if self.model is not None:
            changes["context_tokens"] = self.model.context
        if file.voices:
            changes |= {"voice": in_order(file.voices, file.language), "voices": file.voices}
        return changes

    def _fitting(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """The facts that there is room for: first those that the agent accepts, then the others, the newest first. One
        that does not fit is left out whole: half of it might be another fact."""
        accepted = [name for name in facts if name in self.file.accepts]
        others = [name for name in reversed(list(facts)) if name not in self.file.accepts]
        kept: set[str] = set()
        room = _MAX_FACTS
        for name in (*accepted, *others):
            size = len(orjson.dumps({name: facts[name]}).decode())
            if size <= room:
                kept.add(name)
                room -= size
        if len(kept) < len(facts):
            left_out = " ".join(name for name in facts if name not in kept)[:_MAX_TOLD]
            _log.warning("facts do not fit an agent's instructions", extra={"agent": self.name, "left_out": left_out})
        return {name: value for name, value in facts.items() if name in kept}

    def config(self, base: SessionConfig) -> SessionConfig:
        """What a session of this agent starts with."""
        return replace(base, **self.changes({}), language=self.file.language or None)

    @property
    def opening(self) -> str:
        """What it says first: the disclosure, then the greeting."""
        language = self.file.language
        return " ".join(
            filter(None, (in_order(self.file.disclosure, language), in_order(self.file.greeting, language)))
        )

    @property
    def notice(self) -> str:
        """What a caller is told whom a hosted provider serves."""
        return in_order(self.file.cloud.say, self.file.language)

    async def connect(self) -> None:
        """List the tools of MCP servers that have not answered yet. One that does not answer is logged: the agent
        does without its tools."""
        for _, server in tuple(self.servers):
            try:
                await server.list()
            except ToolError as error:
                _log.warning("an agent has to do without tools", extra={"agent": self.name, "error": str(error)})
        self.join_known()

    def join_known(self) -> None:
        """Take the tools of MCP servers that have been listed before: the first call after an edit has them, too."""
        waiting = [(entry, server) for entry, server in self.servers if server.known is None]
        for entry, server in self.servers:
            if server.known is not None:
                self._join(entry, server, server.known)
        self.servers = waiting

    def _join(self, entry: ToolEntry, server: McpServer, listed: Sequence[Listed]) -> None:
        """What the server has listed, as far as the agent's file wants it. Names that are taken are left out."""
        only = entry.mcp.only if entry.mcp else None
        for spec in (one.spec for one in listed):
            if (only is None or spec.name in only) and spec.name not in self.tools:
                self.tools[spec.name] = McpTool(server, spec, ToolPolicy(**entry.policy))


class HandOff:
    """See RunnableTool: the call goes on with another agent. What it accepts are facts of the session from then on."""

    def __init__(self, target: Agent) -> None:
        self._target = target
        accepts = target.file.accepts
        parameters = {"type": "object", "properties": accepts, "required": list(accepts)}
        description = f"Hand the call over to {target.name}. {target.file.description}".strip()
        self._spec = ToolSpec(f"hand_over_to_{target.name.replace('-', '_')}", description, parameters)

    @property
    def spec(self) -> ToolSpec:
        """See RunnableTool."""
        return self._spec

    @property
    def policy(self) -> ToolPolicy:
        """See RunnableTool."""
        return ToolPolicy(safe=True)

    async def run(self, call: ToolCall, context: ToolContext) -> AsyncIterator[Partial | Result]:
        """See RunnableTool."""
        for name in self._target.file.accepts:
            await context.state.set(name, call.arguments[name])
        changes = self._target.changes(await context.state.all())
        yield Result({"handed_over_to": self._target.name}, changes)


def assemble(
    folder: Path, files: Mapping[str, AgentFile], around: Surroundings, servers: dict[str, McpServer]
) -> dict[str, Agent]:
    """Agents with their tools. servers: MCP servers that are there already, by entry; new ones are added. Raises
    SettingsError with a line for each fault: file, line, field."""
    faults: list[str] = []
    agents = {name: Agent(name, file) for name, file in files.items()}
    escalate = TransferToHuman({name: file.escalation for name, file in files.items() if file.escalation})
    for name, agent in agents.items():
        for language, voice in agent.file.voices.items():
            if voice not in around.voices:
                known = ", ".join(around.voices)
                faults.append(fault(folder, name, ("voices", language), f"there is no voice {voice!r}, but {known}"))
        try:
            agent.model = around.model(agent.file.model)
        except (SettingsError, PolicyError) as error:
            faults.append(fault(folder, name, ("model",), str(error)))
        for at, entry in enumerate(agent.file.tools):
            try:
                _add(agent, entry, folder, around, servers)
            except (SettingsError, PolicyError) as error:
                faults.append(fault(folder, name, ("tools", at), str(error)))
        if agent.file.escalation:
            faults += _escalate(agent, agent.file.escalation, escalate, folder, around)
        for at, target in enumerate(agent.file.hands_to):
            try:
                _enter(agent, HandOff(agents[target]))
            except SettingsError as error:
                faults.append(fault(folder, name, ("hands_to", at), str(error)))
    if faults:
        raise SettingsError("\n".join(faults))
    for agent in agents.values():
        agent.join_known()
    return agents


def _escalate(
    agent: Agent, entry: EscalationEntry, tool: TransferToHuman, folder: Path, around: Surroundings
) -> list[str]:
    try:
        _enter(agent, tool)
    except SettingsError as error:
        return [fault(folder, agent.name, ("escalation",), str(error))]
    if entry.to and around.transfers and entry.to not in around.transfers:
        told = f"{entry.to!r} is no name in phone.transfers: {', '.join(around.transfers)}"
        return [fault(folder, agent.name, ("escalation", "to"), told)]
    return []


def _add(agent: Agent, entry: ToolEntry, folder: Path, around: Surroundings, servers: dict[str, McpServer]) -> None:
    if entry.python:
        for tool in load_tools(folder, entry.python).values():
            _enter(agent, tool.with_policy(replace(tool.policy, **entry.policy)))
    elif entry.http:
        around.check(entry.http.url)
        headers = {name: around.fill(value) for name, value in entry.http.headers.items()}
        spec = ToolSpec(entry.name or "", entry.description, entry.parameters)
        http = entry.http
        tool_of_http = HttpTool(
            spec,
            ToolPolicy(**entry.policy),
            method=http.method,
            url=http.url,
            headers=headers,
            client=lambda: around.client({}),
        )
        _enter(agent, tool_of_http)
    elif entry.mcp:
        key = server_of(entry.mcp)
        if key not in servers:
            servers[key] = McpServer(entry.name or "", _way(entry.mcp, folder, around))
        agent.servers.append((entry, servers[key]))


def server_of(entry: McpEntry) -> str:
    """Which server an entry names: the same for all who want tools of it."""
    return entry.model_dump_json(exclude={"only"})


def _way(entry: McpEntry, folder: Path, around: Surroundings) -> Any:
    if entry.url:
        around.check(entry.url)
        headers = {name: around.fill(value) for name, value in entry.headers.items()}
        return over_http(entry.url, lambda: around.client(headers))
    environment = {name: around.fill(value) for name, value in entry.environment.items()}
    # The server's own Python has the SDK; whatever is first on the path may not.
    command = [sys.executable if word == "python" else word for word in entry.command or ()]
    return over_pipes(command, str(folder), environment)


def _enter(agent: Agent, tool: RunnableTool) -> None:
    name = tool.spec.name
    if name in agent.tools:
        raise SettingsError(f"this agent has a tool {name} already")
    agent.tools[name] = tool
