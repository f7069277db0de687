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
    as it arrives. None when nothing was to be heard. heard_s: seconds of audio in the answer.
    """

    question: str
    transcript: str = ""
    text: str = ""
    voice_to_voice: float | None = None
    heard_s: float = 0.0
    calls: list[str] = field(default_factory=list)
    stages: dict[str, Any] = field(default_factory=dict)


class Caller:
    """One Realtime session. Audio is sent in real time, 20 ms at a time, each piece when its last sample exists."""

    def __init__(self, socket: websockets.ClientConnection, session: dict[str, Any]) -> None:
        self._socket = socket
        self.session = session
        self._pending: list[NDArray[np.int16]] = []
        self._quiet = asyncio.Event()
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

    async def send(self, event: dict[str, Any]) -> None:
        await self._socket.send(json.dumps(event))

    async def ask(self, question: Question, timeout_s: float = 30.0) -> Answer:
        """Say it, and listen until the answer is complete. Raises TimeoutError, RuntimeError for an error event."""
        begins = self._sent
        self._pending.append(question.pcm)
        spoken_at = self._started + (begins + question.end) / RATE
        answer = Answer(question.text)
        async with asyncio.timeout(timeout_s):
            async for message in self._socket:
                if self._hear(json.loads(message), answer, spoken_at):
                    return answer
        raise RuntimeError("the server hung up")

    def _hear(self, event: dict[str, Any], answer: Answer, spoken_at: float) -> bool:
        match event["type"]:
            case "response.output_audio.delta":
                pcm = np.frombuffer(base64.b64decode(event["delta"]), np.int16)
                answer.heard_s += len(pcm) / RATE
                offset = first_audible(pcm)
                if answer.voice_to_voice is None and offset is not None:
                    answer.voice_to_voice = (time.perf_counter() - spoken_at + offset / RATE) * 1000
            case "response.output_audio_transcript.delta":
                answer.text += event["delta"]
            case "conversation.item.input_audio_transcription.completed":
                answer.transcript = event["transcript"]
            case "response.function_call_arguments.done":
                answer.calls.append(f"{event['name']} {event['arguments']}")
            case "error":
                raise RuntimeError(event["error"]["message"])
            case "response.done":
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
        microphone = asyncio.create_task(caller.microphone())
        try:
            yield caller
        finally:
            microphone.cancel()
