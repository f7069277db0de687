"""All agents of a server: read from a folder, read again when a file has changed, cast for one session at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from models.base import ChatModel, Synthesizer, Transcriber, VoiceActivityDetector
from server.agents.agent import Agent, Surroundings, assemble, server_of
from server.agents.escalation import Watch
from server.agents.files import read_agents
from server.agents.hearing import Heard, NotingTranscriber
from server.agents.limited_model import LimitedModel
from server.agents.mcp_tools import McpServer
from server.agents.models import ModelOfAgent
from server.core.events import SessionConfig
from server.errors import SettingsError
from server.runtime.runner import Engines
from server.runtime.tools import CallLedger, McpConnector, SharedState, Toolbox

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SessionEngines:
    """See Engines: as one session of an agent has them."""

    vad: VoiceActivityDetector
    stt: Transcriber
    llm: ChatModel
    tts: Synthesizer


@dataclass(frozen=True, slots=True)
class Role:
    """An agent, cast for one session: what the session starts with, and what it says first ("" for nothing). notice:
    said before that where a hosted provider serves it; stays: none may."""

    config: SessionConfig
    engines: Engines
    toolbox: Toolbox
    opening: str
    notice: str = ""
    stays: bool = False


@dataclass(slots=True)
class _Edition:
    """The agents as their files said when they were read. sessions: under way that were cast from it."""

    agents: Mapping[str, Agent]
    sessions: int = 0

    @property
    def servers(self) -> set[str]:
        """The MCP servers that it names."""
        return {server_of(tool.mcp) for agent in self.agents.values() for tool in agent.file.tools if tool.mcp}

    @property
    def tool_files(self) -> set[str]:
        """Python files that it names, relative to the folder."""
        named = (tool.python for agent in self.agents.values() for tool in agent.file.tools)
        return {name.partition(":")[0] for name in named if name}


class Agents:
    """ledger: of all tool calls. state: makes the shared state of a session, given its id and its agent's name.
    mcp: connects to MCP servers that a client names.

    Raises SettingsError, a line for each fault, when there is anything wrong with the folder now. Later faults are
    logged, and the agents stay as they were.
    """

    def __init__(
        self,
        folder: Path,
        around: Surroundings,
        ledger: CallLedger,
        state: Callable[[str, str], SharedState],
        mcp: McpConnector | None = None,
    ) -> None:
        self._folder = folder.expanduser().resolve()
        self._around = around
        self._ledger = ledger
        self._state = state
        self._mcp = mcp
        self._servers: dict[str, McpServer] = {}
        self._connecting: set[asyncio.Task[None]] = set()
        self._stopping: set[asyncio.Task[None]] = set()
        self._earlier: list[_Edition] = []
        """Those that sessions under way were cast from."""
        self._edition = _Edition({})
        seen = self._fingerprint()
        self._edition = self._read()
        self._seen = self._fingerprint() | seen

    def names(self) -> tuple[str, ...]:
        """Those that can be asked for now."""
        self._refresh()
        return tuple(self._edition.agents)

    def language(self, name: str) -> str | None:
        """The first language of this one, ISO 639-1; None if there is none of this name."""
        agent = self._edition.agents.get(name)
        return agent.file.language if agent else None

    async def connect(self) -> None:
        """Reach the MCP servers that have not been reached yet."""
        for agent in self._edition.agents.values():
            await agent.connect()

    def cast(self, name: str, base: SessionConfig, engines: Engines, session_id: str, scope: str = "") -> Role | None:
        """The agent for a new session, as its files are now; None if there is none of this name.

        scope: whose deeds count as the same, if that is more than this session: a caller's number.
        """
        self._refresh()
        agent = self._edition.agents.get(name)
        if agent is None:
            return None
        heard = Heard()
        state = self._state(session_id, name)
        reachable = self._reachable(agent)
        models = ModelOfAgent({one.name: one.model or engines.llm for one in reachable}, name)
        tables = {one.name: one.file.escalation for one in reachable if one.file.escalation}
        files = {one.name: one.file for one in reachable}
        model = LimitedModel(models, files, name, state, heard, Watch(tables, heard))
        own = SessionEngines(engines.vad, NotingTranscriber(engines.stt, heard), model, engines.tts)
        # As they are, not copied: tools of an MCP server that answers late belong to calls under way, too.
        tools = {one.name: one.tools for one in reachable}
        over = self._session_begins()
        toolbox = Toolbox(ledger=self._ledger, state=state, scope=scope, mcp=self._mcp, agents=tools, over=over)
        return Role(agent.config(base), own, toolbox, agent.opening, agent.notice, not agent.file.cloud.allow)

    async def close(self) -> None:
        """End all connections."""
        for task in self._connecting:
            task.cancel()
        await asyncio.gather(*self._connecting, *self._stopping, return_exceptions=True)
        for server in self._servers.values():
            await server.close()

    def _reachable(self, agent: Agent) -> list[Agent]:
        """All agents that a session which begins with this one may come to; itself first."""
        found = [agent]
        for one in found:
            found += [
                self._edition.agents[name] for name in one.file.hands_to if self._edition.agents[name] not in found
            ]
        return found

    def _refresh(self) -> None:
        seen = self._fingerprint()
        if seen != self._seen:
            self._read_again()
            # Of files that are named only now, as they are now; of all others, as they were when they were read.
            self._seen = self._fingerprint() | seen
        if any(agent.servers for agent in self._edition.agents.values()) and not self._connecting:
            self._connect_beside()

    def _read_again(self) -> None:
        try:
            edition = self._read()
        except SettingsError as error:
            _log.error("the agents stay as they were", extra={"error": str(error)})
        else:
            _log.info("agents read again", extra={"agents": " ".join(edition.agents)})
            self._earlier.append(self._edition)
            self._edition = edition
        self._sweep()

    def _session_begins(self) -> Callable[[], None]:
        """To be called when it is over: once counts."""
        edition, under_way = self._edition, [True]
        edition.sessions += 1

        def over() -> None:
            if under_way:
                under_way.clear()
                edition.sessions -= 1
                self._sweep()

        return over

    def _sweep(self) -> None:
        """Stop the MCP servers that neither the files nor a session under way knows any more."""
        self._earlier = [edition for edition in self._earlier if edition.sessions]
        known = self._edition.servers.union(*(edition.servers for edition in self._earlier))
        for key in self._servers.keys() - known:
            server = self._servers.pop(key)
            _log.info("an MCP server that no agent names any more is stopped", extra={"server": server.name})
            task = asyncio.get_running_loop().create_task(server.close())
            self._stopping.add(task)
            task.add_done_callback(self._stopping.discard)

    def _connect_beside(self) -> None:
        task = asyncio.get_running_loop().create_task(self.connect())
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    def _read(self) -> _Edition:
        return _Edition(assemble(self._folder, read_agents(self._folder), self._around, self._servers))

    def _fingerprint(self) -> dict[Path, tuple[int, int]]:
        """Changes with every edit of an agent or of its tools."""
        found = {}
        named = (self._folder / name for name in self._edition.tool_files)
        for path in (*self._folder.glob("*.toml"), *self._folder.glob("*.py"), *named):
            try:
                stat = path.stat()
            except OSError:
                continue
            found[path] = stat.st_mtime_ns, stat.st_size
        return found
