"""From Settings to agents: the part of the composition that is there only when there is a folder of agents."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from models import catalog
from models.base import ChatModel, VoiceError
from models.llm.openai_chat import OpenAIChat
from server.agents.agent import Agent, Surroundings, assemble
from server.agents.files import ModelEntry, read_agents
from server.agents.library import Agents
from server.agents.models import ChatModels
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


def examine(settings: Settings, resolved: catalog.ResolvedProfile, egress: Egress) -> Mapping[str, Agent]:
    """All agents as their files say, before any model is loaded, and without asking any server. Raises SettingsError
    with a line for each fault: file, line, field; WeightsError when there are no voices."""
    vault = Vault(settings.agents.secrets_file)
    voices = [voice.name for voice in catalog.voices(resolved)]

    def look_at(wanted: ModelEntry | None) -> None:
        if wanted is None:
            return
        if wanted.url:
            _key(wanted.url, wanted, egress, vault)
        else:
            _examine_entry(wanted.name, settings, resolved)

    folder = _folder(settings)
    agents = assemble(folder, read_agents(folder), _around(settings, egress, voices, vault, look_at), {})
    for pair in settings.phone.agents.split():
        number, _, name = pair.partition("=")
        if name not in agents:
            raise SettingsError(f"phone.agents: {number} is for {name!r}, which is no agent of {folder}")
    return agents


def load_models(
    settings: Settings, resolved: catalog.ResolvedProfile, agents: Mapping[str, Agent]
) -> dict[str, ChatModel]:
    """The chat models of the catalogue that agents name beside the profile's, which is loaded already, by name.
    Raises WeightsError and CatalogError."""
    named = {agent.file.model.name for agent in agents.values() if agent.file.model and not agent.file.model.url}
    loaded: dict[str, ChatModel] = {}
    for name in sorted(named - {resolved.models["llm"].entry.name}):
        holding = catalog.profile_with("llm", name, settings.weights_dir)
        catalog.verify(holding, ("llm",))
        limits = catalog.limits(threads=settings.engines.llm_threads, batching=settings.engines.batching)
        loaded[name] = catalog.load_engine(holding, "llm", **limits)
    return loaded


def _folder(settings: Settings) -> Path:
    return Path(settings.agents.folder).expanduser().resolve()


def _examine_entry(name: str, settings: Settings, resolved: catalog.ResolvedProfile) -> None:
    """Raises SettingsError unless this entry of the catalogue can be loaded beside the profile's models."""
    try:
        holding = catalog.profile_with("llm", name, settings.weights_dir)
    except VoiceError as error:
        raise SettingsError(str(error)) from None
    model, own = holding.models["llm"], resolved.models["llm"].entry
    if model.entry.name == own.name:
        return
    if not model.on_disk:
        raise SettingsError(str(catalog.missing(holding, model)))
    if model.entry.gpu_mb:
        # Each vLLM takes a share of the whole GPU for itself, and there is nobody to divide it up.
        raise SettingsError(f"{name} wants a GPU of its own: run it as a server, and give its url")


def _key(url: str, wanted: ModelEntry, egress: Egress, vault: Vault) -> str | None:
    """What a server that may be asked wants to be shown. Raises SettingsError and PolicyError."""
    egress.check(url)
    return vault.fill(wanted.key) if wanted.key else None


def _reached(wanted: ModelEntry, egress: Egress, vault: Vault) -> ChatModel:
    """A model that another server runs. Raises SettingsError and PolicyError."""
    url = wanted.url or ""
    key = _key(url, wanted, egress, vault)
    context = wanted.context
    return OpenAIChat(
        url, wanted.name, name=wanted.name, api_key=key, client=egress.client(), owned=True, context=context
    )


def _around(
    settings: Settings,
    egress: Egress,
    voices: Sequence[str],
    vault: Vault,
    model: Callable[[ModelEntry | None], ChatModel | None],
) -> Surroundings:
    return Surroundings(
        check=egress.check,
        client=lambda headers: egress.client(headers=dict(headers)),
        fill=vault.fill,
        voices=tuple(voices),
        transfers=tuple(pair.partition("=")[0] for pair in settings.phone.transfers.split()),
        model=model,
    )


class Stage:
    """The agents of a server and the store behind them. models: those of the catalogue that agents name, by name.
    egress: what their tools may reach. mcp: connects to servers that clients name, None where they may not. Raises
    SettingsError for whatever is wrong with the agents' folder or the settings around it."""

    def __init__(
        self,
        settings: Settings,
        engines: Engines,
        own: str,
        models: Mapping[str, ChatModel],
        egress: Egress,
        mcp: McpConnector | None,
    ) -> None:
        try:
            self._store: SqlStore = connect(settings.store.url)
        except StoreError as error:
            raise SettingsError(f"store.url: {error}") from None
        vault = Vault(settings.agents.secrets_file)
        loaded = {**models, own: engines.llm}
        self.models = ChatModels(engines.llm, loaded, lambda wanted: _reached(wanted, egress, vault))
        voices = [voice.name for voice in engines.tts.voices]
        around = _around(settings, egress, voices, vault, self.models.of)
        self.agents = Agents(_folder(settings), around, self._store, self._store.state, mcp)

    def text_agent(self, name: str, caller: str, base: SessionConfig, engines: Engines) -> TextAgent | None:
        """The agent for chat clients; None if there is none of this name. caller: whose session it is, "" for one of
        its own."""
        session_id = f"chat_{caller[:32]}" if caller else new_id("chat")
        role = self.agents.cast(name, base, engines, session_id, caller)
        return TextAgent(role.config, role.engines.llm, role.toolbox, session_id) if role else None

    async def open(self) -> None:
        """Make ready what is not on this machine's disk, and the agents' models. Raises VoiceError."""
        await self._store.open()
        await self.agents.connect()
        await self.models.warm()

    async def close(self) -> None:
        """Let go of all connections and of the agents' models."""
        await self.agents.close()
        await self.models.close()
        await self._store.close()
