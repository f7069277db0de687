"""From Settings to agents: the part of the composition that is there only when there is a folder of agents."""

from __future__ import annotations

from pathlib import Path

from models.base import Synthesizer
from server.agents.agent import Surroundings
from server.agents.library import Agents
from server.errors import SettingsError, StoreError
from server.policy.egress import Egress
from server.policy.vault import Vault
from server.settings import Settings
from server.store.sql import SqlStore, connect


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

    async def open(self) -> None:
        """Make ready what is not on this machine's disk. Raises StoreError."""
        await self._store.open()
        await self.agents.connect()

    async def close(self) -> None:
        """Let go of all connections."""
        await self.agents.close()
        await self._store.close()
