"""A caller behind the official SDK: a microphone that never stops, and everything the server says, in order."""

from __future__ import annotations

import asyncio
import base64
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any

import numpy as np
from openai import AsyncOpenAI

from models.audio import Pcm16, alaw_decode, alaw_encode, resample, ulaw_decode, ulaw_encode

_PIECE_MS = 20
RATES = {"audio/pcm": 24_000, "audio/pcmu": 8_000, "audio/pcma": 8_000}


class Caller:
    """``async with`` it. ``events`` holds all server events so far; ``rate`` is the wire's sample rate."""

    def __init__(
        self,
        base_url: str,
        session: dict[str, Any],
        *,
        model: str = "kammerton",
        key: str = "sk-test",
        query: dict[str, str] | None = None,
    ) -> None:
        self._client = AsyncOpenAI(base_url=f"{base_url}/v1", api_key=key, max_retries=0)
        self._manager = self._client.realtime.connect(model=model, extra_query=query or {})
        self._session = session
        self._said: deque[Pcm16] = deque()
        self._changed = asyncio.Condition()
        self.format = session.get("audio", {}).get("input", {}).get("format", {}).get("type", "audio/pcm")
        self.output = session.get("audio", {}).get("output", {}).get("format", {}).get("type", "audio/pcm")
        self.events: list[Any] = []
        self.pace = 1.0

    @property
    def rate(self) -> int:
        return RATES[self.format]

    async def __aenter__(self) -> Caller:
        self.connection = await self._manager.__aenter__()
        self._tasks = [asyncio.create_task(self._listen())]
        audio = dict(self._session.get("audio", {}))
        audio["input"] = {"transcription": {"model": "whisper-1"}, **audio.get("input", {})}
        await self.connection.session.update(session={"type": "realtime", **self._session, "audio": audio})  # type: ignore[arg-type]
        await self.until("session.updated")
        self._tasks.append(asyncio.create_task(self._microphone()))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._manager.__aexit__(kind, error, trace)
        await self._client.close()

    async def _listen(self) -> None:
        async for event in self.connection:
            async with self._changed:
                self.events.append(event)
                self._changed.notify_all()

    async def _microphone(self) -> None:
        size = self.rate * _PIECE_MS // 1000
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            piece = self._said.popleft() if self._said else np.zeros(0, np.int16)
            if len(piece) > size:
                self._said.appendleft(piece[size:])
            piece = piece[:size]
            await self.append(np.pad(piece, (0, size - len(piece))))
            due += _PIECE_MS / 1000 / self.pace
            await asyncio.sleep(max(0.0, due - loop.time()))

    async def append(self, pcm: Pcm16) -> None:
        """Send samples at ``rate`` at once."""
        encoders: dict[str, Callable[[Pcm16], bytes]] = {"audio/pcmu": ulaw_encode, "audio/pcma": alaw_encode}
        data = encoders.get(self.format, lambda samples: samples.astype("<i2").tobytes())(pcm)
        await self.connection.input_audio_buffer.append(audio=base64.b64encode(data).decode())

    def say(self, pcm: Pcm16, rate: int = 16_000) -> int:
        """Speak into the microphone; returns where in ``events`` the reaction begins."""
        self._said.append(resample(pcm, rate, self.rate))
        return len(self.events)

    def fall_silent(self) -> None:
        """Say nothing of what is not said yet."""
        self._said.clear()

    async def until(self, kind: str, since: int = 0, timeout_s: float = 60) -> Any:
        """The first event of this type from index ``since`` on."""
        async with asyncio.timeout(timeout_s), self._changed:
            while True:
                for event in self.events[since:]:
                    if event.type == kind:
                        return event
                await self._changed.wait()

    def of(self, kind: str, since: int = 0) -> list[Any]:
        """All events of this type so far."""
        return [event for event in self.events[since:] if event.type == kind]

    async def ask(self, pcm: Pcm16, rate: int = 16_000) -> Turn:
        """Say it, wait for the answer's end."""
        since = self.say(pcm, rate)
        await self.until("response.done", since)
        return Turn(self, since)


class Turn:
    """What came of one question."""

    def __init__(self, caller: Caller, since: int) -> None:
        self.heard = "".join(
            event.transcript for event in caller.of("conversation.item.input_audio_transcription.completed", since)
        )
        self.done = caller.of("response.done", since)[-1].response
        self.text = "".join(event.delta for event in caller.of("response.output_audio_transcript.delta", since))
        self.calls = [
            (event.call_id, event.name, event.arguments)
            for event in caller.of("response.function_call_arguments.done", since)
        ]
        data = b"".join(base64.b64decode(event.delta) for event in caller.of("response.output_audio.delta", since))
        decoders = {"audio/pcmu": ulaw_decode, "audio/pcma": alaw_decode}
        decode = decoders.get(caller.output, lambda raw: np.frombuffer(raw, "<i2").astype(np.int16))
        self.pcm = decode(data)
        self.seconds = len(self.pcm) / RATES[caller.output]
