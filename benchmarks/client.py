"""A caller: a microphone that never stops, a clock in samples, and ears."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import websockets
from numpy.typing import NDArray

from benchmarks.speech import RATE, Question, first_audible

_PIECE = RATE // 50
_PIECE_S = _PIECE / RATE


@dataclass(slots=True)
class Answer:
    """One turn as the caller lived it. Times are milliseconds.

    voice_to_voice: from the last sample of the question that is speech to the first audible sample of the answer,
    as it arrives. None when nothing was to be heard. heard_s: seconds of audio in the answer. tokens: read and written.
    """

    question: str
    transcript: str = ""
    text: str = ""
    voice_to_voice: float | None = None
    heard_s: float = 0.0
    calls: list[str] = field(default_factory=list)
    tokens: int = 0
    stages: dict[str, Any] = field(default_factory=dict)


class Caller:
    """One Realtime session. Audio is sent in real time, 20 ms at a time, each piece when its last sample exists."""

    def __init__(self, socket: websockets.ClientConnection, session: dict[str, Any]) -> None:
        self._socket = socket
        self.session = session
        self._pending: list[NDArray[np.int16]] = []
        self._events: asyncio.Queue[tuple[float, dict[str, Any]]] = asyncio.Queue()
        self._sent = 0
        self._started = time.perf_counter()

    @property
    def hold_ms(self) -> float:
        """The end-of-turn silence that the server waits for."""
        return float(self.session["audio"]["input"]["turn_detection"]["silence_duration_ms"])

    async def microphone(self) -> None:
        """Stream what is said, and silence when nothing is, until cancelled."""
        silence = np.zeros(_PIECE, np.int16)
        left = np.zeros(0, np.int16)
        while True:
            if not len(left) and self._pending:
                left = self._pending.pop(0)
            piece, left = (left[:_PIECE], left[_PIECE:]) if len(left) else (silence, left)
            if len(piece) < _PIECE:
                piece = np.concatenate([piece, silence[len(piece) :]])
            self._sent += _PIECE
            await asyncio.sleep(self._started + self._sent / RATE - time.perf_counter())
            audio = base64.b64encode(piece.tobytes()).decode()
            await self._socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))

    async def ears(self) -> None:
        """Take what the server says, with the moment of its arrival, until it hangs up."""
        async for message in self._socket:
            arrived = time.perf_counter()
            self._events.put_nowait((arrived, json.loads(message)))

    async def say(self, question: Question) -> float:
        """Speak, and do not wait; the second of the call at which the recording begins."""
        self._pending.append(question.pcm)
        return self._sent / RATE

    async def say_at(self, question: Question) -> float:
        """Speak, and do not wait; the moment at which the recording begins, by the clock of ``next``."""
        return self._started + await self.say(question)

    async def next(self) -> tuple[float, dict[str, Any]]:
        """The next event, and the moment of its arrival (time.perf_counter)."""
        return await self._events.get()

    def drain(self, kind: str) -> list[dict[str, Any]]:
        """The events of this type that have come so far; all others are dropped."""
        events = []
        while not self._events.empty():
            events.append(self._events.get_nowait()[1])
        return [event for event in events if event["type"] == kind]

    def arrivals(self, kind: str) -> list[float]:
        """At which second of the call events of this type came in; all others are dropped."""
        arrived = []
        while not self._events.empty():
            moment, event = self._events.get_nowait()
            if event["type"] == kind:
                arrived.append(moment - self._started)
        return arrived

    async def send(self, event: dict[str, Any]) -> None:
        await self._socket.send(json.dumps(event))

    async def ask(self, question: Question, timeout_s: float = 30.0) -> Answer:
        """Say it, and listen until the answer is complete. Raises TimeoutError, RuntimeError for an error event."""
        spoken_at = self._started + await self.say(question) + question.end / RATE
        answer = Answer(question.text)
        async with asyncio.timeout(timeout_s):
            while True:
                arrived, event = await self._events.get()
                if self._hear(event, arrived, answer, spoken_at):
                    return answer

    def _hear(self, event: dict[str, Any], arrived: float, answer: Answer, spoken_at: float) -> bool:
        match event["type"]:
            case "response.output_audio.delta":
                pcm = np.frombuffer(base64.b64decode(event["delta"]), np.int16)
                answer.heard_s += len(pcm) / RATE
                offset = first_audible(pcm)
                if answer.voice_to_voice is None and offset is not None:
                    answer.voice_to_voice = (arrived - spoken_at + offset / RATE) * 1000
            case "response.output_audio_transcript.delta":
                answer.text += event["delta"]
            case "conversation.item.input_audio_transcription.completed":
                answer.transcript = event["transcript"]
            case "response.function_call_arguments.done":
                answer.calls.append(f"{event['name']} {event['arguments']}")
            case "error":
                raise RuntimeError(event["error"]["message"])
            case "response.done":
                answer.tokens = (event["response"].get("usage") or {}).get("total_tokens", 0)
                answer.stages = event["response"].get("kammerton", {}).get("timings_ms", {})
                return True
        return False


@asynccontextmanager
async def call(url: str, session: dict[str, Any] | None = None) -> AsyncIterator[Caller]:
    """Connect, configure, and keep the microphone open for as long as the call lasts."""
    async with websockets.connect(url, compression=None, max_size=None) as socket:
        created = json.loads(await socket.recv())["session"]
        changes = {"type": "realtime", "audio": {"input": {"transcription": {"model": "whisper-1"}}}, **(session or {})}
        await socket.send(json.dumps({"type": "session.update", "session": changes}))
        updated = json.loads(await socket.recv())
        if updated["type"] == "error":
            raise RuntimeError(updated["error"]["message"])
        caller = Caller(socket, updated.get("session", created))
        tasks = [asyncio.create_task(caller.microphone()), asyncio.create_task(caller.ears())]
        try:
            yield caller
        finally:
            for task in tasks:
                task.cancel()
