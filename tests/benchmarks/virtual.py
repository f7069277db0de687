"""Time that passes only when everybody sleeps, and a server of which every answer's sample is known."""

from __future__ import annotations

import asyncio
import base64
import json
import selectors
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import numpy as np

from benchmarks.dialects.base import Frame

RATE = 24_000


class _Selector(selectors.DefaultSelector):
    """Waiting is a step of the clock."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now += timeout or 0.0
        return super().select(0)


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run it on a loop of its own, in virtual time."""
    selector = _Selector()
    loop = asyncio.SelectorEventLoop(selector)
    loop.time = lambda: selector.now  # type: ignore[method-assign]
    try:
        loop.run_until_complete(asyncio.wait_for(main, 600))
    finally:
        loop.close()


class Socket:
    """The other end of a line: an OpenAI-shaped server. on_audio: called with the samples received so far; what it
    does with ``say`` arrives at once. opening: a frame before all others. refuses: raised when
    a frame is sent."""

    def __init__(self, on_audio: Callable[[Socket, int], None], opening: str = "") -> None:
        self._frames: asyncio.Queue[str] = asyncio.Queue()
        self._on_audio = on_audio
        self.received = 0
        self.sent: list[dict[str, Any]] = []
        self.refuses: Exception | None = None
        if opening:
            self.put(opening)
        self.say("session.updated", session={"audio": {"input": {"turn_detection": {"type": "server_vad"}}}})

    async def send(self, message: Frame) -> None:
        if self.refuses is not None:
            raise self.refuses
        event = json.loads(message)
        if event["type"] == "input_audio_buffer.append":
            self.received += len(base64.b64decode(event["audio"])) // 2
            self._on_audio(self, self.received)
        else:
            self.sent.append(event)

    async def recv(self) -> Frame:
        return await self._frames.get()

    async def _all(self) -> AsyncIterator[Frame]:
        while True:
            yield await self._frames.get()

    def __aiter__(self) -> AsyncIterator[Frame]:
        return self._all()

    def say(self, kind: str, **fields: Any) -> None:
        self.put(json.dumps({"type": kind, **fields}))

    def put(self, frame: str) -> None:
        """A frame as it stands."""
        self._frames.put_nowait(frame)

    def begin(self, name: str) -> None:
        self.say("response.created", response={"id": name})

    def sound(self, name: str, samples: int, *, silence: int = 0) -> None:
        """Silence, and then a tone of so many samples."""
        pcm = np.concatenate([np.zeros(silence), np.full(samples, 3000)]).astype("<i2")
        delta = base64.b64encode(pcm.tobytes()).decode()
        self.say("response.output_audio.delta", response_id=name, item_id=f"item_{name}", delta=delta)

    def words(self, name: str, text: str) -> None:
        self.say("response.output_audio_transcript.delta", response_id=name, delta=text)

    def end(self, name: str, **fields: Any) -> None:
        self.say("response.done", response={"id": name, "status": "completed", "output": [], **fields})
