"""A Runner with its Session, for tests that need no door."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count

from models.base import ChatModel, Synthesizer, Transcriber, VoiceActivityDetector
from models.catalog import BUNDLED
from models.vad.silero import SileroVad
from server.core import events as e
from server.core.session import Session
from server.runtime.runner import Runner
from server.runtime.tools import Toolbox
from tests.runtime.engines import ScriptedVoice


class NoEar:
    """A transcriber for calls in which nobody speaks."""

    name = "deaf"
    languages: tuple[str, ...] = ()


@dataclass
class Engines:
    llm: ChatModel
    vad: VoiceActivityDetector
    tts: Synthesizer
    stt: Transcriber


class Client:
    """The door, and the client behind it. events: all that it was told."""

    def __init__(self) -> None:
        self.events: list[e.Event] = []
        self._told = asyncio.Condition()

    def observe_stage(self, stage: str, seconds: float) -> None:
        pass

    async def send(self, event: e.Event) -> None:
        async with self._told:
            self.events.append(event)
            self._told.notify_all()

    async def clear_playout(self, item_id: str) -> None:
        pass

    async def until(self, kind: type[e.Event], number: int = 1) -> None:
        """Wait until it was told so many events of this kind."""
        async with self._told:
            await self._told.wait_for(lambda: sum(isinstance(event, kind) for event in self.events) >= number)


@asynccontextmanager
async def call(
    llm: ChatModel, config: e.SessionConfig, toolbox: Toolbox | None = None
) -> AsyncIterator[tuple[Runner, Client]]:
    """A call that has been accepted."""
    numbers = count()
    session = Session("sess_1", config, lambda prefix: f"{prefix}_{next(numbers)}")
    vad = SileroVad.load(BUNDLED / "vad/silero_vad.onnx")
    client = Client()
    engines = Engines(llm, vad, ScriptedVoice(), NoEar())  # type: ignore[arg-type]
    runner = Runner(session, engines, client, client, toolbox=toolbox)
    task = asyncio.create_task(runner.run())
    await client.until(e.SessionCreated)
    yield runner, client
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await vad.close()
