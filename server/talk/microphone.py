"""Where the caller's voice comes from: recordings spoken in real time, or a microphone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Protocol

import numpy as np

from models.audio import resample
from models.base import Pcm16
from server.talk.wire import PIECE_MS, WireFormat, speech_end


class Microphone(Protocol):
    """Gives pieces of 20 ms, each when its last sample has been spoken."""

    def pieces(self) -> AsyncGenerator[Pcm16, None]: ...


class RecordingMicrophone:
    """Speaks recordings in real time, and silence in between: like any microphone it never stops."""

    def __init__(self, wire: WireFormat, *, silent: bool = True) -> None:
        """silent: whether silence is sent too. Push-to-talk clients send nothing between their questions."""
        self._wire, self._silent = wire, silent
        self._recording = np.zeros(0, np.int16)
        self._speech_end: int | None = None
        self._position = 0
        self._spoken = asyncio.Event()
        self._spoken.set()
        self.speech_ended_at: float | None = None

    def say(self, pcm: Pcm16, rate: int) -> None:
        """Speak this recording from the next piece on. ``speech_ended_at`` is set as its last speech is sent."""
        self._recording = resample(pcm, rate, self._wire.rate)
        self._speech_end = speech_end(self._recording, self._wire.rate)
        self._position = 0
        self.speech_ended_at = None
        self._spoken.clear()

    @property
    def seconds_left(self) -> float:
        """How long the recording still goes on."""
        return max(0, len(self._recording) - self._position) / self._wire.rate

    @property
    def speech_left(self) -> bool:
        """Whether some of the recording's speech has not been sent yet."""
        return self._speech_end is not None and self._position < self._speech_end

    async def spoken(self) -> None:
        """Wait until the recording has been sent."""
        await self._spoken.wait()

    async def pieces(self) -> AsyncGenerator[Pcm16, None]:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due += PIECE_MS / 1000
            await asyncio.sleep(due - loop.time())
            talking = not self._spoken.is_set()
            piece = self._next_piece(loop.time())
            if talking or self._silent:
                yield piece
            if talking and self._position >= len(self._recording):
                self._spoken.set()

    def _next_piece(self, now: float) -> Pcm16:
        start, self._position = self._position, self._position + self._wire.piece
        piece = np.zeros(self._wire.piece, np.int16)
        part = self._recording[start : self._position]
        piece[: len(part)] = part
        if self._speech_end is not None and start < self._speech_end <= self._position:
            self.speech_ended_at = now - (self._position - self._speech_end) / self._wire.rate
        return piece
