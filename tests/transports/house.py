"""A server of phone calls over engines that do as they are told, and what is asked of it again and again."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from models.base import ChatRequest, Priority, ToolCallDelta
from scripts.phone_line.twilio import TwilioEnd
from scripts.phone_line.wire import Mark, Play
from server.core.events import SessionConfig
from server.core.turns import TurnPolicy
from server.runtime.admission import Admission
from server.transports.base import DoorSettings
from server.transports.calls import Calls
from server.transports.carrier import CallControl, Caller, LineStarted
from server.transports.manners import Manners
from server.transports.phone_tools import PhoneTools
from server.transports.twilio import TwilioCodec
from tests.runtime.engines import ScriptedChat, ScriptedVoice
from tests.transports.carrier_peer import HandLeg

QUICK = Manners(greeting="Good day.", silence_s=30.0, keys_s=0.05, resume_s=0.2)


class Deaf:
    """Hears nothing and costs nothing."""

    name = "deaf"
    languages = ("en",)

    def open(self, *_: object, **__: object) -> Deaf:
        return self

    async def push(self, pcm: object) -> list[float]:
        return []

    def reset(self) -> None:
        pass


@dataclass
class Counts:
    """Sessions opened and how they ended."""

    opened: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    refused: int = 0

    def observe_stage(self, stage: str, seconds: float) -> None: ...

    def session_opened(self, door: str) -> None:
        self.opened.append(door)

    def session_closed(self, door: str, outcome: str, seconds: float) -> None:
        self.closed.append(outcome)

    def session_refused(self, door: str) -> None:
        self.refused += 1

    def carrier_reported(self, door: str, report: str) -> None: ...


class House:
    """All calls of one server."""

    def __init__(
        self,
        manners: Manners = QUICK,
        *,
        limit: int = 4,
        answer: str | ToolCallDelta = "Thank you.",
        ears: object = None,
        policy: TurnPolicy | None = None,
        agents: Any = None,
        language: str | None = None,
    ) -> None:
        self.vad = self.stt = ears or Deaf()
        self.llm, self.tts = ScriptedChat(answer), ScriptedVoice()
        self.counts = Counts()
        door = DoorSettings(
            SessionConfig(instructions="Be brief.", language=language), policy or TurnPolicy(), agents=agents
        )
        tools = PhoneTools(end_call=True, transfers={"human": "+49302"})
        self.calls = Calls(self, door, manners, Admission(limit), self.counts, tools)  # type: ignore[arg-type]
        self._numbers = itertools.count(1)

    @asynccontextmanager
    async def call(
        self, call_id: str = "", stream: str = "", control: CallControl | None = None
    ) -> AsyncIterator[HandLeg]:
        """A call whose stream has begun."""
        end = TwilioEnd(call_id or f"CA{next(self._numbers)}", {})
        end.stream_sid = stream or end.stream_sid
        leg = HandLeg(TwilioCodec(), end)
        answering = asyncio.create_task(self.calls.answer(leg, anybody, control))
        leg.tell(*end.hello())
        try:
            yield leg
        finally:
            leg.tell(None)
            await answering

    async def asked(self, number: int = 1) -> ChatRequest:
        """What the model got to read, once it was asked so often."""
        await until(lambda: len(self.questions) >= number)
        return self.questions[number - 1]

    @property
    def questions(self) -> list[ChatRequest]:
        """What the model was asked; reading ahead is not asking."""
        return [request for request in self.llm.requests if request.priority is not Priority.BACKGROUND]


async def until(true: Callable[[], bool]) -> None:
    """Look again and again."""
    async with asyncio.timeout(60):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def anybody(started: LineStarted) -> Caller:
    return Caller()


def marks(leg: HandLeg) -> list[str]:
    return [mark.name for mark in leg.of(Mark) if isinstance(mark, Mark)]


def sound(leg: HandLeg) -> bytes:
    return b"".join(play.samples for play in leg.of(Play) if isinstance(play, Play))


def play_all(leg: HandLeg, told: set[str]) -> None:
    """The carrier has played everything so far."""
    for name in marks(leg):
        if name not in told:
            leg.tell(leg.end.reached(name))
            told.add(name)


async def until_closed(leg: HandLeg, told: set[str] | None = None) -> None:
    """A carrier that plays all that it gets."""
    told = set() if told is None else told
    async with asyncio.timeout(60):
        while not leg.closed.is_set():
            play_all(leg, told)
            await asyncio.sleep(0.01)
