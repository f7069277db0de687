"""Piper (VITS voices in ONNX): the engine as the server sees it.

The synthesis itself runs in worker processes (models/tts/piper_worker.py), because piper-tts is GPL-3.0-or-later and
because espeak holds the GIL; nothing here imports it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path

from models.base import EngineError, Priority, SpeechChunk, Urgency, Voice
from models.tts.voice_files import find_voices
from models.tts.worker_pool import Delivery, WorkerPool

_WORKER = "models.tts.piper_worker"
_SLOWEST, _FASTEST = 0.25, 4.0
_OPENER_CHARS = 48
_OPENER_BYTES = 8 << 20


class Piper:
    """A ``Synthesizer``. Use ``Piper.load``.

    Bound to no event loop: each call delivers to the loop it was made in.
    """

    def __init__(self, name: str, voices: tuple[Voice, ...], pool: WorkerPool, by_priority: bool) -> None:
        self.name = name
        self.voices = voices
        self._pool = pool
        self._by_priority = by_priority
        self._openers = _Openers(_OPENER_BYTES)

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        name: str,
        workers: int = 1,
        max_waiting: int = 32,
        stall_s: float = 30.0,
        by_priority: bool = True,
    ) -> Piper:
        """Start the workers on all voices of a folder (NAME.onnx with NAME.onnx.json) and wait until they can speak.

        workers: processes of one core each. max_waiting: texts that may wait, beyond them CapacityError.
        stall_s: a worker that says nothing for so long is taken for hung. by_priority: False speaks in order of
        arrival. Raises WeightsError naming the file at fault.
        """
        files = find_voices(folder, name)
        pool = WorkerPool(
            name, _WORKER, [file.path for file in files], workers=workers, max_waiting=max_waiting, stall_s=stall_s
        )
        pool.start()
        return cls(name, tuple(file.voice for file in files), pool, by_priority)

    @staticmethod
    def described(folder: Path, *, name: str) -> tuple[Voice, ...]:
        """The voices of a folder, as their descriptions say: no worker is started. Raises WeightsError."""
        return tuple(file.voice for file in find_voices(folder, name))

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers that are up."""
        return self._pool.pids

    @property
    def busy(self) -> int:
        """How many texts a worker has in hand now; others wait in line or for their listener."""
        return self._pool.busy

    def voice_for(self, wanted: str, language: str | None) -> Voice:
        """See ``Synthesizer.voice_for``. language: ISO 639-1, also with a region behind it ("de-AT")."""
        spoken = None if language is None else language.replace("_", "-").split("-")[0].lower()
        fitting = [voice for voice in self.voices if spoken is None or voice.language == spoken]
        named = (voice for voice in fitting if voice.name.lower() == wanted.lower())
        return next(named, (fitting or self.voices)[0])

    async def synthesize(
        self, text: str, voice: Voice, *, speed: float = 1.0, priority: Priority | Urgency = Priority.CONFIRMED
    ) -> AsyncGenerator[SpeechChunk, None]:
        """See ``Synthesizer.synthesize``. speed is kept within 0.25 and 4.

        Raises ValueError for a voice that is not one of ``voices``, CapacityError, and EngineError: retryable when a
        worker was lost, not when the text cannot be spoken.
        """
        if voice not in self.voices:
            raise ValueError(f"{self.name} has no voice {voice.name!r}")
        speed = min(_FASTEST, max(_SLOWEST, speed))
        opener = (voice.name, text, speed)
        if (ready := self._openers.get(opener)) is not None:
            for chunk in ready:
                yield chunk
            return
        chunks: list[SpeechChunk] = []
        loop = asyncio.get_running_loop()
        arrived: asyncio.Queue[Delivery] = asyncio.Queue()

        def deliver(item: Delivery) -> None:
            with suppress(RuntimeError):  # The loop is closed: nobody listens any more.
                loop.call_soon_threadsafe(arrived.put_nowait, item)

        if not self._by_priority:
            priority = Priority.CONFIRMED
        job = self._pool.submit(text, voice, speed, priority, deliver)
        try:
            while (item := await arrived.get()) is not None:
                if isinstance(item, EngineError):
                    raise item
                self._pool.taken(job, len(item.pcm))
                chunks.append(item)
                yield item
        finally:
            self._pool.cancel(job)
        if len(text) <= _OPENER_CHARS:
            self._openers.put(opener, chunks)

    async def close(self) -> None:
        """End the workers. What is being spoken fails."""
        await asyncio.to_thread(self._pool.close)


class _Openers:
    """Audio of short texts that were spoken lately, the oldest dropped first: "One moment." is then ready at once."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: OrderedDict[tuple[str, str, float], list[SpeechChunk]] = OrderedDict()

    def get(self, key: tuple[str, str, float]) -> list[SpeechChunk] | None:
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def put(self, key: tuple[str, str, float], chunks: list[SpeechChunk]) -> None:
        if key in self._kept:
            return
        self._kept[key] = chunks
        self._bytes += _size(chunks)
        while self._bytes > self._max_bytes:
            self._bytes -= _size(self._kept.popitem(last=False)[1])


def _size(chunks: list[SpeechChunk]) -> int:
    return sum(chunk.pcm.nbytes for chunk in chunks)
