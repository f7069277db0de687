"""What every prompt of a session begins with, read by the chat model before the first question needs it.

Begun when a call is accepted, and again whenever instructions or tools change. Whoever is already being answered goes
first, and a model that cannot do it now answers all the same, only later.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from models.base import ChatMessage, ChatModel, ChatRequest, Priority, ToolSpec, VoiceError
from server.core import events as e

_log = logging.getLogger(__name__)

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


class Warming:
    """One session's. spawn: starts a task that ends with the session."""

    def __init__(self, llm: ChatModel, spawn: Spawn) -> None:
        self._llm = llm
        self._spawn = spawn
        self._config: e.SessionConfig | None = None
        self._beginning: tuple[str, str, tuple[e.Tool, ...]] = ("", "", ())
        self._task: asyncio.Task[None] | None = None

    def follow(self, config: e.SessionConfig) -> None:
        """The session's configuration is now this one. Cheap while nothing has changed."""
        if config is self._config:
            return
        self._config = config
        own = (tool.tool for tool in (*config.server_tools, *config.door_tools))
        beginning = config.agent, config.instructions, (*own, *config.tools)
        if beginning[1:] == ("", ()) or beginning == self._beginning:
            return
        self._beginning = beginning
        self.stop()
        self._task = self._spawn(self._warm(*beginning, config.tool_choice))

    def stop(self) -> None:
        """A prompt that begins so is being read anyway."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _warm(self, agent: str, instructions: str, tools: tuple[e.Tool, ...], tool_choice: str) -> None:
        messages = [ChatMessage("system", instructions)] if instructions else []
        shown = [ToolSpec(tool.name, tool.description, tool.parameters) for tool in tools]
        choice = "none" if tool_choice == "none" else "auto"
        try:
            await self._llm.warm(ChatRequest(messages, shown, choice, priority=Priority.BACKGROUND, agent=agent))
        except VoiceError as error:
            _log.debug("prompt not warmed", extra={"error": str(error)})
