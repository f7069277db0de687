"""Microphone and loudspeaker of this machine, through sounddevice (extra ``audio``)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np

from models.base import Pcm16
from server.talk.playback import Playback
from server.talk.wire import TalkStartError, WireFormat


class Loudspeaker(Playback):
    """Really plays what is reckoned. Filled on the event loop, emptied by the device's thread."""

    def __init__(self, rate: int) -> None:
        super().__init__(rate)
        self._waiting = np.zeros(0, np.int16)
        self._lock = threading.Lock()

    def add(self, item_id: str, pcm: Pcm16, at: float) -> None:
        super().add(item_id, pcm, at)
        with self._lock:
            self._waiting = np.concatenate((self._waiting, pcm))

    def interrupt(self, at: float) -> tuple[str, int] | None:
        with self._lock:
            self._waiting = np.zeros(0, np.int16)
        return super().interrupt(at)

    def fill(self, block: Any, frames: int, time: Any, status: Any) -> None:
        """The device wants the next samples: block has shape [frames, 1]."""
        with self._lock:
            ready, self._waiting = self._waiting[:frames], self._waiting[frames:]
        block[: len(ready), 0] = ready
        block[len(ready) :, 0] = 0


class DeviceMicrophone:
    """The machine's microphone."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[Pcm16] = asyncio.Queue()

    def take(self, block: Any, frames: int, time: Any, status: Any) -> None:
        """The device has samples, on its own thread: block has shape [frames, 1]."""
        self._loop.call_soon_threadsafe(self._queue.put_nowait, block[:, 0].copy())

    async def pieces(self) -> AsyncGenerator[Pcm16, None]:
        while True:
            yield await self._queue.get()


@contextmanager
def open_devices(wire: WireFormat) -> Generator[tuple[DeviceMicrophone, Loudspeaker], None, None]:
    """The default microphone and loudspeaker, running. Raises TalkStartError when there are none."""
    sounddevice = _sounddevice()
    microphone, loudspeaker = DeviceMicrophone(), Loudspeaker(wire.rate)
    format = {"samplerate": wire.rate, "blocksize": wire.piece, "channels": 1, "dtype": "int16"}
    try:
        given = sounddevice.InputStream(callback=microphone.take, **format)
        spoken = sounddevice.OutputStream(callback=loudspeaker.fill, **format)
    except sounddevice.PortAudioError as error:
        raise TalkStartError(
            f"no microphone or loudspeaker: {error}; a recording works too: talk question.wav"
        ) from None
    with given, spoken:
        yield microphone, loudspeaker


def _sounddevice() -> ModuleType:
    try:
        import sounddevice
    except (ImportError, OSError) as error:
        # OSError: the package is there, the PortAudio library is not.
        hint = "pip install sounddevice (and the PortAudio library), or give a recording: talk question.wav"
        raise TalkStartError(f"a microphone needs sounddevice ({error}): {hint}") from None
    module: ModuleType = sounddevice
    return module
