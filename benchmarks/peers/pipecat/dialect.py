"""Pipecat's frames as the few Realtime events that a caller under measurement reads and writes.

So that one client measures all servers, and none is measured through another door than the rest.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
from fastapi import WebSocket
from numpy.typing import NDArray
from pipecat.frames.frames import (
    BotStoppedSpeakingFrame,
    Frame,
    InputAudioRawFrame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    OutputAudioRawFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSTextFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.serializers.base_serializer import FrameSerializer
from pipecat.services.llm_service import FunctionCallParams

_WIRE_RATE = 24_000
_RATE = 16_000
_TAPS = 97


class Downsampler:
    """24 kHz to 16 kHz with a delay of 1 ms: Pipecat's own stream resampler would hold back 20 ms and more, which a
    client that speaks 16 kHz by itself would not meet."""

    def __init__(self) -> None:
        # Over the common rate of 48 kHz: a windowed sinc up to 7.6 kHz, times two for the zeros in between.
        at = np.arange(_TAPS) - _TAPS // 2
        taps = np.sinc(2 * 7600 / 48_000 * at) * np.hamming(_TAPS)
        self._taps = (2 * taps / taps.sum()).astype(np.float32)
        self._left = np.zeros(_TAPS - 1, np.float32)
        self._skip = 0

    def __call__(self, pcm: bytes) -> bytes:
        samples = np.frombuffer(pcm, np.int16)
        dense = np.zeros(2 * len(samples), np.float32)
        dense[::2] = samples
        line: NDArray[np.float32] = np.concatenate([self._left, dense])
        filtered = np.convolve(line, self._taps, "valid")[self._skip :: 3]
        self._skip = (self._skip - len(dense)) % 3
        self._left = line[len(line) - (_TAPS - 1) :]
        return np.clip(np.rint(filtered), -32768, 32767).astype(np.int16).tobytes()


class Dialect(FrameSerializer):
    """Audio, both ways, and the client's results of tools. All else that the server says is ``Events``'s."""

    def __init__(self) -> None:
        super().__init__()
        self._downsample = Downsampler()
        self._queued: deque[tuple[str, int]] = deque()
        self.results: dict[str, asyncio.Future[str]] = {}

    def queue(self, response: str, size: int) -> None:
        """So many bytes of speech, of this response, are on their way to ``serialize``."""
        self._queued.append((response, size))

    def forget(self) -> None:
        """They are dropped."""
        self._queued.clear()

    async def serialize(self, frame: Frame) -> str | bytes | None:
        if not isinstance(frame, OutputAudioRawFrame):
            return None
        response, left = "", len(frame.audio)
        while self._queued and left > 0:
            name, size = self._queued.popleft()
            response, left = response or name, left - size
        if left < 0:
            self._queued.appendleft((name, -left))
        names = {"response_id": response, "item_id": f"item_of_{response}"}
        audio = base64.b64encode(frame.audio).decode()
        return json.dumps({"type": "response.output_audio.delta", **names, "delta": audio})

    async def deserialize(self, data: str | bytes) -> Frame | None:
        event = json.loads(data)
        if event["type"] == "input_audio_buffer.append":
            pcm = self._downsample(base64.b64decode(event["audio"]))
            return InputAudioRawFrame(audio=pcm, sample_rate=_RATE, num_channels=1)
        if event["type"] == "conversation.item.create" and event["item"]["type"] == "function_call_output":
            result = self.results.pop(event["item"]["call_id"], None)
            if result is not None and not result.done():
                result.set_result(event["item"]["output"])
        return None


class Tap(FrameProcessor):
    """A place in the pipeline from which frames are seen in passing. notice: takes each one, and its direction."""

    def __init__(self, notice: Callable[[Frame, FrameDirection], Awaitable[None]]) -> None:
        super().__init__(enable_direct_mode=True)
        self._notice = notice

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        await self._notice(frame, direction)
        await self.push_frame(frame, direction)


class Events:
    """Tells the client what the pipeline does, and when: the stages are milliseconds after the end of speech, as far
    as the VAD knows it. heard, thought, said: taps behind the transcriber, the chat model and the voice."""

    def __init__(self, socket: WebSocket, dialect: Dialect) -> None:
        self.heard, self.thought, self.said = Tap(self._hear), Tap(self._think), Tap(self._speak)
        self._socket = socket
        self._dialect = dialect
        self._numbers = itertools.count(1)
        self._open = False
        self._response = "resp_0"
        self._spoken_of: dict[str | None, str] = {}
        self._worded: deque[str] = deque()
        self._thinking = False
        self._asking = 0
        self._speeches = 0
        self._silent_since = time.time()
        self._stages: dict[str, float] = {}

    async def _hear(self, frame: Frame, _: FrameDirection) -> None:
        if isinstance(frame, TranscriptionFrame):
            self._reach("stt_final")
            await self._say("conversation.item.input_audio_transcription.completed", transcript=frame.text.strip())

    async def _think(self, frame: Frame, direction: FrameDirection) -> None:
        # What is broadcast goes both ways, and is one event.
        if direction is FrameDirection.UPSTREAM:
            return
        match frame:
            case VADUserStoppedSpeakingFrame(timestamp=moment, stop_secs=silence):
                self._silent_since = moment - silence
                self._stages = {}
            case UserStartedSpeakingFrame():
                await self._say("input_audio_buffer.speech_started")
            case UserStoppedSpeakingFrame():
                await self._say("input_audio_buffer.speech_stopped")
            case InterruptionFrame():
                await self._interrupted()
            case LLMFullResponseStartFrame():
                self._thinking = True
                await self._begin()
            case LLMTextFrame():
                self._reach("llm_first_token")
                if self._response not in self._worded and self._response not in self._spoken_of.values():
                    self._worded.append(self._response)
            case LLMFullResponseEndFrame():
                self._thinking = False

    async def _speak(self, frame: Frame, direction: FrameDirection) -> None:
        match frame:
            case TTSStartedFrame(context_id=context):
                # Each response that has words is one context, in the same order.
                self._spoken_of[context] = self._worded.popleft() if self._worded else self._response
                self._speeches += 1
                self._reach("first_segment")
            case TTSAudioRawFrame(context_id=context, audio=audio):
                self._reach("tts_first_audio")
                self._dialect.queue(self._spoken_of.get(context, self._response), len(audio))
            case TTSTextFrame(context_id=context, text=text):
                response = self._spoken_of.get(context, self._response)
                await self._say("response.output_audio_transcript.delta", response_id=response, delta=text)
            case InterruptionFrame():
                self._dialect.forget()
            case BotStoppedSpeakingFrame() if direction is FrameDirection.UPSTREAM:
                self._speeches = max(0, self._speeches - 1)
                if self._open and not (self._thinking or self._asking or self._speeches):
                    await self._done("completed")

    async def ask_client(self, call: FunctionCallParams) -> None:
        """Tools are the client's: its answer is waited for."""
        item = {
            "type": "function_call",
            "call_id": call.tool_call_id,
            "name": call.function_name,
            "arguments": json.dumps(dict(call.arguments)),
        }
        result = self._dialect.results[call.tool_call_id] = asyncio.get_running_loop().create_future()
        self._asking += 1
        try:
            fields = {key: value for key, value in item.items() if key != "type"}
            await self._begin()
            await self._say("response.function_call_arguments.done", response_id=self._response, **fields)
            await self._done("completed", [item])
            await call.result_callback(json.loads(await result))
        finally:
            self._asking -= 1

    def _reach(self, stage: str) -> None:
        self._stages.setdefault(stage, round((time.time() - self._silent_since) * 1000, 1))

    async def _begin(self) -> None:
        if not self._open:
            self._open = True
            self._response = f"resp_{next(self._numbers)}"
            await self._say("response.created", response={"id": self._response, "status": "in_progress"})

    async def _interrupted(self) -> None:
        self._worded.clear()
        self._speeches = 0
        if self._open:
            await self._done("cancelled")

    async def _done(self, status: str, output: list[dict[str, Any]] | None = None) -> None:
        self._open = False
        response = {"id": self._response, "status": status, "output": output or []}
        await self._say("response.done", response={**response, "kammerton": {"timings_ms": dict(self._stages)}})

    async def _say(self, kind: str, **fields: Any) -> None:
        await self._socket.send_text(json.dumps({"type": kind, **fields}))
