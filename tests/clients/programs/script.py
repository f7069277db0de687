"""What the programs in this folder share: the job they are given, the call they make, the report they print.

They run in the clients' own environment, as processes of their own; only the standard library is sure to be there.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import traceback
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

RATE = 24_000
INSTRUCTIONS = "You are a friendly phone assistant."
GREETING = "Hello!"

_FRAME_MS = 20
_FRAME = RATE * _FRAME_MS // 1000 * 2
_LISTENING_MS = 1500
"""A caller who listens this long to an answer before they speak over it."""
_STEP_S = 90


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a program to its end. One that fails ends at once, whatever tasks its client has still running."""
    asyncio.run(_or_exit(main))


async def _or_exit(main: Coroutine[Any, Any, None]) -> None:
    try:
        await main
    except Exception:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


@dataclass(frozen=True)
class Job:
    """url: ``http://host:port`` of the server. speech: what the caller says, by name: PCM16 at 24 kHz. tool: a function
    in the API's flat shape. tool_result: what it returns. certificate: file of the server's, where it has one.
    troubled: url and key of another server, for programs that are given one: its transcriber fails where its prompt is
    "fail"; mcp: url of an MCP server that it lets clients name."""

    url: str
    speech: dict[str, bytes]
    tool: dict[str, Any]
    tool_result: dict[str, Any]
    certificate: str
    troubled: dict[str, str]

    @property
    def socket(self) -> str:
        """The server as a WebSocket URL."""
        return self.url.replace("http", "ws", 1)


def read_job() -> Job:
    """The job whose file is named on the command line."""
    job = json.loads(Path(sys.argv[1]).read_text())
    job["speech"] = {name: Path(file).read_bytes() for name, file in job["speech"].items()}
    return Job(**job)


@dataclass
class Turn:
    """What one step of the call came to, as the client shows it. heard: the caller's words. said: the answer's words.
    audio: bytes of speech received. calls: names and arguments of the functions that the client ran."""

    heard: str = ""
    said: str = ""
    audio: int = 0
    calls: list[tuple[str, Any]] = field(default_factory=list)


@dataclass
class Report:
    """received: server events by type, as they came. errors: all that the client called an error. dropped: events that
    the client could not read. history: role and words of each message, as the client has them in the end."""

    client: str
    version: str
    received: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    turns: dict[str, Turn] = field(default_factory=dict)
    history: list[tuple[str, str]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def print(self) -> None:
        """As the one line of standard output."""
        print(json.dumps(vars(self), default=vars))


class Client(ABC):
    """Somebody with a microphone, behind one client library.

    A subclass sends, and tells of what it receives: it fills ``report``, and calls ``noted`` after each change.
    """

    def __init__(self, package: str, job: Job) -> None:
        self.job = job
        self.report = Report(package, version(package))
        self._changed = asyncio.Condition()
        self._unsaid = b""

    @abstractmethod
    async def send(self, pcm: bytes) -> None:
        """Send 20 ms of the microphone."""

    async def noted(self) -> None:
        """Something has happened."""
        async with self._changed:
            self._changed.notify_all()

    async def until(self, holds: Callable[[], Any], what: str) -> None:
        """Wait for ``holds``. Raises TimeoutError that says ``what`` was waited for."""
        try:
            async with asyncio.timeout(_STEP_S), self._changed:
                await self._changed.wait_for(lambda: bool(holds()))
        except TimeoutError:
            raise TimeoutError(f"waited in vain for {what}; so far: {self.report}") from None

    def say(self, speech: str, after_ms: int = 0) -> None:
        """Say this into the microphone, after so much silence."""
        self._unsaid += bytes(RATE * after_ms // 1000 * 2) + self.job.speech[speech]

    @property
    def silent(self) -> bool:
        """Whether all is said."""
        return not self._unsaid

    @asynccontextmanager
    async def microphone(self) -> AsyncIterator[None]:
        """A frame each 20 ms: speech, or silence."""
        sending = asyncio.create_task(self._frames())
        try:
            yield
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _frames(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            frame, self._unsaid = self._unsaid[:_FRAME], self._unsaid[_FRAME:]
            await self.send(frame.ljust(_FRAME, b"\0"))
            due += _FRAME_MS / 1000
            await asyncio.sleep(max(0.0, due - loop.time()))


class Caller(Client):
    """Somebody on the phone. A subclass fills ``turn`` too, and sets ``interrupted`` when the client stops an answer's
    playback."""

    def __init__(self, package: str, job: Job) -> None:
        super().__init__(package, job)
        self.turn = Turn()
        self.interrupted = False
        self._ended_before = 0

    @abstractmethod
    async def type(self, text: str) -> None:
        """Send a written message and ask for an answer."""

    def answered(self) -> bool:
        """Something was said in this turn, and no response is under way."""
        received = self.report.received
        return bool(self.turn.said) and received["response.created"] == received["response.done"]

    def told(self) -> bool:
        """The function has run, and the words that announced it are followed by those of the result."""
        ended = self.report.received["response.done"] - self._ended_before
        return bool(self.turn.calls) and ended > 1 and self.answered()

    async def call(self) -> None:
        """A written greeting, a question for a tool, one without, and one whose answer is spoken over."""
        self._begin("typed")
        await self.type(GREETING)
        await self.until(self.answered, "the answer to a message")
        async with self.microphone():
            self._ask("tool", "tool")
            await self.until(self.told, "the answer with the tool's result")
            self._ask("spoken", "question")
            await self.until(lambda: self.turn.heard and self.answered(), "the answer to a question")
            self._ask("long", "story")
            await self.until(lambda: self.turn.audio, "an answer to speak over")
            self.interrupted = False
            self.say("stop", after_ms=_LISTENING_MS)
            await self.until(lambda: self.interrupted, "the interruption")
            self._begin("barge_in")
            await self.until(lambda: self.turn.heard and self.answered(), "the answer after the interruption")

    def _begin(self, step: str) -> None:
        self._ended_before = self.report.received["response.done"]
        self.turn = self.report.turns[step] = Turn()

    def _ask(self, step: str, speech: str) -> None:
        """A polite caller lets the last answer play to its end."""
        played_ms = self.turn.audio * 1000 // (RATE * 2)
        self._begin(step)
        self.say(speech, after_ms=played_ms)


class Listener(Client):
    """Somebody whose words are written down. A subclass counts ``starts`` and ``stops`` of speech, and collects
    ``partials`` and ``finals``."""

    def __init__(self, package: str, job: Job) -> None:
        super().__init__(package, job)
        self.starts = self.stops = 0
        self.partials: list[str] = []
        self.finals: list[str] = []

    async def dictate(self) -> None:
        """Two sentences with a pause between them."""
        async with self.microphone():
            self.say("tool")
            await self.until(lambda: self.finals, "the words of the first")
            self.say("question", after_ms=200)
            await self.until(lambda: len(self.finals) > 1, "the words of the second")
        for name in ("starts", "stops", "partials", "finals"):
            self.report.facts[name] = getattr(self, name)
