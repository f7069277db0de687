"""The line between a caller and a server: real-time pacing, a playback buffer, and everything that goes wrong."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import websockets

from models.audio import resample
from models.base import Pcm16
from scripts.phone_line.gaps import Gaps
from scripts.phone_line.wire import FRAME_MS, CarrierEnd, Clear, Finding, Frame, HangUp, Mark, Play

_FRAME_S = FRAME_MS / 1000
_ECHO_FRAMES = 2


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong with the line. loss: share of the caller's frames that never arrive. jitter_ms: longest delay of a
    frame, order kept. echo_db: how much softer the server's voice comes back, None for not at all. noise_dbfs: level of
    the noise around the caller, None for none. stall: frames from the first number to the second arrive at once."""

    loss: float = 0.0
    jitter_ms: float = 0.0
    echo_db: float | None = None
    noise_dbfs: float | None = None
    stall: tuple[int, int] = (0, 0)
    seed: int = 1


NO_TROUBLE = Trouble()


class Socket(Protocol):
    """Anything that carries frames, such as a websockets connection."""

    async def send(self, message: Frame, /) -> None: ...
    async def recv(self) -> Frame: ...


@dataclass
class Recording:
    """Both sides of a call in samples of one clock, at ``rate``. arrived: the server's sound, piece by piece,
    whether or not it came in time to be heard without a gap. findings: what the carrier complained about.
    underruns: gaps inside an answer. cleared: samples at which the server had what was not played thrown away. played:
    the marks that were reached by playing, each with the sample that was next. delivered_ms: when each frame of the
    caller, by its number, was handed over, in ms of the line's clock. late_ms: the most by which the carrier's
    own clock was behind: gaps of that length are its own."""

    rate: int
    heard: list[Pcm16] = field(default_factory=list)
    said: list[Pcm16] = field(default_factory=list)
    arrived: list[Pcm16] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    underruns: int = 0
    cleared: list[int] = field(default_factory=list)
    played: list[tuple[int, str]] = field(default_factory=list)
    delivered_ms: dict[int, float] = field(default_factory=dict)
    late_ms: float = 0.0

    @property
    def clears(self) -> int:
        """How often the server had what was not played thrown away."""
        return len(self.cleared)

    def heard_from(self, sample: int) -> Pcm16:
        """What the caller heard from there on."""
        size = len(self.heard[0]) if self.heard else 1
        frames = self.heard[sample // size :]
        return np.concatenate(frames)[sample % size :] if frames else np.zeros(0, np.int16)

    @property
    def samples(self) -> int:
        """Length so far: all frames are as long as the first."""
        return len(self.heard) * len(self.heard[0]) if self.heard else 0

    @property
    def heard_pcm(self) -> Pcm16:
        """What the caller heard, silence included."""
        return np.concatenate(self.heard) if self.heard else np.zeros(0, np.int16)

    @property
    def seconds(self) -> float:
        """Length so far."""
        return self.samples / self.rate


class Line:
    """One media stream. ``run`` it; ``say`` and ``press`` are for whoever plays the caller."""

    def __init__(self, end: CarrierEnd, socket: Socket, trouble: Trouble, recording: Recording | None = None) -> None:
        self.end = end
        self.recording = recording or Recording(end.samples.rate)
        self._socket = socket
        self._trouble = trouble
        self._random = random.Random(trouble.seed)
        self._noise = np.random.default_rng(trouble.seed)
        self._speech: deque[Pcm16] = deque()
        self._rest: Pcm16 = np.zeros(0, np.int16)
        self._fifo: deque[bytes | str] = deque()
        self._outgoing: asyncio.Queue[tuple[float, Frame, int | None] | None] = asyncio.Queue()
        self._begun = 0.0
        self._gaps = Gaps()
        self._earlier_gaps = self.recording.underruns
        self._moved = asyncio.Condition()
        self._ended = False
        self._frames_sent = 0

    # ------------------------------------------------------------------------------- the caller

    def say(self, pcm: Pcm16, rate: int = 16_000) -> int:
        """Speak, after what is being said already; the sample of the recording at which it begins."""
        begins = self.samples + len(self._rest) + sum(map(len, self._speech))
        self._speech.append(resample(pcm, rate, self.end.samples.rate))
        return begins

    @property
    def samples(self) -> int:
        """How long the recording is."""
        return self.recording.samples

    @property
    def ended(self) -> bool:
        """Whether the call is over."""
        return self._ended

    async def press(self, keys: str) -> None:
        """Type on the phone."""
        for digit in keys:
            frame = self.end.key(digit)
            if frame is not None:
                self._send(frame)
            await asyncio.sleep(0.1)

    async def hang_up(self) -> None:
        """Put the phone down."""
        frame = self.end.stop()
        if frame is not None:
            self._send(frame)
        self._ended = True

    async def after(self, samples: int) -> None:
        """Wait until the recording is so long, or the call over."""
        async with self._moved:
            await self._moved.wait_for(lambda: self._ended or self.samples >= samples)

    # ------------------------------------------------------------------------------- the carrier

    async def run(self) -> None:
        """Until somebody hangs up, or the socket ends."""
        for frame in self.end.hello():
            await self._socket.send(frame)
        tasks = [asyncio.create_task(work()) for work in (self._tick, self._deliver, self._listen)]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except (websockets.ConnectionClosed, EOFError, ConnectionError):
            pass  # the server has hung up
        finally:
            self._ended = True
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            async with self._moved:
                self._moved.notify_all()

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        begun = self._begun = loop.time()
        number = 0
        while not self._ended:
            await asyncio.sleep(max(0.0, begun + number * _FRAME_S - loop.time()))
            late_ms = (loop.time() - begun - number * _FRAME_S) * 1000
            self.recording.late_ms = max(self.recording.late_ms, late_ms)
            heard = self._play()
            self.recording.heard.append(heard)
            said = self._speak()
            self.recording.said.append(said)
            self._transmit(number, said, begun)
            number += 1
            async with self._moved:
                self._moved.notify_all()
        self._outgoing.put_nowait(None)
        await asyncio.Event().wait()

    def _transmit(self, number: int, said: Pcm16, begun: float) -> None:
        """A frame leaves when its last sample has been spoken; a bad line takes longer."""
        trouble = self._trouble
        if self._random.random() < trouble.loss:
            self.end.lost()
            return
        due = begun + (number + 1) * _FRAME_S + self._random.random() * trouble.jitter_ms / 1000
        first, last = trouble.stall
        if first <= number < last:
            due = begun + last * _FRAME_S
        data = self.end.samples.encode(self._as_received(said))
        self._outgoing.put_nowait((due, self.end.media(data, number * FRAME_MS), number))

    def _as_received(self, said: Pcm16) -> Pcm16:
        trouble = self._trouble
        mixed = said.astype(np.float64)
        if trouble.noise_dbfs is not None:
            mixed += self._noise.standard_normal(len(said)) * 10 ** (trouble.noise_dbfs / 20) * 32768
        if trouble.echo_db is not None and len(self.recording.heard) > _ECHO_FRAMES:
            mixed += self.recording.heard[-1 - _ECHO_FRAMES] * 10 ** (-trouble.echo_db / 20)
        return np.clip(np.rint(mixed), -32768, 32767).astype(np.int16)

    async def _deliver(self) -> None:
        loop = asyncio.get_running_loop()
        while (entry := await self._outgoing.get()) is not None:
            due, frame, number = entry
            await asyncio.sleep(max(0.0, due - loop.time()))
            await self._socket.send(frame)
            if number is not None:
                self.recording.delivered_ms[number] = (loop.time() - self._begun) * 1000

    def _send(self, frame: Frame) -> None:
        self._outgoing.put_nowait((0.0, frame, None))

    def _speak(self) -> Pcm16:
        size = self.end.samples.frame
        while len(self._rest) < size and self._speech:
            self._rest = np.concatenate([self._rest, self._speech.popleft()])
        piece, self._rest = self._rest[:size], self._rest[size:]
        return np.pad(piece, (0, size - len(piece)))

    def _play(self) -> Pcm16:
        """The next FRAME_MS of the playback buffer; marks on the way are told."""
        samples = self.end.samples
        wanted = samples.frame * samples.width
        data = b""
        while self._fifo and (len(data) < wanted or isinstance(self._fifo[0], str)):
            head = self._fifo.popleft()
            if isinstance(head, str):
                self._reach(head)
                continue
            if not data:
                self._gaps.frame(True)
            missing = wanted - len(data)
            data += head[:missing]
            if head[missing:]:
                self._fifo.appendleft(head[missing:])
                break
        if not data:
            self._gaps.frame(False)
        self.recording.underruns = self._earlier_gaps + self._gaps.count
        pcm = samples.decode(data)
        return np.pad(pcm, (0, samples.frame - len(pcm)))

    def _reach(self, mark: str) -> None:
        self._gaps.mark(mark)
        self.recording.played.append((self.samples, mark))
        self._tell(mark)

    def _tell(self, mark: str) -> None:
        frame = self.end.reached(mark)
        if frame is not None:
            self._send(frame)

    async def _listen(self) -> None:
        while True:
            for command in self.end.read(await self._socket.recv()):
                match command:
                    case Play():
                        self._fifo.append(command.samples)
                        self.recording.arrived.append(self.end.samples.decode(command.samples))
                    case Mark():
                        if self._fifo:
                            self._fifo.append(command.name)
                        else:
                            self._reach(command.name)
                    case Clear():
                        self._clear()
                    case HangUp():
                        return
                    case Finding():
                        self.recording.findings.append(command.what)

    def _clear(self) -> None:
        dropped, self._fifo = self._fifo, deque()
        self.recording.cleared.append(self.samples)
        self._gaps.clear()
        if self.end.marks_return_after_clear:
            for entry in dropped:
                if isinstance(entry, str):
                    self._tell(entry)
        frame = self.end.cleared()
        if frame is not None:
            self._send(frame)
