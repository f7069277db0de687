"""What becomes of a turn's decodes when the turn is over before they are."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np

from models.base import Pcm16, Priority, Transcript, Urgency, priority_of
from models.catalog import BUNDLED
from models.vad.silero import SileroVad
from server.core import events as e
from server.core.session import Session
from server.runtime.ear import Ear
from server.runtime.recordings import Recordings
from server.runtime.utterances import Utterances


@dataclass
class Slow:
    """A transcriber, and the one utterance that it opens, whose decodes end when ``done`` is set."""

    name: str = "slow"
    languages: tuple[str, ...] = ("en",)
    urgency: Priority | Urgency | None = None
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    done: asyncio.Event = field(default_factory=asyncio.Event)
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    def open(self, **_: Any) -> Slow:
        return self

    def push(self, pcm: Pcm16) -> None:
        pass

    async def final(self, priority: Priority | Urgency = Priority.CONFIRMED) -> Transcript:
        self.urgency = priority
        self.asked.set()
        await self.done.wait()
        return Transcript("are you open", "are you open", "en", 1.0, -0.1, 320)

    def close(self) -> None:
        self.closed.set()


async def test_a_decode_begun_in_the_pause_is_confirmed_with_the_turn_and_outlives_it():
    numbers, facts, slow = count(), asyncio.Queue[e.Input](), Slow()
    config = e.SessionConfig(turn_detection=None)
    session = Session("sess_1", config, lambda prefix: f"{prefix}_{next(numbers)}")
    vad = SileroVad.load(BUNDLED / "vad/silero_vad.onnx")
    ear, recordings = Ear(vad), Recordings()
    tasks = set[asyncio.Task[None]]()

    def spawn(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        tasks.add(task := asyncio.create_task(work))
        return task

    turns = Utterances(
        session,
        slow,  # type: ignore[arg-type]
        ear,
        recordings,
        deliver=facts.put,
        spawn=spawn,
        transcribed=lambda _: None,
        clock=lambda: 0.0,
    )
    await ear.receive(np.zeros(12_000, np.int16).tobytes(), e.AudioFormat.PCM, 0.0)
    turns.open(e.OpenUtterance("item_1", 0))
    turns.transcribe(e.Transcribe("item_1", 0, 8_000, 6_000, confirmed=False))
    await slow.asked.wait()
    assert slow.urgency is not None
    assert priority_of(slow.urgency) is Priority.PREPARED
    turns.close(e.CloseUtterance("item_1", 0, 8_000))
    assert priority_of(slow.urgency) is Priority.CONFIRMED
    assert not slow.closed.is_set()
    slow.done.set()
    assert (await facts.get()) == e.TranscriptFinal("item_1", 0, "are you open", "en", 1.0, (), np.exp(-0.1))
    await slow.closed.wait()
    assert turns.idle
    assert recordings.get("item_1") is not None
    await asyncio.gather(*tasks)
    await vad.close()
