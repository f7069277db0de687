"""The chat models of agents: each is made once, and shared by all that name the same."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing

from models.base import ChatDelta, ChatMessage, ChatModel, ChatRequest, VoiceError
from server.agents.files import ModelEntry
from server.errors import SettingsError

_log = logging.getLogger(__name__)


class ChatModels:
    """All of a server. own: the profile's. loaded: those of the catalogue that agents named when the server started.
    reach: makes one that another server runs; raises SettingsError or PolicyError."""

    def __init__(
        self, own: ChatModel, loaded: Mapping[str, ChatModel], reach: Callable[[ModelEntry], ChatModel]
    ) -> None:
        self._own = own
        self._loaded = loaded
        self._reach = reach
        self._reached: dict[ModelEntry, ChatModel] = {}

    def of(self, wanted: ModelEntry | None) -> ChatModel:
        """The one that an agent's file asks for. Raises SettingsError or PolicyError."""
        if wanted is None:
            return self._own
        if wanted.url is None:
            if wanted.name not in self._loaded:
                raise SettingsError(f"{wanted.name} was not loaded when the server started: start it anew")
            return self._loaded[wanted.name]
        if wanted not in self._reached:
            self._reached[wanted] = self._reach(wanted)
        return self._reached[wanted]

    async def warm(self) -> None:
        """Have each answer once. Raises what a model of this machine raises; one that another server runs may come up
        later, and is only told of."""
        request = ChatRequest([ChatMessage("user", "Hello")], max_tokens=1)
        for name, model in self._loaded.items():
            if model is not self._own:
                _log.debug("an agent's model is warmed up", extra={"model": name})
                await _answer(model, request)
        for entry, model in self._reached.items():
            try:
                await _answer(model, request)
            except VoiceError as error:
                extra = {"model": entry.name, "url": entry.url, "error": str(error)}
                _log.warning("an agent's model does not answer", extra=extra)

    async def close(self) -> None:
        """Let go of all but the profile's."""
        others = [model for model in (*self._loaded.values(), *self._reached.values()) if model is not self._own]
        await asyncio.gather(*(model.close() for model in others))


class ModelOfAgent:
    """See ChatModel: of one session, whose agents may have a model each. models: by agent; first: who begins."""

    def __init__(self, models: Mapping[str, ChatModel], first: str) -> None:
        self._models = models
        self._first = models[first]
        self.name = self._first.name
        self.context = self._first.context

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatDelta, None]:
        """See ChatModel."""
        async with aclosing(self._asked(request).stream(request)) as deltas:
            async for delta in deltas:
                yield delta

    async def warm(self, request: ChatRequest) -> None:
        """See ChatModel."""
        await self._asked(request).warm(request)

    async def close(self) -> None:
        """See ChatModel. The models behind it serve others, and stay."""

    def _asked(self, request: ChatRequest) -> ChatModel:
        return self._models.get(request.agent, self._first)


async def _answer(model: ChatModel, request: ChatRequest) -> None:
    async with aclosing(model.stream(request)) as deltas:
        async for _ in deltas:
            pass
