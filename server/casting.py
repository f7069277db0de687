"""From Settings to agents: the part of the composition that is there only when there is a folder of agents."""

from __future__ import annotations

from pathlib import Path

from models.base import Synthesizer
from server.agents.agent import Surroundings
from server.agents.library import Agents
from server.core.events import SessionConfig
from server.errors import SettingsError, StoreError
from server.policy.egress import Egress
from server.policy.vault import Vault
from server.runtime.runner import Engines
from server.runtime.text_agent import TextAgent
from server.runtime.tools import McpConnector
from server.settings import Settings
from server.store.sql import SqlStore, connect
from server.transports.wire import new_id


class Stage:
    """The agents of a server and the store behind them. egress: what their tools may reach. mcp: connects to servers
    that clients name, None where they may not. Raises SettingsError for whatever is wrong with the agents' folder or
    the settings around it."""

    def __init__(self, settings: Settings, tts: Synthesizer, egress: Egress, mcp: McpConnector | None) -> None:
        try:
            self._store: SqlStore = connect(settings.store.url)
        except StoreError as error:
            raise SettingsError(f"store.url: {error}") from None
        around = Surroundings(
            check=egress.check,
            client=lambda headers: egress.client(headers=dict(headers)),
            fill=Vault(settings.agents.secrets_file).fill,
            voices=tuple(voice.name for voice in tts.voices),
        )
        self.agents = Agents(Path(settings.agents.folder), around, self._store, self._store.state, mcp)

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
