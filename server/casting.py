"""From Settings to agents: the part of the composition that is there only when there is a folder of agents."""

from __future__ import annotations

from pathlib import Path

from models.base import Synthesizer
from server.agents.agent import Surroundings
from server.agents.files import read_agents
from server.agents.library import Agents
from server.agents.mcp_tools import ClientServers
from server.core.events import SessionConfig
from server.errors import SettingsError, StoreError
from server.policy.egress import Egress
from server.policy.vault import Vault
from server.runtime.runner import Engines
from server.runtime.text_agent import TextAgent
from server.settings import Settings
from server.store.sql import SqlStore, connect
from server.transports.wire import new_id


def check(settings: Settings) -> None:
    """Read the agents' files for once, which takes no models. Raises SettingsError for whatever is wrong with them."""
    if settings.agents.folder:
        read_agents(Path(settings.agents.folder).expanduser())


def client_servers(settings: Settings) -> ClientServers | None:
    """Connects to the MCP servers that clients name, where the operator lets them. Raises SettingsError."""
    if not settings.egress.client_mcp:
        return None
    try:
        egress = Egress(settings.egress.hosts.split())
    except ValueError as error:
        raise SettingsError(f"egress.hosts: {error}") from None
    return ClientServers(lambda headers: egress.client(headers=dict(headers)))


class Stage:
    """The agents of a server and the store behind them. Raises SettingsError for whatever is wrong with the agents'
    folder or the settings around it."""

    def __init__(self, settings: Settings, tts: Synthesizer) -> None:
        try:
            self.egress = Egress(settings.egress.hosts.split())
        except ValueError as error:
            raise SettingsError(f"egress.hosts: {error}") from None
        try:
            self._store: SqlStore = connect(settings.store.url)
        except StoreError as error:
            raise SettingsError(f"store.url: {error}") from None
        around = Surroundings(
            check=self.egress.check,
            client=lambda headers: self.egress.client(headers=dict(headers)),
            fill=Vault(settings.agents.secrets_file).fill,
            voices=tuple(voice.name for voice in tts.voices),
        )
        self.agents = Agents(Path(settings.agents.folder), around, self._store, self._store.state)

    def text_agent(self, name: str, caller: str, base: SessionConfig, engines: Engines) -> TextAgent | None:
        """The agent for chat clients; None if there is none of this name. caller: whose session it is, "" for one of
        its own."""
        session_id = f"chat_{caller[:32]}" if caller else new_id("chat")
        role = self.agents.cast(name, base, engines, session_id, caller)
        return TextAgent(role.config, role.engines.llm, role.toolbox, session_id) if role else None

    async def open(self) -> None:
        """Make ready what is not on this machine's disk. Raises StoreError."""
        await self._store.open()
        await self.agents.connect()

    async def close(self) -> None:
        """Let go of all connections."""
        await self.agents.close()
        await self._store.close()
