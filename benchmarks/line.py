"""One call on any dialect: a microphone that never stops, ears, a loudspeaker, and one clock in samples.

The clock is the microphone's: sample ``n`` of the call exists at ``started + n / rate``, whenever its piece really
left. A client that falls behind therefore counts against the answer's time; how late its pieces were is
kept, so that this is seen.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import websockets
from numpy.typing import NDArray

from benchmarks.conditions import Channel
from benchmarks.dialects.base import (
    AnswerBegan,
    AnswerEnded,
    Asked,
    Dialect,
    DialectError,
    Fact,
    Flush,
    Frame,
    Heard,
    History,
    Ready,
    Setup,
    Sound,
    Target,
    Trouble,
    TurnEnded,
    Words,
)
from benchmarks.loudspeaker import Loudspeaker
from benchmarks.recording import Recording
from benchmarks.results import Tokens

_OPEN_S = 20.0
_PIECES_A_SECOND = 50
_NOT_OF_THE_DIALECT = (DialectError, ValueError, KeyError, TypeError, AttributeError)
"""What a dialect raises over a message that is not what it should be."""


class LineError(RuntimeError):
    """The call could not be opened, or is over."""


@dataclass(slots=True)
class Answer:
    """One response. Moments are seconds of the line's clock."""

    id: str
    began: float
    ended: float | None = None
    cancelled: bool = False
    text: str = ""
    asked: list[Asked] = field(default_factory=list)
    tokens: Tokens | None = None
    stages: dict[str, float] = field(default_factory=dict)
    error: str = ""
    history: str | None = None


@dataclass(frozen=True, slots=True)
class Spoken:
    """An utterance under way. onset, end: moments of its first sample that is speech, and behind the last; begins: of
    the recording's first sample. over: the answer that was playing at the onset."""

    recording: Recording
    begins: float
    onset: float
    end: float
    over: str | None


@dataclass(slots=True)
class Log:
    """What happened, with the moment of each."""

    heard: list[tuple[float, Heard]] = field(default_factory=list)
    turn_ends: list[float] = field(default_factory=list)
    flushed: list[tuple[float, str]] = field(default_factory=list)
    troubles: list[tuple[float, str]] = field(default_factory=list)


class Socket(Protocol):
    """What a line needs of a WebSocket."""

    async def send(self, message: Frame) -> None: ...

    async def recv(self) -> Frame: ...

    def __aiter__(self) -> AsyncIterator[Frame]: ...


