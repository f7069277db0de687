"""Engines that do as they are told, where a test needs an order that real ones give only by chance."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

import numpy as np

from models.base import (
    ChatDelta,
    ChatDone,
    ChatRequest,
    EngineError,
    Priority,
    SpeechChunk,
    SpokenWord,
    TextDelta,
    Urgency,
    Usage,
    Voice,
)


class ScriptedChat:
    """Says its lines, one delta at a time; an exception among them is raised."""

    name = "scripted"
    context: int | None = None

    def __init__(self, *lines: ChatDelta | str | Exception) -> None:
        self.lines = lines
        self.requests: list[ChatRequest] = []
        self.closed = 0

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatDelta, None]:
        self.requests.append(request)
        try:
            for line in self.lines:
                await asyncio.sleep(0)
                if isinstance(line, Exception):
                    raise line
                yield TextDelta(line) if isinstance(line, str) else line
            if not any(isinstance(line, ChatDone) for line in self.lines):
                yield ChatDone("stop", Usage(12, 5, 3))
        finally:
            self.closed += 1

    async def warm(self, request: ChatRequest) -> None:
        self.requests.append(request)

    async def close(self) -> None:
        pass


class ScriptedVoice:
    """100 ms of tone a word; ``said`` are the texts asked for. ``stuck`` texts never end."""

    name = "scripted"
    voices: Sequence[Voice] = (Voice("en_US", "en", 16_000), Voice("de_DE", "de", 16_000))

    def __init__(self, *, fails: bool = False, stuck: bool = False) -> None:
        self.said: list[str] = []
        self.closed = 0
        self._fails = fails
        self._stuck = stuck

    def voice_for(self, wanted: str, language: str | None) -> Voice:
        return next((voice for voice in self.voices if voice.language == language), self.voices[0])

    async def synthesize(
        self, text: str, voice: Voice, *, speed: float = 1.0, priority: Priority | Urgency = Priority.CONFIRMED
    ) -> AsyncGenerator[SpeechChunk, None]:
        self.said.append(text)
        try:
            if self._fails:
                raise EngineError(self.name, "the voice is gone")
            end = 0
            for number, word in enumerate(text.split(), 1):
                await asyncio.sleep(0)
                end = text.index(word, end) + len(word)
                yield SpeechChunk(np.full(1600, 1000, np.int16), 16_000, (SpokenWord(end, number * 1600),))
            if self._stuck:
                await asyncio.Event().wait()
        finally:
            self.closed += 1

    async def close(self) -> None:
        pass


class NamedVoices(ScriptedVoice):
    """A voice for each "name/language"; ``speakers`` are those that were asked to speak."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        self.voices = [Voice(name, language, 16_000) for name, _, language in (each.partition("/") for each in names)]
        self.speakers: list[str] = []

    def voice_for(self, wanted: str, language: str | None) -> Voice:
        fitting = [voice for voice in self.voices if voice.language == language]
        return next((voice for voice in fitting if voice.name == wanted), fitting[0])

    def synthesize(
        self, text: str, voice: Voice, *, speed: float = 1.0, priority: Priority | Urgency = Priority.CONFIRMED
    ) -> AsyncGenerator[SpeechChunk, None]:
        self.speakers.append(voice.name)
        return super().synthesize(text, voice, speed=speed, priority=priority)