class Line:
    """Made by ``dial``. ``ready`` is what the server said of itself."""

    def __init__(self, socket: Socket, dialect: Dialect, channel: Channel) -> None:
        self._socket = socket
        self.dialect = dialect
        self._channel = channel
        self.loudspeaker = Loudspeaker(dialect.output_rate)
        self.log = Log()
        self.answers: dict[str, Answer] = {}
        self.ready = Ready()
        self.late_s: list[float] = []
        self._rate = dialect.input_rate
        self._pending: deque[NDArray[np.int16]] = deque()
        self._sent = 0
        self._started = 0.0
        self._changed = asyncio.Event()
        self._over = ""
        self.clock = asyncio.get_running_loop().time

    @property
    def elapsed_s(self) -> float:
        """Seconds of audio that were sent."""
        return self._sent / self._rate

    def say(self, recording: Recording) -> Spoken:
        """Begin to speak with the next piece, and do not wait."""
        carried = self._channel.carry(recording)
        waiting = sum(len(pcm) for pcm in self._pending)
        self._pending.append(carried.pcm)
        begins = self._started + (self._sent + waiting) / self._rate
        onset, end = (begins + place / self._rate for place in (carried.onset, carried.end))
        return Spoken(recording, begins, onset, end, self.loudspeaker.playing(onset) or self._unfinished())

    def answers_between(self, first: float, last: float) -> list[Answer]:
        """Those that began in this time, in order."""
        return [answer for answer in self.answers.values() if first <= answer.began < last]

    async def send(self, frames: Sequence[Frame]) -> None:
        """Raises LineError when the server has hung up."""
        for frame in frames:
            try:
                await self._socket.send(frame)
            except websockets.ConnectionClosed as closed:
                raise LineError(f"the server hung up: {closed}") from None

    async def until(self, condition: Callable[[], bool], timeout_s: float) -> None:
        """Wait until something that the server said makes it true. Raises TimeoutError, LineError when the call is
        over before."""
        async with asyncio.timeout(timeout_s):
            while not condition():
                if self._over:
                    raise LineError(self._over)
                self._changed.clear()
                await self._changed.wait()

    async def set_up(self, setup: Setup) -> None:
        """Configure the session. Raises LineError when the server does not take it."""
        for frame in self.dialect.opening(setup):
            await self._socket.send(frame)
        async with asyncio.timeout(_OPEN_S):
            while self.dialect.says_ready:
                for fact in self.dialect.hear(await self._socket.recv()):
                    if isinstance(fact, Ready):
                        self.ready = fact
                        return
                    if isinstance(fact, Trouble):
                        raise LineError(f"the session was refused: {fact.message}")

    async def microphone(self) -> None:
        """Send what is said, and silence or noise when nothing is, 20 ms at a time, until cancelled."""
        size = self._rate // _PIECES_A_SECOND
        left = np.zeros(0, np.int16)
        self._started = self.clock()
        while True:
            if not len(left) and self._pending:
                left = self._pending.popleft()
            piece, left = left[:size], left[size:]
            piece = np.pad(piece, (0, size - len(piece))) if len(piece) < size else piece
            piece = self._channel.microphone(self._sent, piece)
            self._sent += size
            due = self._started + self._sent / self._rate
            await asyncio.sleep(due - self.clock())
            self.late_s.append(self.clock() - due)
            await self.send(self.dialect.sound(piece))

    async def ears(self) -> None:
        """Take what the server says until it hangs up."""
        try:
            async for message in self._socket:
                arrived = self.clock()
                for fact in self.dialect.hear(message):
                    await self.take(fact, arrived)
                self._changed.set()
            self._over = "the server hung up"
        except websockets.ConnectionClosed as closed:
            self._over = f"the server hung up: {closed}"
        except LineError as error:
            self._over = str(error)
        except _NOT_OF_THE_DIALECT as error:
            self._over = f"the server said something that is not of the dialect: {error!r}"
        self._changed.set()

    async def take(self, fact: Fact, arrived: float) -> None:
        """Note a fact, and do what a client has to do about it."""
        match fact:
            case Sound():
                self._answer(fact.answer, arrived)
                self.loudspeaker.take(fact.answer, fact.pcm, arrived)
            case Flush():
                await self._flush(arrived)
            case AnswerBegan():
                self._answer(fact.answer, arrived)
            case Words():
                self._answer(fact.answer, arrived).text += fact.text
            case AnswerEnded():
                await self._ended(fact, arrived)
            case Asked():
                self._latest(arrived).asked.append(fact)
            case Heard():
                self.log.heard.append((arrived, fact))
            case TurnEnded():
                at = arrived if fact.audio_ms is None else self._started + fact.audio_ms / 1000
                self.log.turn_ends.append(at)
            case History() if fact.answer in self.answers:
                self.answers[fact.answer].history = fact.text
            case Trouble():
                self.log.troubles.append((arrived, fact.message))
            case Ready():
                self.ready = fact

    def _answer(self, name: str, arrived: float) -> Answer:
        return self.answers.setdefault(name, Answer(name, arrived))

    def _unfinished(self) -> str | None:
        """An answer that can be heard and is not whole: its next sound may be a moment away."""
        received = self.loudspeaker.received
        return next((name for name, answer in self.answers.items() if answer.ended is None and name in received), None)

    def _latest(self, arrived: float) -> Answer:
        """The answer that is being made; a call for a tool may be all of it."""
        open_ones = [answer for answer in self.answers.values() if answer.ended is None]
        return open_ones[-1] if open_ones else self._answer(f"unnamed_{len(self.answers)}", arrived)

    async def _ended(self, fact: AnswerEnded, arrived: float) -> None:
        answer = self._answer(fact.answer, arrived)
        answer.tokens = fact.tokens or answer.tokens
        answer.stages |= fact.stages
        if answer.ended is not None:
            return
        answer.ended, answer.cancelled, answer.error = arrived, fact.cancelled, fact.error
        if fact.error:
            self.log.troubles.append((arrived, fact.error))
        if fact.cancelled and self.loudspeaker.playing(arrived) == fact.answer:
            await self._flush(arrived)

    async def _flush(self, arrived: float) -> None:
        stopped = self.loudspeaker.flush(arrived)
        if stopped is not None:
            self.log.flushed.append((arrived, stopped))
            await self.send(self.dialect.played(stopped, self.loudspeaker.played_s(stopped)))


@asynccontextmanager
async def dial(dialect: Dialect, target: Target, setup: Setup, channel: Channel) -> AsyncIterator[Line]:
    """Connect, configure, and keep the microphone open for as long as the call lasts. Raises LineError."""
    endpoint = dialect.endpoint(target)
    protocols = [websockets.Subprotocol(name) for name in endpoint.subprotocols]
    try:
        socket = await websockets.connect(
            endpoint.url,
            additional_headers=endpoint.headers,
            subprotocols=protocols or None,
            compression=None,
            max_size=None,
            open_timeout=_OPEN_S,
        )
    except (OSError, websockets.WebSocketException) as error:
        raise LineError(f"no connection: {error}") from None
    async with socket, opened(Line(socket, dialect, channel), setup) as line:
        yield line


@asynccontextmanager
async def opened(line: Line, setup: Setup) -> AsyncIterator[Line]:
    """Configure the session of a connected line, and keep its microphone and its ears going. Raises LineError."""
    try:
        await line.set_up(setup)
    except (TimeoutError, websockets.ConnectionClosed) as error:
        raise LineError(f"the session was not opened: {error or 'no answer'}") from None
    except _NOT_OF_THE_DIALECT as error:
        raise LineError(
            f"the session was not opened: the server said something that is not of the dialect: {error!r}"
        ) from None
    tasks = [asyncio.create_task(line.microphone()), asyncio.create_task(line.ears())]
    await asyncio.sleep(0)
    try:
        yield line
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
